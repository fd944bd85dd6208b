"""The cookbook: questions about the mirror, each a file of SQL.

A file begins with two comments: what it is about, and the question. The rest is one query on schema reporting. The
command `syncd report`, docs/cookbook.md, the demo and the tests all read the questions from here.

A plugin brings questions of its own in the same form, which also read the tables in its schema. All are read by the
same rules. A file that breaks them is left out, with the reason in words, and costs no other one.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

OWN: Final = Path(__file__).parent
"""The folder of the questions that come with syncd."""
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_HEADER: Final = re.compile(r"-- about: (?P<about>\S.*)\n-- question: (?P<text>\S.*)\n(?P<query>(?s:.+));\s*")
_ORDER: Final = ("Shops", "Lease", "Cars", "Parts", "Across sources", "The mirror itself")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One question of the cookbook and the query that answers it.

    `plugin` is the type of the plugin that brings it, which is also the schema of its tables; empty for our own.
    """

    name: str
    about: str
    text: str
    query: str
    plugin: str = ""


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a plugin that is no question, or a folder that holds none: `words` says why, in a sentence."""

    name: str
    words: str


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """The questions by their names, and what was left out."""

    questions: dict[str, Question] = msgspec.field(default_factory=dict)
    left_out: list[LeftOut] = msgspec.field(default_factory=list)


def questions() -> dict[str, Question]:
    """Return every question of our own by its name, ordered by what it is about and then by name."""
    found = list(_read(OWN, "", {}))
    if wrong := [each.words for each in found if isinstance(each, LeftOut)]:
        raise ValueError(wrong[0])
    own = [each for each in found if isinstance(each, Question)]
    own.sort(key=lambda question: (_ORDER.index(question.about), question.name))
    return {question.name: question for question in own}


def collect(folders: Mapping[str, object]) -> Shelf:
    """Return our own questions and then those of plugins, whose folders stand under their types.

    A name that is taken stays with the one who had it: with us, or with the plugin that comes first. Raises nothing.
    """
    shelf = Shelf(questions=questions())
    for plugin, folder in folders.items():
        for each in _read(folder, plugin, shelf.questions):
            if isinstance(each, LeftOut):
                shelf.left_out.append(each)
            else:
                shelf.questions[each.name] = each
    return shelf


def _read(folder: object, plugin: str, taken: Mapping[str, Question]) -> Iterator[Question | LeftOut]:
    """Yield what the files of a folder are, by name."""
    whose = f"of plugin {plugin}" if plugin else "of syncd"
    paths = sorted(folder.glob("*.sql")) if isinstance(folder, Path) else []
    if not paths:
        yield LeftOut(name="", words=f"the reports {whose} are left out: {folder} is no folder that holds files *.sql")
    for path in paths:
        why, name = _why_not(path, taken), path.stem
        found = None
        if why is None:
            try:
                found = _HEADER.fullmatch(path.read_text("utf-8"))
                why = "it must begin with `-- about: …` and `-- question: …`, and its query end with `;`"
            except OSError as error:
                why = f"{path} cannot be read: {error.strerror}"
            except UnicodeDecodeError as error:
                why = f"{path} is no UTF-8 text: {error.reason}"
        if found is None:
            yield LeftOut(name=name, words=f"the report {name} {whose} is left out: {why}")
        else:
            yield Question(name=name, plugin=plugin, **found.groupdict())


def _why_not(path: Path, taken: Mapping[str, Question]) -> str | None:
    """Return why a file cannot be a question whatever it holds."""
    if not NAME.fullmatch(path.stem):
        return "the name of a report has small letters, digits and _ only"
    if path.stem in taken:
        owner = taken[path.stem].plugin
        return f"the name is taken by {f'plugin {owner}' if owner else 'a report of syncd'}"
    return None if path.is_file() else f"{path} is no file"


__all__ = ["LeftOut", "Question", "Shelf", "collect", "questions"]
