"""GHS Automotive (car parts wholesaler, ServiceStack API): its tables, its session, and how its lists are walked.

Owns every fact about this API; what each rule rests on stands in docs/sources/ghs.md. Only reads, and never the cart or
the delivery routes: they are the session's own, and reading them reserves stock. `authToken`, which opens the web shop
once, is neither kept nor shown.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import msgspec

from syncd.config import OptionSpec, Secret
from syncd.errors import BadCredentials, BadPayload, BadRequest, NotFound
from syncd.paging import Resume, Slice, walk_offsets
from syncd.records import column, elements, envelope, scalar
from syncd.source import Answer, Auth, Column, Cursor, Kind, Page, Scope, Send, Source, Stream, Table, Walk, snake

IDLE: Final = timedelta(minutes=19)  # sessions live "about twenty minutes" (vendor's page, Sessions)
ORDERS_TAKE: Final = 100  # our choice; `take` is required (FACTS, P)
SEARCH_TAKE: Final = 25  # the vendor's default (FACTS, P); large pages of products are slow (vendor's page, Paging)
EAN_TAKE: Final = 100  # articles of one EAN code fit well into this
TOP_IDS: Final = 25  # newest orders that a cursor remembers, to know where the next pass meets the one before
PRODUCT_ID_CHARS: Final = 9  # "Product id's should be 9 characters long" (vendor's page, Error messages)
FAULT_CHARS: Final = 200  # source.py: longest fault text
UNKNOWN_PRODUCT: Final = ("cart-unknown-product", "invalid-productid", "not-found")
TOO_MANY: Final = "too-many-results-refine-the-search"
WITHOUT_ROUTES: Final = ("withoutRouteInfo", "true")  # saves about three seconds a product (vendor's page, History)
TEXT, BIGINT, NUMERIC, BOOLEAN, JSON = Kind.TEXT, Kind.BIGINT, Kind.NUMERIC, Kind.BOOLEAN, Kind.JSON
_CODE = re.compile(r"[A-Za-z0-9{}]+(?:-[A-Za-z0-9{}]+)+")


# --- Tables -----------------------------------------------------------------------------------------------------------


def _field(name: str, kind: Kind, comment: str) -> Column:
    return column(snake(name), kind, comment, name)


PRODUCTS: Final = Table(
    schema="ghs",
    name="products",
    key=("id",),
    comment="Products that the configuration names by id, EAN code or search term; prices are this account's",
    columns=(
        _field("id", TEXT, "GHS id of the product: nine characters, leading zeros count"),
        _field("articleDataId", BIGINT, "Id of the article in the data pool"),
        _field("alfaCode", TEXT, "Short code of the brand"),
        _field("articleNo", TEXT, "Article number of the brand, blanks as sent"),
        _field("name", TEXT, "Name"),
        _field("commercialName", TEXT, "Name for the trade"),
        _field("description", TEXT, "Description"),
        _field("shortDescription", TEXT, "Short description"),
        _field("longDescription", TEXT, "Long description; may hold HTML"),
        _field("brandName", TEXT, "Brand"),
        _field("brandId", TEXT, "Id of the brand; leading zeros count"),
        _field("productGroup", TEXT, "Product group, in words"),
        _field("productGroupId", TEXT, "Id of the product group; leading zeros count"),
        _field("boschProductGroupId", TEXT, "Id of the product group at Bosch"),
        _field("requiresLegitimation", BOOLEAN, "Whether the buyer must identify himself"),
        _field("isGaik", BOOLEAN, "Whether a GAIK form must come with an order"),
        _field("isNotRetourable", BOOLEAN, "Whether it cannot be returned"),
        _field("isFGas", BOOLEAN, "Whether it holds fluorinated gas, whose sale is restricted"),
        _field("canBackorder", BOOLEAN, "Whether it can be ordered while out of stock"),
        _field("nettoPrice", NUMERIC, "This account's price in euro"),
        _field("brutoPrice", NUMERIC, "List price in euro"),
        _field("isLeadSurcharge", BOOLEAN, "Whether a surcharge on lead is due (batteries)"),
        _field("leadSurcharge", NUMERIC, "Surcharge on lead, in euro"),
        _field("isDisposalFee", BOOLEAN, "Whether a disposal fee is due"),
        _field("disposalFee", NUMERIC, "Disposal fee, in euro"),
        _field("priceLabel", TEXT, "What the price is for, in words"),
        _field("unitsPerSale", NUMERIC, "Units in one sale"),
        _field("quantityLinkedWarehouse", NUMERIC, "Stock in the account's own warehouse, when it was asked for"),
        _field("quantityAllWarehouses", NUMERIC, "Stock in all warehouses, when it was asked for"),
        _field("depositFee", NUMERIC, "Deposit on the old part, in euro"),
        _field("environmentalTax", NUMERIC, "Environmental tax, in euro"),
        _field("removalFee", NUMERIC, "Removal fee, in euro"),
        _field("hasCharacteristic", BOOLEAN, "Whether there are characteristics to show"),
        _field("countryCode", TEXT, "Country code"),
        _field("availableLinkedWarehouse", BOOLEAN, "Whether the account's own warehouse can deliver it"),
        _field("availableNextRoute", BOOLEAN, "Whether the next delivery route can bring it"),
        _field("routeExpiryDate", Kind.TIMESTAMP, "Until when the route holds; null if unset (kept in _extra as sent)"),
        _field("isNextRoute", BOOLEAN, "Whether it comes with the next route; not loaded by us (withoutRouteInfo)"),
        _field("isVheckRoute", BOOLEAN, "Whether it comes by a Vheck route; not loaded by us (withoutRouteInfo)"),
        _field("isInPromotion", BOOLEAN, "Whether it is in a promotion"),
        _field("isNettoPriceProvided", BOOLEAN, "Whether netto_price was filled in"),
        _field("isRouteInfoProvided", BOOLEAN, "Whether route fields were filled in; false, as we ask without them"),
        _field("isKnownProduct", BOOLEAN, "Whether GHS carries it"),
        _field("relevance", NUMERIC, "Rank in the search that found it"),
        _field("brandLabel", TEXT, "Label of the brand"),
        _field("sortOrder", BIGINT, "Place in the list that it came in"),
        _field("origins", JSON, "Catalogues in which it was found, as sent"),
        _field("hasSetParts", BOOLEAN, "Whether it is a set of parts"),
        _field("isRentalProduct", BOOLEAN, "Whether it is for rent (tools)"),
        _field("isLeisureProduct", BOOLEAN, "Whether it is a leisure product"),
        _field("hasCompatibleCars", BOOLEAN, "Whether there is a list of cars that it fits"),
        _field("hbase", JSON, "Data of the HBase catalogue, as sent"),
        _field("heijl", JSON, "Data of the Heijl catalogue, as sent"),
        _field("tecDoc", JSON, "Data of the TecDoc catalogue, as sent"),
    ),
)

ORDERS: Final = Table(
    schema="ghs",
    name="orders",
    key=("order_id",),
    comment="Orders of the account (GET /api/orders); fields that the vendor does not name stand in _extra",
    columns=(
        _field("orderId", TEXT, "GHS id of the order; leading zeros count"),
        _field("externalOrderId", TEXT, "The customer's own reference"),
        _field("deliveryRoute", TEXT, "Delivery route; A: collected by the customer, N: sent with a later delivery"),
        _field("items", JSON, "Order lines as sent: productId, productName, quantity"),
    ),
)

ACCOUNT: Final = Table(
    schema="ghs",
    name="account",
    key=("user_id",),
    comment="The account itself, one row (GET /api/account); what has no column stands in _extra",
    columns=(
        _field("userId", TEXT, "Id of the user; leading zeros count"),
        _field("displayName", TEXT, "Name to show"),
        _field("email", TEXT, "E-mail address"),
        _field("address", JSON, "Address, as sent"),
        _field("customerGroup", TEXT, "Customer group"),
        column("linked_warehouse_id", TEXT, "Id of the warehouse that delivers", "linkedWarehouse", "id"),
        column("linked_warehouse_region", TEXT, "Region of the warehouse that delivers", "linkedWarehouse", "region"),
        column("pickup_warehouse_id", TEXT, "Id of the warehouse to collect at", "pickupWarehouse", "id"),
        column("pickup_warehouse_region", TEXT, "Region of the warehouse to collect at", "pickupWarehouse", "region"),
    ),
)

URGENT_MESSAGES: Final = Table(
    schema="ghs",
    name="urgent_messages",
    key=("id",),
    comment="Messages of the vendor's staff to all users, as they ride in every answer (urgentMessages)",
    columns=(
        _field("id", BIGINT, "Id of the message"),
        _field("startDate", Kind.TIMESTAMP, "When the message began to be shown"),
        _field("level", TEXT, "Info, Warning or Error"),
        _field("title", TEXT, "Title"),
        _field("message", TEXT, "Text; may hold HTML"),
    ),
)


# --- Login and faults -------------------------------------------------------------------------------------------------


class _Session:
    """Signs requests with the session's cookies, which any answer may rotate."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._api_key: Secret = options["api_key"]
        self._username = str(options["username"])
        self._password: Secret = options["password"]
        self._id: str | None = None
        self._permanent_id: str | None = None
        self._used_at: datetime | None = None

    def headers(self) -> Mapping[str, str]:
        """Return the cookies by hand: their values hold `/` and `+` and must travel unquoted."""
        if not self._id:
            return {}
        return {"Cookie": f"ss-id={self._id}" + (f"; ss-pid={self._permanent_id}" if self._permanent_id else "")}

    def due(self, now: datetime) -> bool:
        """Say whether there is no session, or one that was idle for so long that it may have expired."""
        return self._id is None or self._used_at is None or now - self._used_at > IDLE

    async def login(self, send: Send, now: datetime) -> None:
        """Open a new session; the API key is sent here only, as documented."""
        self._id = self._permanent_id = None
        who = {"UserName": self._username, "Password": self._password.reveal(), "RememberMe": False}
        key = {"X-ApiKey": self._api_key.reveal()}
        answer = await send("POST", "/api/auth/credentials", headers=key, json=who)
        session_id = scalar(envelope(answer.body).get("sessionId"))
        if (fault := fault_of(answer)) or not (isinstance(session_id, str) and session_id):
            raise BadCredentials(
                f"the login gave no session: {fault or 'the answer has no `sessionId`'}",
                hint="check api_key, username and password",
                status=answer.status,
            )
        self._id, self._used_at = session_id, now

    def refused(self) -> bool:
        """Forget the session; a new one may help (expired, or `broken-session`)."""
        self._id = self._permanent_id = None
        return True

    def received(self, answer: Answer, cookies: Mapping[str, str], now: datetime) -> None:
        """Take rotated cookies; those of a login that failed sign nothing, because there is no session yet."""
        self._used_at = now
        self._permanent_id = cookies.get("ss-pid") or self._permanent_id
        if self._id and "ss-id" in cookies:
            self._id = cookies["ss-id"] or None


def _auth(options: Mapping[str, Any]) -> Auth:
    return _Session(options)


def fault_of(answer: Answer) -> str | None:
    """Read `responseStatus{errorCode,message}` at any status; of a failure also a bare code such as broken-session."""
    try:
        members = envelope(answer.body)
    except BadPayload:
        members = {}
    try:
        status = {name: scalar(raw) for name, raw in envelope(members.get("responseStatus", b"{}")).items()}
    except BadPayload:
        status = {}
    told = [text for text in (status.get("errorCode"), status.get("message")) if isinstance(text, str) and text]
    if answer.status < 300:
        return ": ".join(told)[:FAULT_CHARS] if status.get("errorCode") else None
    told += [text for name in ("errorCode", "message") if isinstance(text := scalar(members.get(name)), str) and text]
    if not told and (code := _CODE.fullmatch(answer.body[:FAULT_CHARS].decode("utf-8", "replace").strip(' \r\n"'))):
        told = [code[0]]
    return ": ".join(told)[:FAULT_CHARS] or None


# --- Asking -----------------------------------------------------------------------------------------------------------


async def _ask(
    walk: Walk, path: str, *params: tuple[str, str], filled: str | None = None
) -> tuple[Answer, dict[str, bytes]]:
    """Ask, and return the answer with its members.

    An expired session may be answered by 200 with nothing in it and a new session id. So where `filled` comes back
    missing or empty, with a new ss-id, the same is asked once more before it is believed.
    """
    for _ in range(2):
        answer = await walk.upstream.request("GET", path, params=params)
        members = envelope(answer.body)
        empty = filled and members.get(filled, b"").translate(None, b" \r\n\t") in (b"", b"[]", b"null", b'""')
        if not (empty and _rotated(answer)):
            break
    return answer, members


def _rotated(answer: Answer) -> bool:
    return any(name.lower() == "set-cookie" and "ss-id=" in value for name, value in answer.headers.items())


def _riders(members: Mapping[str, bytes]) -> dict[str, Sequence[bytes]]:
    """Return the urgent messages that came along; an odd `urgentMessages` never costs the page it rides on."""
    try:
        return {"urgent_messages": elements(members.get("urgentMessages"), "urgentMessages")}
    except BadPayload:
        return {}


def _whole(raw: bytes | None) -> int | None:
    value = scalar(raw)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _slice(
    answer: Answer, members: Mapping[str, bytes], rows: str, key: str, *, asked: int, position: int, take: int
) -> Slice:
    """Read one list answer; new rows begin at `position`, which may be one after `asked` (= `skip`).

    The list ends with a page that is not full, unless `totalResults` promises more (then `take` was clamped); with no
    rows at the position it ends in doubt if more were promised.
    """
    records = elements(members.get(rows), rows)
    total = _whole(members.get("totalResults"))
    following: int | None = asked + len(records)
    doubt = None
    if not records or (asked == position - 1 and following == position):
        if total is not None and total > position:
            doubt = f"the list ends after {position} rows, its totalResults says {total}"
        following = None
    elif len(records) < take and (total is None or total <= asked + len(records)):
        following = None
    keys = [_key_of(record, key) for record in records]
    return Slice(records=records, keys=keys, next_offset=following, answer=answer, total=total, doubt=doubt)


def _key_of(record: bytes, name: str) -> str | int | None:
    try:
        value = scalar(envelope(record).get(name))
    except BadPayload:
        return None
    return value if isinstance(value, (str, int)) and value != "" else None


# --- Products ---------------------------------------------------------------------------------------------------------


async def _walk_products(walk: Walk) -> AsyncIterator[Page]:
    """Ask for each product; keys that the upstream refuses are told of at the end, after all others were read.

    Only an id that is unknown buries its row: EAN codes and search terms say nothing about what they do not find.
    """
    by_name = {"ids": _by_id, "ean_codes": _by_ean, "search_terms": _by_term}
    steps = sorted((name, str(key)) for name, keys in walk.lookup.items() for key in set(keys))
    done = tuple(((walk.cursor or {}).get("pass") or {}).get("after", ()))
    refused: list[BadRequest] = []
    for name, key in steps:
        if (name, key) <= done:
            continue
        after = {"pass": {"after": [name, key]}}
        try:
            async for page in by_name[name](walk, key, after):
                yield page
        except BadRequest as error:
            refused.append(error)
            yield Page(records=[], cursor=after, requested_at=walk.now())
    yield Page(records=[], cursor={}, requested_at=walk.now())
    if refused:
        raise BadRequest(f"{len(refused)} of {len(steps)} product keys were refused: {refused[0]}", hint=refused[0].hint)


async def _by_id(walk: Walk, key: str, after: Cursor) -> AsyncIterator[Page]:
    requested_at = walk.now()
    gone = Scope(column="id", values=(key,), guarded=False)
    try:
        answer, members = await _ask(walk, f"/api/products/{quote(key, safe='')}", WITHOUT_ROUTES)
    except NotFound:
        yield Page(records=[], cursor=after, requested_at=requested_at, scope=gone)
        return
    except BadRequest as error:
        if len(key) != PRODUCT_ID_CHARS:
            raise BadRequest(
                f"product id {key!r}: {error}", hint=f"a product id has {PRODUCT_ID_CHARS} characters", status=error.status
            ) from None
        if not any(code in str(error) for code in UNKNOWN_PRODUCT):
            raise
        yield Page(records=[], cursor=after, requested_at=requested_at, scope=gone)
        return
    record = members["product"] if "product" in members else _bare(members)
    if record[:1] != b"{":
        raise BadPayload("expected an object in `product`")
    yield Page(records=[record], cursor=after, requested_at=answer.sent_at, riders=_riders(members))


async def _by_ean(walk: Walk, key: str, after: Cursor) -> AsyncIterator[Page]:
    async for page in _search(walk, ("eanCodes", key), EAN_TAKE, after):
        yield page


async def _by_term(walk: Walk, key: str, after: Cursor) -> AsyncIterator[Page]:
    try:
        async for page in _search(walk, ("searchTerm", key), SEARCH_TAKE, after):
            yield page
    except BadRequest as error:
        if TOO_MANY not in str(error):
            raise
        raise BadRequest(
            f"the search term {key!r} finds more than 200 products", hint="refine the term", status=error.status
        ) from None


async def _search(walk: Walk, what: tuple[str, str], take: int, after: Cursor) -> AsyncIterator[Page]:
    """Walk one search; an interrupted one starts again, so only its last page moves the cursor."""
    position = 0
    members: dict[str, bytes] = {}

    async def fetch(offset: int) -> Slice:
        nonlocal members
        paging = (("skip", str(offset)), ("take", str(take)))
        answer, members = await _ask(walk, "/api/products", what, *paging, WITHOUT_ROUTES, filled="products")
        return _slice(answer, members, "products", "id", asked=offset, position=position, take=take)

    async for piece, resume in walk_offsets(fetch):
        position = resume.offset if resume else position
        yield Page(
            records=piece.records,
            cursor=None if resume else after,
            requested_at=piece.answer.sent_at,
            riders=_riders(members),
            doubt=piece.doubt,
        )


# --- Orders -----------------------------------------------------------------------------------------------------------


async def _walk_orders(walk: Walk) -> AsyncIterator[Page]:
    """Walk the orders, newest first.

    A live pass ends once it has re-read the window and, one page further, everything above the top of the last complete
    pass. A sweep, and the first pass, walk the whole list and can be resumed.
    """
    before = walk.cursor or {}
    stored = before.get("pass") or {}
    top_before = frozenset(before.get("top") or ()) if walk.kind == "live" else frozenset()
    resume = Resume.from_json(stored)
    top: list[Any] = list(stored.get("top", ()))
    position = resume.offset if resume else 0
    met_before = False
    members: dict[str, bytes] = {}

    async def fetch(offset: int) -> Slice:
        nonlocal members
        paging = (("skip", str(offset)), ("take", str(ORDERS_TAKE)))
        answer, members = await _ask(walk, "/api/orders", *paging, filled="orders")
        return _slice(answer, members, "orders", "orderId", asked=offset, position=position, take=ORDERS_TAKE)

    async for piece, resume in walk_offsets(fetch, resume=resume):
        top = top or [key for key in piece.keys if key is not None][:TOP_IDS]
        enough = met_before and position >= int(walk.stream_options["window"])
        met_before = met_before or not top_before.isdisjoint(piece.keys)
        complete = resume is None or enough
        if complete:
            cursor: Cursor | None = {"top": top or list(top_before)} if walk.kind == "live" else {}
        else:
            cursor = None if top_before or not resume else {"pass": {**resume.to_json(), "top": top}}
        sweeps = complete and walk.kind == "sweep"
        yield Page(
            records=piece.records,
            cursor=cursor,
            requested_at=piece.answer.sent_at,
            scope=Scope() if sweeps else None,
            whole_walk=sweeps,
            doubt=piece.doubt,
            riders=_riders(members),
            total=piece.total,
        )
        if complete:
            return
        position = resume.offset if resume else position


# --- Account and urgent messages --------------------------------------------------------------------------------------


def _bare(members: Mapping[str, bytes]) -> bytes:
    """Return the record that is the body itself, without what rides along."""
    own = {name: msgspec.Raw(raw) for name, raw in members.items() if name not in ("urgentMessages", "responseStatus")}
    return msgspec.json.encode(own)


async def _ask_account(walk: Walk) -> tuple[Answer, dict[str, bytes]]:
    answer, members = await _ask(walk, "/api/account", filled="userId")
    if scalar(members.get("userId")) in (None, ""):
        raise BadPayload("expected an account with a `userId`, the answer has none", hint="the session may have expired")
    return answer, members


async def _walk_account(walk: Walk) -> AsyncIterator[Page]:
    answer, members = await _ask_account(walk)
    yield Page(
        records=[_bare(members)],
        cursor={},
        requested_at=answer.sent_at,
        scope=Scope(),
        whole_walk=True,
        riders=_riders(members),
        total=1,
    )


async def _walk_urgent_messages(walk: Walk) -> AsyncIterator[Page]:
    """Read the messages of an answer that is sound otherwise; that there are none is their normal state."""
    answer, members = await _ask_account(walk)
    messages = elements(members.get("urgentMessages"), "urgentMessages")
    yield Page(
        records=messages,
        cursor={},
        requested_at=answer.sent_at,
        scope=Scope(guarded=False),
        whole_walk=True,
        total=len(messages),
    )


SOURCE: Final = Source(
    type="ghs",
    schema_comment="Mirror of GHS Automotive, a wholesaler of car parts",
    base_url="https://api2.ghs-automotive.nl",
    options={
        "api_key": OptionSpec(kind="secret", comment="API key of the application, sent when logging in"),
        "username": OptionSpec(kind="str", comment="User name"),
        "password": OptionSpec(kind="secret", comment="Password"),
    },
    streams=(
        Stream(
            name="products",
            table=PRODUCTS,
            walk=_walk_products,
            every_s=3600.0,
            lookup=("ids", "ean_codes", "search_terms"),
        ),
        Stream(
            name="orders",
            table=ORDERS,
            walk=_walk_orders,
            every_s=300.0,
            sweep_s=86_400.0,
            options={
                "window": OptionSpec(
                    kind="int", default=100, minimum=1, comment="Newest orders that every live pass reads again"
                )
            },
        ),
        Stream(name="account", table=ACCOUNT, walk=_walk_account, every_s=3600.0),
        Stream(name="urgent_messages", table=URGENT_MESSAGES, walk=_walk_urgent_messages, every_s=900.0),
    ),
    auth=_auth,
    fault_of=fault_of,
    zone="Europe/Amsterdam",
)
