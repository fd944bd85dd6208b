"""The papers of the repository: what they link to, and the code in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAPERS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/*.md")])
_FENCE = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block of code: the paper, its line there, its language and its text without the indentation."""

    paper: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.paper.relative_to(ROOT)}:{self.line}"


def blocks(language: str) -> Iterator[Block]:
    """Yield the blocks of one language in all papers."""
    for paper in PAPERS:
        words = paper.read_text()
        for fence in _FENCE.finditer(words):
            if fence[2] == language:
                text = re.sub(rf"^{fence[1]}", "", fence[3], flags=re.MULTILINE)
                yield Block(paper=paper, line=words[: fence.start()].count("\n") + 1, language=language, text=text)


def without_code(words: str) -> str:
    """Return a paper without its blocks of code and its words in backticks, in which a link is no link."""
    return re.sub(r"`[^`\n]*`", "``", _FENCE.sub("", words))


def links(paper: Path) -> list[str]:
    """Return what a paper links to in the repository, with its anchor."""
    return re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", without_code(paper.read_text()))


def anchors(paper: Path) -> set[str]:
    """Return the anchors of a paper's headings, as GitHub and the site make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.*)$", _FENCE.sub("", paper.read_text()), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-")
        found.add(next(name for number in range(1000) if (name := f"{slug}-{number}" if number else slug) not in found))
    return found
