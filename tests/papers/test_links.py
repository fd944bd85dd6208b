"""Every link of every paper leads somewhere, in the repository and on the site."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.papers import PAPERS, ROOT, anchors, links
from tests.support.search import trial


def leads_nowhere(paper: Path, link: str) -> bool:
    """Whether neither the file nor the heading that a link names is there."""
    path, _, anchor = link.partition("#")
    target = paper.parent / path if path else paper
    if not target.exists():
        return True
    return bool(anchor) and (target.suffix != ".md" or anchor not in anchors(target))


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: str(paper.relative_to(ROOT)))
def test_every_link_and_anchor_leads_somewhere(paper: Path) -> None:
    assert [link for link in links(paper) if leads_nowhere(paper, link)] == []


def test_links_are_found_and_wrong_ones_are_seen(tmp_path: Path) -> None:
    assert sum(len(links(paper)) for paper in PAPERS) > 100
    paper = tmp_path / "paper.md"
    paper.write_text("# One word\n\n[a](gone.md) [b](#one-word) [c](#two-words) `[d](gone.md)`\n")
    assert [link for link in links(paper) if leads_nowhere(paper, link)] == ["gone.md", "#two-words"]


NAMED = re.compile(r"`((?:\w+/)*\w+\.py)(?:: (\w+))?`")
"""Code that a page names: `engine/run.py: run_stream`, from the package or from the top of the repository."""


@pytest.mark.parametrize("name", ["architecture", "budgets", "deletions"])
def test_the_code_that_a_page_explains_is_there(name: str) -> None:
    named = NAMED.findall((ROOT / "docs" / f"{name}.md").read_text())
    assert named
    for path, definition in named:
        [file] = [found for found in (ROOT / "syncd" / path, ROOT / path) if found.is_file()] or [None]
        assert file is not None, f"there is no {path}"
        assert re.search(rf"\b(def|class) {definition}", file.read_text()), f"{path} has no {definition}"


def test_every_decision_stands_in_the_index_with_its_title() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "index.md").read_text()
    pages = sorted(folder.glob("0*.md"))
    assert len(pages) >= 30
    for number, page in enumerate(pages, 1):
        words = page.read_text()
        title = words.splitlines()[0].removeprefix(f"# {number}. ")
        assert f"| [{number:04d}]({page.name}) | {title} |" in index
        assert re.findall(r"^## (\w+)$", words, re.MULTILINE) == ["Context", "Decision", "Consequence"], page.name
        assert re.search(r"^Status: (accepted|replaced by \d+), 20\d\d-\d\d-\d\d\.$", words, re.MULTILINE), page.name


@trial
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed (the extra `docs`)")
def test_the_site_builds_strictly(tmp_path: Path) -> None:
    built = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    for page in ("index.html", "quickstart/index.html", "install/index.html", "cookbook/index.html", "schema.html"):
        assert (tmp_path / page).is_file(), page
    fetched = re.findall(
        r'<(?:script|link|img)\b[^>]*(?:src|href)="(https?://[^"]+)"', (tmp_path / "index.html").read_text()
    )
    assert fetched == [], "the site must not fetch anything from another host"
