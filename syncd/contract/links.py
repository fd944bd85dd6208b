"""Walks a list whose pages say by a link where it goes on: of the link only the query is used.

The vendors' own samples lead to another host and to another version, so no link is followed: the walk asks our host and
our path. The query goes back as it came, byte for byte, because a token may hold signs that another spelling changes.

No page can be asked for early, so rows that slid past are not noticed. A list walked so needs another proof of what is
gone: a request by key, or another list.

Knows nothing of any API: a source gives `fetch`, which asks for one page of its list.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import quote, unquote

from syncd.contract.errors import BadPayload, BadRequest, NotFound, UpstreamError
from syncd.contract.paging import EMPTY_PAGES, SAME_PAGES
from syncd.contract.walk import Answer
from syncd.frozen import dataclass

QUERY_SIGNS: Final = "".join(map(chr, range(0x21, 0x7F)))
"""What a line of HTTP can hold as it is: every printable sign of ASCII but the blank."""


@dataclass(frozen=True, kw_only=True)
class Linked:
    """One response of a list that goes on by links.

    keys         one hashable key per record, None for a record without one
    following    the query of the link to the next page, as sent; None at the list's end. It is a place to resume.
    starts_over  True on the first page of a walk whose place was refused: what came before no longer counts
    """

    records: Sequence[bytes]
    keys: Sequence[Hashable | None]
    following: str | None
    answer: Answer
    starts_over: bool = False


Fetch = Callable[[str], Awaitable[Linked]]
"""Asks for the page of a query that a link held; for the first page if the query is empty."""


def query_of(link: object) -> str:
    """Return the query of a link as it stands there; its host and path do not matter.

    A sign that a line of HTTP cannot hold is percent-encoded. Raises BadPayload for a link without a query.
    """
    query = link.partition("?")[2].partition("#")[0] if isinstance(link, str) else ""
    if not query:
        told = repr(link)[:80] if not isinstance(link, str) or "?" not in link else "one without"
        raise BadPayload(f"paging loop: expected a link with a query to the next page, or null, got {told}")
    return quote(query, safe=QUERY_SIGNS, errors="replace")


def members_of(query: str) -> list[tuple[str, str]]:
    """Return the names and values of a query, both decoded; a sign + stays what it is."""
    pairs = (each.partition("=") for each in query.split("&") if each)
    return [(unquote(name), unquote(value)) for name, _, value in pairs]


async def walk_links(fetch: Fetch, *, resume: str = "") -> AsyncGenerator[Linked, None]:
    """Yield each page of a list; `resume` is the `following` of the last page that was committed.

    A place that the server no longer knows (400, 404, 410, or an error inside a 200) starts the list over, once.

    Raises BadPayload on a paging loop: a link that was used before in this walk, the same page again and again, or
    empty pages without end.
    """
    asked, used = resume, {""}
    starts_over, may_start_over = False, True
    before: frozenset[Hashable] = frozenset()
    empty = repeats = 0
    while True:
        try:
            piece = await fetch(asked)
        except UpstreamError as error:
            if not (asked and may_start_over and is_stale(error)):
                raise
            asked, used, starts_over, may_start_over = "", {""}, True, False
            before, empty, repeats = frozenset(), 0, 0
            continue
        used.add(asked)
        known = len(piece.records) > 1 and before.issuperset(piece.keys)
        repeats = repeats + 1 if known else 0
        if repeats >= SAME_PAGES:
            raise BadPayload("paging loop: another link brought the same page again")
        empty = 0 if piece.records else empty + 1
        if empty > EMPTY_PAGES:
            raise BadPayload(f"paging loop: {EMPTY_PAGES} empty pages in a row, each with a link to a next one")
        if piece.following is not None and piece.following in used:
            raise BadPayload("paging loop: the link to the next page is one that was used before")
        yield replace(piece, starts_over=True) if starts_over else piece
        if piece.following is None:
            return
        before = frozenset(piece.keys) - {None} or before
        asked, starts_over = piece.following, False


def is_stale(error: UpstreamError) -> bool:
    """Say whether an error may mean that the server no longer knows a place which it handed out."""
    if isinstance(error, BadPayload):
        return error.status is not None and error.status < 300  # an error inside a good answer
    return isinstance(error, BadRequest | NotFound) and error.status in (400, 404, 410)
