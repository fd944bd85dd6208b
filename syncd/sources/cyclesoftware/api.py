"""CycleSoftware's API: its options, its authentication, its faults, and how its lists are asked for.

What all streams of this API share. Knows none of them.
"""

import base64
import html
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from syncd.contract import (
    Answer,
    Auth,
    FixedHeaders,
    Options,
    Page,
    Scope,
    Table,
    Walk,
)
from syncd.contract.errors import BadPayload, ConfigError, NotFound
from syncd.contract.options import OVERLAP, WEBHOOK_OPTIONS, optional_day, secret_option, text_option, zone_option
from syncd.contract.paging import Slice, walk_offsets
from syncd.contract.toolkit import fault_text
from syncd.records.readers import (
    Keys,
    earliest_reading,
    elements,
    envelope,
    scalar,
    shown,
    whole_number,
)

SCHEMA = "cyclesoftware"

USERNAME = text_option("username", "user name of the API account")
PASSWORD = secret_option("password", "its password")
ZONE = zone_option("zone", "zone of times that are sent without one", default="Europe/Amsterdam")
OPTIONS = (USERNAME, PASSWORD, ZONE, OVERLAP, *WEBHOOK_OPTIONS)

FROM = optional_day("from", "day from which the first run starts; default: two years back")
"""Of a stream that is walked by windows of time."""
HISTORY = timedelta(days=730)
"""How far back the first walk of such a stream goes unless `from` says otherwise: two years, our choice."""


def basic_auth(options: Options) -> Auth:
    """Return HTTP Basic authentication: every request bears the same header. Raises ConfigError."""
    username = USERNAME.of(options)
    if ":" in username:
        raise ConfigError("username: HTTP Basic authentication allows no colon in a user name")

    def headers() -> Mapping[str, str]:
        signed = base64.b64encode(f"{username}:{PASSWORD.of(options).reveal()}".encode()).decode()
        return {"Authorization": f"Basic {signed}"}

    return FixedHeaders(headers)


def fault_of(answer: Answer) -> str | None:
    """Read the vendor's error text: JSON error_message (nested too), XML error_message, or a SOAP faultstring."""
    body = answer.body.removeprefix(b"\xef\xbb\xbf")
    start = body[:200].lstrip()[:1]
    if start == b"<":
        return _xml_fault(body[:20_000].decode("utf-8", "replace"))
    whole = answer if len(body) == len(answer.body) else body
    return _json_fault(whole, depth=2) if start == b"{" else None


def _json_fault(body: Answer | bytes, depth: int) -> str | None:
    try:
        fields = envelope(body)
    except BadPayload:
        return None
    if _is_set(scalar(fields.get("error"))):
        texts = [scalar(fields.get(name)) for name in ("error_message", "message", "error")]
        return fault_text(
            next((text for text in texts if isinstance(text, str) and text), "an error without a message")
        )
    inner = [fields[name] for name in ("error", "data", "result") if fields.get(name, b"")[:1] == b"{"] if depth else []
    return next((fault for raw in inner if (fault := _json_fault(raw, depth - 1))), None)


def _is_set(error: Any) -> bool:
    """Say whether a member `error` tells of one: true, 1, "1", "true", a code; not false, 0, null or "0"."""
    return bool(error) and not (isinstance(error, str) and error.strip().lower() in {"", "0", "false", "no", "null"})


def _xml_fault(text: str) -> str | None:
    if re.search(r"<error>\s*(1|true)\s*</error>", text, re.IGNORECASE):
        found = re.search(r"<error_message>(.*?)</error_message>", text, re.DOTALL | re.IGNORECASE)
    else:
        found = re.search(r"<faultstring[^>]*>(.*?)</faultstring>", text, re.DOTALL | re.IGNORECASE)
        if not found:
            return None
    inner = re.sub(r"<!\[CDATA\[|\]\]>", "", found[1]) if found else ""
    return fault_text(html.unescape(inner)) or "an error without a message"


KeysOf = Callable[[Sequence[bytes]], Sequence[Hashable | None]]
"""Reads the key of each record of a list, None for a record without one."""
RecordsOf = Callable[[Answer], Sequence[bytes]]
"""Reads the records of a list out of an answer. Raises BadPayload."""


def records_at(rows_at: str) -> RecordsOf:
    """Return what reads the array that stands at this member of an answer, and takes nothing else for it."""
    return lambda answer: elements(envelope(answer).get(rows_at), rows_at)


def _slice(answer: Answer, rows_at: str, records_of: RecordsOf, keys_of: KeysOf, *, paged: bool) -> Slice:
    """Read one response of a list; `paged` says whether the vendor documents paging for it."""
    records = records_of(answer)
    keys = keys_of(records)
    raw = None if answer.body.lstrip()[:1] == b"[" else envelope(answer).get("pagination")
    if not paged and raw in (None, b"null"):
        return Slice(records=records, keys=keys, next_offset=None, answer=answer.without_body())
    if raw is None or raw[:1] != b"{":
        raise BadPayload(f"expected an object `pagination` beside `{rows_at}`, got {shown(raw)}")
    pagination = envelope(raw)
    return Slice(
        records=records,
        keys=keys,
        next_offset=_next_offset(pagination.get("next_offset")),
        answer=answer.without_body(),
        doubt=count_doubt(pagination.get("count"), rows_at, len(records)),
    )


def _next_offset(raw: bytes | None) -> int | None:
    """Read `pagination.next_offset`: null is the end; its absence says nothing, so it is an error."""
    if raw == b"null":
        return None
    number = whole_number(raw)
    if number is None:
        raise BadPayload(f"expected a number or null in `pagination.next_offset`, got {shown(raw)}")
    return number


def count_doubt(raw: bytes | None, rows_at: str, received: int) -> str | None:
    """Compare `pagination.count` with the rows received; raises BadPayload if rows are missing."""
    if raw in (None, b"null"):
        return None
    count = whole_number(raw)
    if count is None:
        return f"`pagination.count` is no number but {shown(raw)}"
    if count > received:
        raise BadPayload(f"rows are missing: `pagination.count` says {count}, but `{rows_at}` holds {received}")
    return f"`pagination.count` says {count}, but `{rows_at}` holds {received}" if count < received else None


def fetch_slices(
    walk: Walk,
    path: str,
    rows_at: str,
    keys_of: KeysOf,
    params: Sequence[tuple[str, str]] = (),
    *,
    paged: bool = True,
    records_of: RecordsOf | None = None,
) -> Callable[[int], Awaitable[Slice]]:
    """Return what asks for one slice of the list that stands at `rows_at` of the answer.

    `records_of` reads the list where it may have other forms than an array.
    """
    read = records_of or records_at(rows_at)

    async def fetch(offset: int) -> Slice:
        place = [("offset", str(offset))] if offset else []
        answer = await walk.upstream.request("GET", path, params=[*params, *place])
        return _slice(answer, rows_at, read, keys_of, paged=paged)

    return fetch


def listing(
    table: Table, path: str, rows_at: str, *, records_of: RecordsOf | None = None
) -> Callable[[Walk], AsyncIterator[Page]]:
    """Return the walk of a list that comes whole, in one response as far as the vendor documents it."""
    keys_of = Keys(table).of_all

    async def pages(walk: Walk) -> AsyncIterator[Page]:
        as_of: datetime | None = None
        doubt: str | None = None
        fetch = fetch_slices(walk, path, rows_at, keys_of, paged=False, records_of=records_of)
        async for piece, resume in walk_offsets(fetch, walk=walk, early=walk.early):
            as_of, doubt = as_of or piece.answer.safe_at, doubt or piece.doubt
            yield Page(
                records=piece.records,
                cursor=None if resume else {"as_of": as_of.isoformat()},
                requested_at=piece.answer.sent_at,
                scope=None if resume else Scope(),
                whole_walk=resume is None,
                doubt=doubt,
                unproven=piece.unproven,
            )

    return pages


async def named_records(walk: Walk, ask: Callable[[Walk, tuple[Any, ...]], Awaitable[bytes]]) -> AsyncIterator[Page]:
    """Ask for the records that webhooks named, one request each.

    One that is not there gives an empty page and proves nothing: it may not be readable yet.
    """
    for key in walk.named:
        asked_at = walk.now()
        try:
            records = [await ask(walk, key)]
        except NotFound:
            records = []
        yield Page(records=records, cursor=None, requested_at=asked_at)


def zone_of(walk: Walk) -> ZoneInfo:
    """Return the zone of times that are sent without one."""
    return ZoneInfo(ZONE.of(walk.options))


def modified_since(walk: Walk, moment: datetime | None) -> str | None:
    """Write an instant for `modified_since`: right or too early, whether the vendor reads local time or UTC."""
    return earliest_reading(moment, zone_of(walk)).isoformat(" ", "seconds") if moment else None


def first_day(walk: Walk) -> datetime:
    """Return where a walk without a cursor begins: at `since` of a backfill, at the option `from`, or two years ago."""
    wanted = FROM.of(walk.stream_options)
    if walk.since or not wanted:
        return walk.since or walk.now() - HISTORY
    moment = datetime.fromisoformat(wanted)
    return moment if moment.tzinfo else moment.replace(tzinfo=zone_of(walk))
