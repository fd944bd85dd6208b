"""A page as a reader meets it who sees only its outline."""

import re
from html.parser import HTMLParser

from tests.support.site import Site


class Outline(HTMLParser):
    """Collects what a page is made of; fails on tags that do not close."""

    VOID = frozenset({"meta", "link", "br", "hr", "img", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


async def page(site: Site, path: str, expected: int = 200) -> Outline:
    code, text, headers = await site.get(path)
    assert (code, headers["Content-Type"]) == (expected, "text/html; charset=utf-8")
    outline = Outline()
    outline.feed(text)
    outline.close()
    assert outline.open == []
    return outline
