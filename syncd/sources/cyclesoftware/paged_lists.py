"""Lists that come in pages: by offset, walked whole in every run and resumable after each page; and by links.

The vendor says where a list goes on in two ways: `pagination.next_offset`, a number, or `pagination.next_url`, a link.
A link is never followed: its samples lead to another host and version. Only its query is used: the offset in it where
there is one, else the whole query as it is.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import parse_qs, urlsplit

from syncd.contract import Page, Scope, Table, Walk
from syncd.contract.errors import BadPayload
from syncd.contract.links import Linked, members_of, query_of
from syncd.contract.paging import EndUnknown, Resume, Slice, row_keys, walk_offsets
from syncd.contract.toolkit import cursor_time
from syncd.records.readers import Keys, envelope, scalar, shown, whole_number
from syncd.sources.cyclesoftware.api import KeysOf, count_doubt
from syncd.sources.cyclesoftware.forms import DATA, data_of, map_of

ROWS_MAX: Final = 1000
"""Rows to ask for at once where the vendor documents a limit: the largest that it allows."""

NextOf = Callable[[bytes], int | None]
"""Reads where a list goes on, None at its end. Raises BadPayload for what says neither."""


def offset_of(raw: bytes) -> int | None:
    """Read `next_offset`: a number, or null at the end of the list."""
    number = whole_number(raw)
    if number is None and raw != b"null":
        raise BadPayload(f"expected a number or null in `pagination.next_offset`, got {shown(raw)}")
    return number


def offset_of_link(raw: bytes) -> int | None:
    """Read the offset in the query of `next_url`, or null at the end of the list; host and path do not matter."""
    if raw == b"null":
        return None
    link = scalar(raw)
    try:
        offsets = parse_qs(urlsplit(link).query).get("offset", []) if isinstance(link, str) else []
    except ValueError:
        offsets = []
    number = whole_number(offsets[0].encode()) if len(offsets) == 1 else None
    if number is None:
        raise BadPayload(f"expected a link with an offset, or null, in `pagination.next_url`, got {shown(raw)}")
    return number


def fetch_pages(
    walk: Walk,
    keys_of: KeysOf,
    path: str,
    member: str,
    next_of: NextOf,
    params: Sequence[tuple[str, str]] = (),
    *,
    counted: bool = False,
) -> Callable[[int], Awaitable[Slice]]:
    """Return what asks for one page of a list in `data` that goes on where the `member` of its `pagination` says.

    `counted` says that `pagination.count` tells how many rows the page holds: if there are fewer, rows are missing.
    """

    async def fetch(offset: int) -> Slice:
        place = [("offset", str(offset))] if offset else []
        answer = await walk.upstream.request("GET", path, params=[*place, *params])
        records = data_of(answer)
        raw = None if answer.body.lstrip()[:1] == b"[" else envelope(answer).get("pagination")
        pagination = envelope(raw) if raw and raw[:1] == b"{" else {}
        going_on = pagination.get(member)
        doubt = count_doubt(pagination.get("count"), DATA, len(records)) if counted else None
        if going_on is None:
            raise EndUnknown(f"`pagination.{member}` is missing beside `{DATA}`", answer, records)
        return Slice(records=records, keys=keys_of(records), next_offset=next_of(going_on), answer=answer, doubt=doubt)

    return fetch


def fetch_linked(
    walk: Walk,
    path: str,
    keys_of: KeysOf,
    params: Sequence[tuple[str, str]] = (),
    *,
    absent_ends: bool = False,
) -> Callable[[str], Awaitable[Linked]]:
    """Return what asks for one page of a list in `data` that goes on where `pagination.next_url` says.

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
        link = map_of(raw, "pagination").get("next_url", b"null" if absent_ends else None)
        if link is None:
            raise EndUnknown("`pagination.next_url` is missing beside `data`", answer, records)
        following = None if link == b"null" else query_of(scalar(link))
        return Linked(records=records, keys=keys_of(records), following=following, answer=answer)

    return fetch


def _beside(query: str, params: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    """Return which of our own parameters go beside the query of a link."""
    names = {name for name, _ in members_of(query)}
    if query and ("token" in names or "offset" not in names):
        return ()
    return [(name, value) for name, value in params if name not in names]


def full_list(
    table: Table, path: str, member: str, next_of: NextOf, params: Sequence[tuple[str, str]] = ()
) -> Callable[[Walk], AsyncIterator[Page]]:
    """Return the walk of a full list in `data` that goes on where the `member` of its `pagination` says."""
    keys_of = Keys(table).of_all

    async def pages(walk: Walk) -> AsyncIterator[Page]:
        going = (walk.cursor or {}).get("pass")
        started = cursor_time(going["started_at"]) if going else None
        try:
            fetch = fetch_pages(walk, keys_of, path, member, next_of, params)
            async for piece, resume in walk_offsets(fetch, resume=Resume.from_json(going), early=walk.early):
                started = started or piece.answer.safe_at
                so_far = {"started_at": started.isoformat(), **resume.to_json()} if resume else None
                yield Page(
                    records=piece.records,
                    cursor={"pass": so_far} if so_far else {"as_of": started.isoformat()},
                    requested_at=piece.answer.sent_at,
                    keys=row_keys(piece.keys),
                    scope=None if resume else Scope(),
                    whole_walk=resume is None,
                )
        except EndUnknown as error:
            yield Page(records=error.records, cursor=None, requested_at=error.answer.sent_at)
            raise

    return pages
