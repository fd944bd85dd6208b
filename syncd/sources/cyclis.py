"""Cyclis: bike lease orders, cyclists, companies and dealers that one API key may see.

Owns every fact about this API; `docs/sources/cyclis.md` says which page each rests on. Its walks only ever read; the
one callback address is touched by `CALLBACKS` alone, which only `syncd callbacks` uses.
"""

import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit
from zoneinfo import ZoneInfo

import msgspec

from syncd.config import OptionSpec
from syncd.contract import (
    ALIVE,
    CALLBACK_OPTIONS,
    EMAIL,
    Answer,
    Auth,
    Callbacks,
    CannotTell,
    Column,
    Cursor,
    Index,
    Kind,
    Options,
    Page,
    Scope,
    Send,
    Source,
    Stream,
    Table,
    Upstream,
    Walk,
    month_of,
)
from syncd.errors import BadPayload, BadRequest, NotFound, ScopeMissing, UsageError
from syncd.records.parser import Parser, column, elements, envelope, scalar
from syncd.records.rows import Row
from syncd.records.values import earliest_reading

SCHEMA = "cyclis"
STALE_PAGES = 50
"""Most linked pages in a row that bring nothing new: no such paging is documented, so none may go on for ever."""

TEXT, BIGINT, NUMERIC, BOOLEAN = Kind.TEXT, Kind.BIGINT, Kind.NUMERIC, Kind.BOOLEAN
TIMESTAMP, UUID, JSON = Kind.TIMESTAMP, Kind.UUID, Kind.JSON


def _of(name: str, kind: Kind, comment: str) -> Column:
    """Return the column of an attribute."""
    return column(name, kind, comment, "attributes", name)


def _relation(name: str, comment: str) -> tuple[Column, Column]:
    """Return the columns of a relationship: the id, and the type that stands beside it in every record."""
    path = ("relationships", name, "data")
    return (
        column(f"{name}_id", UUID, comment, *path, "id"),
        column(f"{name}_type", TEXT, f"Type of the relationship as sent, always {name} in the samples", *path, "type"),
    )


def _table(name: str, comment: str, kind: str, *columns: Column, **more: Any) -> Table:
    own = column("id", UUID, f"Identifies the {kind}"), column("type", TEXT, f"JSON:API type, always {kind}")
    return Table(schema=SCHEMA, name=name, key=("id",), columns=(*own, *columns), comment=comment, **more)


COMPANIES = _table(
    "companies",
    "Companies that the API key may see; the vendor documents no field of theirs, so most stand in _extra",
    "company",
    _of("name", TEXT, "Name of the company"),
)

DEALERS = _table(
    "dealers",
    "Dealers of the network",
    "dealer",
    _of("name", TEXT, "Name of the dealer"),
    _of("street_name", TEXT, "Street without number"),
    _of("street_number", TEXT, "House number"),
    _of("postal_code", TEXT, "Postcode"),
    _of("city", TEXT, "City"),
    _of("country_code", TEXT, "Country, e.g. BE"),
    _of("email", TEXT, "E-mail address"),
    _of("phone", TEXT, "Landline number in any form"),
    _of("mobile", TEXT, "Mobile number in any form"),
    _of("vat", TEXT, "VAT number as typed, e.g. BE 0123.456.789"),
    _of("latitude", NUMERIC, "Latitude in degrees"),
    _of("longitude", NUMERIC, "Longitude in degrees"),
    _of("brands", JSON, "Array of the brands that the dealer sells"),
    personal=("email", "phone", "mobile", "vat"),
)

CYCLISTS = _table(
    "cyclists",
    "People who may lease through their company; one who is made inactive just vanishes from the list",
    "cyclist",
    _of("first_name", TEXT, "First name"),
    _of("last_name", TEXT, "Last name"),
    _of("email", TEXT, "E-mail address; not unique"),
    _of("lang", TEXT, "Language, e.g. en_US"),
    _of("external_identifier", TEXT, "Number that the company itself gave"),
    _of("metadata", JSON, "Object of free form"),
    *_relation("company", "The company that the cyclist belongs to"),
    indexes=(Index(name="cyclists_by_email", on=(EMAIL,), using="hash"),),
    person=True,
    personal=("id", "first_name", "last_name", "email", "external_identifier", "metadata"),
    needed=("company_id",),
)

ORDERS = _table(
    "orders",
    "Lease orders and quotes; carries no time of change, deletions are found by sweeps",
    "order",
    _of("name", TEXT, "Number of the order, e.g. SO12345"),
    _of("bike_name", TEXT, "Brand and model in one"),
    _of("bike_brand", TEXT, "Brand of the bike"),
    _of("bike_model", TEXT, "Model of the bike"),
    _of("bike_type", TEXT, "Kind of bike, e.g. City Bike"),
    _of("bike_frame_type", TEXT, "Kind of frame, e.g. Unisex"),
    _of("bike_size", TEXT, "Size of the frame; text, e.g. 55"),
    _of("bike_color", TEXT, "Color of the bike"),
    _of("bike_order_state", TEXT, "How far the order of the bike itself is, e.g. ordered; an open set"),
    _of("state", TEXT, "State of the order, e.g. quote, quote_to_review; an open set"),
    _of("insurance", BOOLEAN, "Whether insurance is included"),
    _of("maintenance", BOOLEAN, "Whether maintenance is included"),
    _of("assistance", BOOLEAN, "Whether roadside assistance is included"),
    _of("lease_cost", NUMERIC, "Cost of the lease, e.g. 91.26; unit not documented, presumably euros a month"),
    _of("lease_duration", BIGINT, "Length of the lease, e.g. 36; unit not documented, presumably months"),
    _of("maintenance_budget", NUMERIC, "Budget for maintenance, e.g. 300; presumably euros"),
    _of("start_lease_date", TIMESTAMP, "Start of the lease; a date-time in the sample"),
    _of("end_lease_date", TIMESTAMP, "End of the lease; a date-time in the sample"),
    _of("cost_center", TEXT, "Cost center at the company"),
    _of("employee_id", TEXT, "Number of the employee at the company"),
    _of("create_timestamp", TIMESTAMP, "When the order was created"),
    *_relation("cyclist", "The cyclist who leases"),
    *_relation("company", "The company of the cyclist"),
    indexes=(
        Index(name="orders_by_month", on=(month_of("create_timestamp"),)),
        Index(name="orders_by_end", on=("end_lease_date",), where=f"{ALIVE} AND end_lease_date IS NOT NULL"),
        Index(name="orders_by_cyclist", on=("cyclist_id", "source")),
    ),
    personal=("cost_center", "employee_id", "cyclist_id"),
    refers={"cyclist_id": "cyclists"},
    needed=("company_id",),
)

_PARSERS = {table.name: Parser(table, ZoneInfo("UTC")) for table in (ORDERS, CYCLISTS, COMPANIES)}
"""Parsers that are asked for ids only, which no zone changes."""


# --- Answers ----------------------------------------------------------------------------------------------------------


def fault_of(answer: Answer) -> str | None:
    """Read the vendor's error: `error` and `message`, at the top or nested under `data` or `data.data`."""
    raw = answer.body
    for _depth in range(3):
        try:
            fields = envelope(raw)
        except BadPayload:
            return None
        code, message = scalar(fields.get("error")), scalar(fields.get("message"))
        match code:
            case dict():  # as Odoo's JSON-RPC has it
                code, message = code.get("code", "error"), code.get("message")
        if code not in (None, False, 0, "", "0", "false"):
            words = [str(part) for part in (code, message) if isinstance(part, str | int) and part is not True and part]
            return _cut(": ".join(words)) or "an error without a message"
        raw = fields.get("data", b"")
    return None


def _cut(text: str) -> str:
    """Return a text of the upstream as one line for the log."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:200]


def _records(fields: Mapping[str, bytes]) -> list[bytes]:
    """Return the records at `data`: an array, or the single object of a detail."""
    raw = fields.get("data")
    return [raw] if raw and raw[:1] == b"{" else elements(raw, "data")


def _next_link(fields: Mapping[str, bytes]) -> str | None:
    """Return `links.next`, a text or an object with `href`; None at the end, which is all that is documented."""
    links = scalar(fields.get("links"))
    link = links.get("next") if isinstance(links, dict) else None
    if isinstance(link, dict):
        link = link.get("href")
    if link is not None and link is not False and not isinstance(link, str):
        raise BadPayload(f"expected a text or null in `links.next`, got a {type(link).__name__}")
    return link or None


def _followed(walk: Walk, path: str, link: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the path (below base_url) and the query of a next link; raises BadPayload if it leads elsewhere."""
    base = urlsplit(walk.base_url)
    try:
        target = urlsplit(urljoin(f"{walk.base_url}{path}", link))
        same = (target.scheme, target.hostname, _port(target)) == (base.scheme, base.hostname, _port(base))
        place = f"{target.scheme}://{target.hostname or ''}" + (f":{target.port}" if target.port else "")
    except ValueError:
        raise BadPayload("`links.next` is no valid address") from None
    if not same:
        raise BadPayload(
            f"`links.next` leads to another host, {place}: not followed, for it would be given the API token"
        )
    prefix = base.path.rstrip("/")
    inside = target.path.removeprefix(prefix) if target.path.startswith(f"{prefix}/") else target.path
    return "/" + inside.lstrip("/"), parse_qsl(target.query, keep_blank_values=True)


def _port(parts: Any) -> int | None:
    return parts.port or {"https": 443, "http": 80}.get(parts.scheme)


# --- Walks ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """The records of one response; `is_last` if no next link follows."""

    records: list[bytes]
    answer: Answer
    is_last: bool


async def _pieces(walk: Walk, stream: str, params: Sequence[tuple[str, str]] = ()) -> AsyncIterator[_Piece]:
    """Ask for a list and follow its next links. Raises BadPayload on a loop or a link to another host."""
    path, query = _path(walk, stream), list(params)
    asked: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
    met: set[bytes] = set()
    stale = 0
    while True:
        asked.add((path, tuple(query)))
        answer = await walk.upstream.request("GET", path, params=query)
        fields = envelope(answer.body)
        records, link = _records(fields), _next_link(fields)
        yield _Piece(records=records, answer=answer, is_last=link is None)
        if link is None:
            return
        path, query = _followed(walk, path, link)
        if (path, tuple(query)) in asked:
            raise BadPayload("paging loop: `links.next` leads to a page that was read already")
        stale = stale + 1 if met.issuperset(records) else 0
        if stale > STALE_PAGES:
            raise BadPayload(f"paging loop: {STALE_PAGES} pages in a row brought nothing new, each with a next link")
        met.update(records)


def _path(walk: Walk, stream: str) -> str:
    return "/" + str(walk.options[f"{stream}_path"]).strip("/")


def _listing(stream: str, *, by_company: bool = False) -> Callable[[Walk], AsyncIterator[Page]]:
    """Return the walk of a list that is read whole every time."""

    async def pages(walk: Walk) -> AsyncIterator[Page]:
        def finish(started: datetime) -> Cursor:
            return {"as_of": started.isoformat()}

        async for page in _full_pass(walk, stream, finish, by_company=by_company):
            yield page

    return pages


async def _full_pass(
    walk: Walk, stream: str, finish: Callable[[datetime], Cursor], *, by_company: bool
) -> AsyncIterator[Page]:
    """Give the pages of a full list; `finish` makes the last cursor of the instant at which the pass began.

    With `by_company`, the list speaks only for companies that the key still shows: the rows of a company that was
    taken from the key vanish, too, but are not gone.
    """
    started: datetime | None = None
    seen: set[uuid.UUID] = set()
    async for piece in _pieces(walk, stream):
        started = started or piece.answer.safe_at
        if by_company:
            seen |= _companies_of(stream, piece.records)
        if not piece.is_last:
            yield Page(records=piece.records, cursor=None, requested_at=piece.answer.sent_at)
            continue
        scope = Scope()
        if by_company:
            scope = Scope(column="company_id", values=tuple(sorted(seen | await _visible_companies(walk))))
        yield Page(
            records=piece.records,
            cursor=finish(started),
            requested_at=piece.answer.sent_at,
            scope=scope,
            whole_walk=True,
        )


def _companies_of(stream: str, records: Sequence[bytes]) -> set[uuid.UUID]:
    """Return the company_id of each record that has one."""
    parser = _PARSERS[stream]
    place = parser.names.index("company_id")
    rows = [row for record in records if isinstance(row := parser.parse(record), Row)]
    return {row.values[place] for row in rows if row.values[place]}


async def _visible_companies(walk: Walk) -> set[uuid.UUID]:
    """Ask which companies the key shows now; none if there is no such list (it is not in the vendor's page)."""
    try:
        pieces = [piece async for piece in _pieces(walk, "companies")]
    except (NotFound, ScopeMissing):
        return set()
    keys = [_PARSERS["companies"].key(record) for piece in pieces for record in piece.records]
    return {key[0] for key in keys if key}


async def _walk_orders(walk: Walk) -> AsyncIterator[Page]:
    """Walk what was updated since the cursor, or everything; then all orders of companies that are new to the key."""
    cursor = walk.cursor or {}
    if walk.kind == "sweep":
        async for page in _full_pass(
            walk, "orders", lambda started: {"swept_at": started.isoformat()}, by_company=True
        ):
            yield page
    elif walk.kind == "callback":
        async for page in _walk_named_orders(walk):
            yield page
    elif walk.kind == "backfill":
        done = {"since": walk.since.isoformat() if walk.since else None}
        async for piece in _pieces(walk, "orders", _updated_since(walk, walk.since)):
            cursor_then = done if piece.is_last else None
            yield Page(records=piece.records, cursor=cursor_then, requested_at=piece.answer.sent_at)
    elif "since" not in cursor:
        companies = sorted(await _mirrored_companies(walk))
        async for page in _full_pass(
            walk, "orders", lambda started: {"since": started.isoformat(), "companies": companies}, by_company=True
        ):
            yield page
    else:
        async for page in _walk_updated_orders(walk, cursor):
            yield page


async def _walk_updated_orders(walk: Walk, cursor: Cursor) -> AsyncIterator[Page]:
    """Walk the orders updated since the cursor, then those of new companies, one company after the other.

    Old orders of a company that is added to the key appear without being updated, so they are asked for without
    `updated_since`. The cursor moves with the last page only, but remembers each company that is done.
    """
    since = _instant(cursor["since"])
    mirrored = await _mirrored_companies(walk)
    known = mirrored.intersection(cursor.get("companies", ()))
    new = sorted(mirrored - known)
    started = since
    async for piece in _pieces(walk, "orders", _updated_since(walk, since - _overlap(walk))):
        started = max(started, piece.answer.safe_at) if started is since else started
        is_end = piece.is_last and not new
        yield Page(
            records=piece.records,
            cursor={"since": started.isoformat(), "companies": sorted(known)} if is_end else None,
            requested_at=piece.answer.sent_at,
        )
    for company in new:
        asked_at = walk.now()
        moved = started if company == new[-1] else since
        try:
            async for piece in _pieces(walk, "orders", [("company_id", company)]):
                asked_at = piece.answer.sent_at
                if not piece.is_last:
                    yield Page(records=piece.records, cursor=None, requested_at=asked_at)
                    continue
                known |= {company}
                done = {"since": moved.isoformat(), "companies": sorted(known)}
                yield Page(records=piece.records, cursor=done, requested_at=asked_at)
        except NotFound:
            # taken from the key again since the companies were read; not known, so it is asked for when it returns
            done = {"since": moved.isoformat(), "companies": sorted(known)}
            yield Page(records=[], cursor=done, requested_at=asked_at)


async def _walk_named_orders(walk: Walk) -> AsyncIterator[Page]:
    """Ask for the orders that callbacks named, one by one.

    One that is not to be had gives an empty page and proves nothing: it may be of another company, or not readable yet.
    """
    for key in walk.named:
        records: list[bytes] = []
        asked_at = walk.now()
        try:
            answer = await walk.upstream.request("GET", f"{_path(walk, 'orders')}/{key[0]}")
        except (NotFound, ScopeMissing, BadRequest):
            pass
        else:
            asked_at, records = answer.sent_at, _records(envelope(answer.body))
            if [_PARSERS["orders"].key(record) for record in records] != [key]:
                raise BadPayload("asked for one order by its id, got something else")
        yield Page(records=records, cursor=None, requested_at=asked_at)


async def _mirrored_companies(walk: Walk) -> set[str]:
    """Return the companies that the mirror knows; those of the cyclists where there is no list of companies."""
    found = await walk.mirrored("companies", "id") or await walk.mirrored("cyclists", "company_id")
    return {str(company) for company in found if company}


# --- Times ------------------------------------------------------------------------------------------------------------


def _overlap(walk: Walk) -> timedelta:
    return timedelta(seconds=float(walk.options["overlap"]))


def _updated_since(walk: Walk, moment: datetime | None) -> list[tuple[str, str]]:
    """Write an instant for `updated_since`: right or too early, whether the vendor reads local time or UTC."""
    if moment is None:
        return []
    return [("updated_since", earliest_reading(moment, ZoneInfo(str(walk.options["zone"]))).isoformat("T", "seconds"))]


def _instant(value: Any) -> datetime:
    """Read a time of a cursor, which somebody may have set by hand."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise UsageError(
            f"the cursor holds {str(value)[:60]!r} where a time is expected",
            hint="set it anew, or reset it: syncd cursor",
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


# --- Callbacks --------------------------------------------------------------------------------------------------------

_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


def _named(body: bytes) -> tuple[uuid.UUID] | None:
    """Read the id of the order that a callback names; None for the one about companies, whose form is not known."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadPayload("expected a JSON object in the callback") from None
    match told:
        case {"data": {"type": "orderCallback", "attributes": {"uuid": str(key)}}} if _UUID.fullmatch(key):
            return (uuid.UUID(key),)
        case {"data": {"type": str(kind)}} if kind != "orderCallback":
            return None
    raise BadPayload("expected `data` with type orderCallback and attributes.uuid in the callback")


async def _registered(upstream: Upstream, options: Options) -> str | None:
    """Ask which address is called; the page documents neither this request nor the form of its answer."""
    try:
        answer = await upstream.request("GET", _callbacks_path(options))
    except (NotFound, ScopeMissing, BadRequest) as error:
        raise CannotTell(str(error)) from None
    told = scalar(answer.body)
    addresses = set(_addresses(told))
    if len(addresses) == 1:
        return addresses.pop()
    if not addresses and isinstance(told, dict) and not told.get("data", told):
        return None
    raise CannotTell(f"GET {_callbacks_path(options)} answered something that holds {len(addresses)} addresses")


def _addresses(value: Any) -> Iterator[str]:
    """Yield every address in an answer but JSON:API's own links, whatever its field is called."""
    match value:
        case str() if value.lower().startswith(("https://", "http://")):
            yield value
        case dict():
            for name, member in value.items():
                yield from () if name == "links" else _addresses(member)
        case list():
            for member in value:
                yield from _addresses(member)


async def _register(upstream: Upstream, options: Options, url: str) -> None:
    await upstream.request("POST", _callbacks_path(options), json={str(options["callbacks_field"]): url})


async def _clear(upstream: Upstream, options: Options) -> None:
    await upstream.request("DELETE", _callbacks_path(options))


def _callbacks_path(options: Options) -> str:
    return "/" + str(options["callbacks_path"]).strip("/")


CALLBACKS = Callbacks(stream="orders", named=_named, registered=_registered, register=_register, clear=_clear)

# --- The source -------------------------------------------------------------------------------------------------------


class _TokenAuth(Auth):
    """Every request bears the same token, and there is nothing to renew."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._token = options["api_token"]

    def headers(self) -> Mapping[str, str]:
        return {"API-TOKEN": self._token.reveal()}

    def due(self, now: datetime) -> bool:
        return False

    async def login(self, send: Send, now: datetime) -> None:
        return

    def refused(self) -> bool:
        return False

    def received(self, answer: Answer, cookies: Mapping[str, str], now: datetime) -> None:
        return


MINUTE_S, HOUR_S, DAY_S = 60.0, 3_600.0, 86_400.0


def _path_option(stream: str) -> OptionSpec:
    return OptionSpec(kind="str", default=f"/{stream}", comment=f"path of the {stream} below base_url")


SOURCE = Source(
    type="cyclis",
    schema_comment="Mirror of Cyclis, a lessor of company bikes",
    base_url=None,
    zone="Europe/Brussels",
    auth=_TokenAuth,
    fault_of=fault_of,
    options={
        "api_token": OptionSpec(kind="secret", comment="the API key that Cyclis gave"),
        "zone": OptionSpec(kind="zone", default="Europe/Brussels", comment="zone of times that are sent without one"),
        "overlap": OptionSpec(
            kind="duration",
            default=10 * MINUTE_S,
            minimum=MINUTE_S,
            maximum=7 * DAY_S,
            comment="how far before its cursor a live run asks again, for changes that are committed late",
        ),
        **{f"{stream}_path": _path_option(stream) for stream in ("orders", "cyclists", "dealers", "companies")},
        **CALLBACK_OPTIONS,
        "callbacks_path": OptionSpec(
            kind="str", default="/callbacks", comment="path below base_url where the address is registered"
        ),
        "callbacks_field": OptionSpec(kind="str", default="url", comment="field in which it is sent there"),
    },
    callbacks=CALLBACKS,
    streams=(
        Stream(name="companies", table=COMPANIES, walk=_listing("companies"), every_s=6 * HOUR_S),
        Stream(name="dealers", table=DEALERS, walk=_listing("dealers"), every_s=6 * HOUR_S),
        Stream(name="cyclists", table=CYCLISTS, walk=_listing("cyclists", by_company=True), every_s=HOUR_S),
        Stream(
            name="orders",
            table=ORDERS,
            walk=_walk_orders,
            every_s=5 * MINUTE_S,
            sweep_s=DAY_S,
            backfills=True,
            reads=("companies", "cyclists"),
        ),
    ),
)
