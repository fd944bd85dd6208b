"""Full lists that come in pages by offset: walked whole in every run, resumable after each page.

The vendor says where a list goes on in two ways: `pagination.next_offset`, a number, or `pagination.next_url`, a link.
A link is never followed: its samples lead to another host and version. Only the offset in its query is used.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import parse_qs, urlsplit

from syncd.contract import Answer, Page, Scope, Table, Walk
from syncd.contract.errors import BadPayload
from syncd.contract.paging import Resume, Slice, walk_offsets
from syncd.contract.toolkit import cursor_time
from syncd.records.readers import Keys, envelope, scalar, shown, whole_number
from syncd.sources.cyclesoftware.forms import data_of

ROWS_MAX: Final = 1000
"""Rows to ask for at once where the vendor documents a limit: the largest that it allows."""

NextOf = Callable[[bytes], int | None]
"""Reads where a list goes on, None at its end. Raises BadPayload for what says neither."""


class EndUnknown(BadPayload):
    """A page does not say whether the list goes on. Its rows count, but the list is not complete."""

    def __init__(self, message: str, answer: Answer, records: Sequence[bytes]) -> None:
        super().__init__(message)
        self.answer = answer
        self.records = records


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


def full_list(
    table: Table, path: str, member: str, next_of: NextOf, params: Sequence[tuple[str, str]] = ()
) -> Callable[[Walk], AsyncIterator[Page]]:
    """Return the walk of a full list in `data` that goes on where the `member` of its `pagination` says."""
    keys_of = Keys(table).of_all

    def fetch_of(walk: Walk) -> Callable[[int], Awaitable[Slice]]:
        async def fetch(offset: int) -> Slice:
            place = [("offset", str(offset))] if offset else []
            answer = await walk.upstream.request("GET", path, params=[*place, *params])
            records = data_of(answer)
            raw = envelope(answer).get("pagination", b"")
            going_on = envelope(raw).get(member) if raw[:1] == b"{" else None
            if going_on is None:
                raise EndUnknown(f"`pagination.{member}` is missing beside `data`", answer, records)
            return Slice(records=records, keys=keys_of(records), next_offset=next_of(going_on), answer=answer)

        return fetch

    async def pages(walk: Walk) -> AsyncIterator[Page]:
        going = (walk.cursor or {}).get("pass")
        started = cursor_time(going["started_at"]) if going else None
        try:
            async for piece, resume in walk_offsets(fetch_of(walk), resume=Resume.from_json(going)):
                started = started or piece.answer.safe_at
                so_far = {"started_at": started.isoformat(), **resume.to_json()} if resume else None
                yield Page(
                    records=piece.records,
                    cursor={"pass": so_far} if so_far else {"as_of": started.isoformat()},
                    requested_at=piece.answer.sent_at,
                    keys=[key if isinstance(key, tuple) else None for key in piece.keys],
                    scope=None if resume else Scope(),
                    whole_walk=resume is None,
                )
        except EndUnknown as error:
            yield Page(records=error.records, cursor=None, requested_at=error.answer.sent_at)
            raise

    return pages
