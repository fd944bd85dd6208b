"""What the site does beyond plain mkdocs (a hook of mkdocs.yml): pages and files that live outside of docs/.

A link in a paper is right where the paper stands, so that it works in the repository. Here links to what lies outside
of docs/ are turned to its place on the site: a page of its own, or a copy below `files/`.
"""

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PAGES = {"deploy/install.md": "install.md", "CHANGELOG.md": "changelog.md"}
LINK = re.compile(r"(\]\()(?!https?:|#|mailto:)([^)#\s]+)((?:#[^)]*)?\))")
NOT_FILES = (".md",)


def on_config(config: Any) -> Any:
    """List the page of every API under "Sources": a fifth one needs no line in mkdocs.yml."""
    [reference] = (entry["Reference"] for entry in config.nav if "Reference" in entry)
    [sources] = (entry for entry in reference if "Sources" in entry)
    sources["Sources"] = [f"sources/{page.name}" for page in sorted((ROOT / "docs" / "sources").glob("*.md"))]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and files from outside of docs/ that papers link to."""
    for origin, place in PAGES.items():
        files.append(File.generated(config, place, content=(ROOT / origin).read_text()))
    for path in [*sorted((ROOT / "deploy").iterdir()), ROOT / "config.example.toml"]:
        if path.is_file() and path.suffix not in NOT_FILES:
            copy = f"files/{path.relative_to(ROOT).as_posix()}"
            files.append(File.generated(config, copy, content=path.read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn the links of a page that cross the border of docs/."""
    place = page.file.src_uri
    origin = next((path for path, there in PAGES.items() if there == place), f"docs/{place}")

    def turned(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link[2]))
        there = _place(target)
        return f"{link[1]}{os.path.relpath(there, posixpath.dirname(place) or '.')}{link[3]}" if there else link[0]

    return LINK.sub(turned, markdown)


def _place(target: str) -> str | None:
    """Return where a file of the repository stands on the site; None if it is not there."""
    if target in PAGES:
        return PAGES[target]
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    return f"files/{target}" if (ROOT / target).is_file() else None
