"""Lists that come in pages: by offset, walked whole in every run and resumable after each page; and by links.

The vendor says where a list goes on in two ways: `pagination.next_offset`, a number, or `pagination.next_url`, a link.
A link is never followed: its samples lead to another host and version. Only its query is used: the offset in it where
there is one, else the whole query as it is. From a link without an offset on, rows that slide past are not noticed.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from syncd.contract import Cursor, Page, Scope, Table, Walk
from syncd.contract.errors import BadPayload
from syncd.contract.links import Linked, members_of, query_of, walk_links
from syncd.contract.paging import EndUnknown, Resume, Slice, row_keys, walk_offsets
from syncd.contract.toolkit import cursor_time
from syncd.records.readers import Keys, envelope, scalar, shown, whole_number
from syncd.sources.cyclesoftware.api import KeysOf, count_doubt
from syncd.sources.cyclesoftware.forms import DATA, data_of, map_of

ROWS_MAX: Final = 1000
"""Rows to ask for at once where the vendor documents a limit: the largest that it allows."""

BY_QUERIES: Final = "the list goes on by links without an offset; pages are asked for without overlap"
"""Why such a walk proves of no row that it is gone."""

NEXT_OFFSET: Final = "next_offset"
"""The member of `pagination` that holds a number; all others hold links."""


class GoesOnByQuery(BadPayload):
    """The link of a page holds no offset: its rows count, and the list goes on by the link's query."""

    def __init__(self, query: str, page: Slice) -> None:
        super().__init__("the link to the next page holds no offset")
        self.query = query
        self.page = page


def offset_of(raw: bytes) -> int | None:
    """Read `next_offset`: a number, or null at the end of the list."""
    number = whole_number(raw)
    if number is None and raw != b"null":
        raise BadPayload(f"expected a number or null in `pagination.next_offset`, got {shown(raw)}")
    return number


def place_of_link(raw: bytes) -> int | str | None:
    """Read the offset in the query of `next_url`, or else its query; null at the end of the list."""
    if raw == b"null":
        return None
    query = query_of(scalar(raw))
    offsets = [value for name, value in members_of(query) if name == "offset"]
    number = whole_number(offsets[0].encode()) if len(offsets) == 1 else None
    if offsets and number is None:
        raise BadPayload(f"expected a link with an offset, or null, got {shown(raw)}")
    return query if number is None else number


def offset_of_link(raw: bytes) -> int | None:
    """Read the offset in the query of a link, or null at the end of the list; host and path do not matter."""
    try:
        place = place_of_link(raw)
    except BadPayload:
        place = ""
    if isinstance(place, str):
        raise BadPayload(f"expected a link with an offset, or null, got {shown(raw)}")
    return place


def fetch_pages(
    walk: Walk,
    keys_of: KeysOf,
    path: str,
    member: str,
    params: Sequence[tuple[str, str]] = (),
    *,
    counted: bool = False,
) -> Callable[[int], Awaitable[Slice]]:
    """Return what asks for one page of a list in `data` that goes on where the `member` of its `pagination` says.

    The member is `next_offset`, or holds a link; one without an offset raises GoesOnByQuery, with the page. `counted`
    says that `pagination.count` tells how many rows the page holds: if there are fewer, rows are missing.
    """

    async def fetch(offset: int) -> Slice:
        begin = [("offset", str(offset))] if offset else []
        answer = await walk.upstream.request("GET", path, params=[*begin, *params])
        records = data_of(answer)
        raw = None if answer.body.lstrip()[:1] == b"[" else envelope(answer).get("pagination")
        pagination = envelope(raw) if raw and raw[:1] == b"{" else {}
        going_on = pagination.get(member)
        doubt = count_doubt(pagination.get("count"), DATA, len(records)) if counted else None
        if going_on is None:
            raise EndUnknown(f"`pagination.{member}` is missing beside `{DATA}`", answer, records)
        place = offset_of(going_on) if member == NEXT_OFFSET else place_of_link(going_on)
        number = None if isinstance(place, str) else place
        page = Slice(
            records=records, keys=keys_of(records), next_offset=number, answer=answer.without_body(), doubt=doubt
        )
        if isinstance(place, str):
            raise GoesOnByQuery(place, replace(page, unproven=BY_QUERIES))
        return page

    return fetch


def fetch_linked(
    walk: Walk,
    path: str,
    keys_of: KeysOf,
    params: Sequence[tuple[str, str]] = (),
    *,
    member: str = "next_url",
    absent_ends: bool = False,
) -> Callable[[str], Awaitable[Linked]]:
    """Return what asks for one page of a list in `data` that goes on where the `member` of its `pagination` says.

    The query of a link is sent alone. One that holds an offset counts rows of our question, so what it leaves out of
    `params` is asked for again. `absent_ends` says that the vendor documents the list's end by a missing link.
    Raises EndUnknown for a page that does not say whether the list goes on.
    """

    async def fetch(query: str) -> Linked:
        answer = await walk.upstream.request("GET", path, query=query, params=_beside(query, params))
        records = data_of(answer)
        raw = envelope(answer).get("pagination", b"")
        if raw[:1] != b"{" and raw != b"[]":
            raise EndUnknown("`pagination` is missing beside `data`", answer, records)
        link = map_of(raw, "pagination").get(member, b"null" if absent_ends else None)
        if link is None:
            raise EndUnknown(f"`pagination.{member}` is missing beside `data`", answer, records)
        following = None if link == b"null" else query_of(scalar(link))
        return Linked(records=records, keys=keys_of(records), following=following, answer=answer.without_body())

    return fetch


def _beside(query: str, params: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    """Return which of our own parameters go beside the query of a link."""
    names = {name for name, _ in members_of(query)}
    if query and ("token" in names or "offset" not in names):
        return ()
    return [(name, value) for name, value in params if name not in names]


async def walk_places(
    walk: Walk,
    path: str,
    keys_of: KeysOf,
    params: Sequence[tuple[str, str]] = (),
    *,
    member: str = "next_url",
    place: Cursor | None = None,
) -> AsyncGenerator[tuple[Slice, Cursor | None], None]:
    """Yield each page of a list with the place to resume after it, None with the last one.

    It is walked by offsets, those in links too, and from a link without one on by the queries of links.
    """
    query = (place or {}).get("query", "")
    if not query:
        fetch = fetch_pages(walk, keys_of, path, member, params)
        try:
            async for piece, resume in walk_offsets(fetch, walk=walk, resume=Resume.from_json(place), early=walk.early):
                yield piece, resume.to_json() if resume else None
        except GoesOnByQuery as error:
            query = error.query
            yield error.page, {"query": query}
        else:
            return
    linked = fetch_linked(walk, path, keys_of, params, member=member)
    async for page in walk_links(linked, resume=query):
        where = {"query": page.following} if page.following else None
        yield (
            Slice(records=page.records, keys=page.keys, next_offset=None, answer=page.answer, unproven=BY_QUERIES),
            where,
        )


def full_list(
    table: Table, path: str, member: str = NEXT_OFFSET, params: Sequence[tuple[str, str]] = ()
) -> Callable[[Walk], AsyncIterator[Page]]:
    """Return the walk of a full list in `data` that goes on where the `member` of its `pagination` says."""
    keys_of = Keys(table).of_all

    async def pages(walk: Walk) -> AsyncIterator[Page]:
        going = (walk.cursor or {}).get("pass")
        started = cursor_time(going["started_at"]) if going else None
        try:
            async for piece, place in walk_places(walk, path, keys_of, params, member=member, place=going):
                started = started or piece.answer.safe_at
                so_far = {"started_at": started.isoformat(), **place} if place else None
                yield Page(
                    records=piece.records,
                    cursor={"pass": so_far} if so_far else {"as_of": started.isoformat()},
                    requested_at=piece.answer.sent_at,
                    keys=row_keys(piece.keys),
                    scope=None if place else Scope(),
                    whole_walk=place is None,
                    unproven=None if place else piece.unproven,
                )
        except EndUnknown as error:
            yield Page(records=error.records, cursor=None, requested_at=error.answer.sent_at)
            raise

    return pages
