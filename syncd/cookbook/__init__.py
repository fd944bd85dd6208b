"""The cookbook: questions about the mirror, each a file of SQL.

A file begins with two comments: what it is about, and the question. The rest is one query on schema reporting. The
command `syncd report`, docs/cookbook.md, the demo and the tests all read the questions from here.
"""

import re
from dataclasses import dataclass
from importlib import resources

_HEADER = re.compile(r"-- about: (?P<about>.+)\n-- question: (?P<text>.+)\n(?P<query>(?s:.+));\n")
_ORDER = ("Shops", "Lease", "Cars", "Parts", "Across sources", "The mirror itself")


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question of the cookbook and the query that answers it."""

    name: str
    about: str
    text: str
    query: str


def questions() -> dict[str, Question]:
    """Return every question by its name, ordered by what it is about and then by name."""
    found = []
    for file in resources.files(__name__).iterdir():
        if file.name.endswith(".sql"):
            header = _HEADER.fullmatch(file.read_text("utf-8"))
            if header is None:
                raise ValueError(f"{file.name} does not begin with `-- about:` and `-- question:`")
            found.append(Question(name=file.name.removesuffix(".sql"), **header.groupdict()))
    found.sort(key=lambda question: (_ORDER.index(question.about), question.name))
    return {question.name: question for question in found}
