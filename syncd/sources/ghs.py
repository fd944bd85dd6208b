"""GHS Automotive (car parts wholesaler, ServiceStack API): its tables, its session, and how its lists are walked.

Owns every fact about this API; what each rule rests on stands in docs/sources/ghs.md. Only reads, and never the cart or
the delivery routes, which are the session's own. `authToken`, which opens the web shop once, is neither kept nor shown.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, cast
from urllib.parse import quote

import msgspec

from syncd.config import OptionSpec, Secret
from syncd.contract import Answer, Column, Kind, Page, Scope, Send, Source, Stream, Table, Walk, snake
from syncd.contract.paging import Resume, Slice, walk_offsets
from syncd.errors import BadCredentials, BadPayload, BadRequest, NotFound
from syncd.records.parser import column, elements, envelope, scalar

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
EMPTY: Final = (b"", b"[]", b"{}", b"null", b'""')
LOGIN_HINT: Final = "Check api_key, username and password in the configuration."
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
    personal=("external_order_id",),
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
    personal=("user_id", "display_name", "email", "address"),
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
        """Return the cookies, written by hand: their values hold `/` and `+` and must travel unquoted."""
        if not self._id:
            return {}
        return {"Cookie": f"ss-id={self._id}" + (f"; ss-pid={self._permanent_id}" if self._permanent_id else "")}

    def due(self, now: datetime) -> bool:
        """Say whether there is no session, or one that was idle for so long that it may have expired."""
        return self._id is None or self._used_at is None or now - self._used_at > IDLE

    async def login(self, send: Send, now: datetime) -> None:
        """Open a new session; the API key is sent here only, as documented."""
        self.refused()
        who = {"UserName": self._username, "Password": self._password.reveal(), "RememberMe": False}
        key = {"X-ApiKey": self._api_key.reveal()}
        try:
            answer = await send("POST", "/api/auth/credentials", headers=key, json=who)
        except BadPayload as error:
            if error.status != 200:
                raise
            raise BadCredentials(str(error), hint=LOGIN_HINT, status=200) from None
        session_id = scalar(envelope(answer.body).get("sessionId"))
        if (fault := fault_of(answer)) or not (isinstance(session_id, str) and session_id):
            told = fault or "the answer has no `sessionId`"
            raise BadCredentials(f"the login gave no session: {told}", hint=LOGIN_HINT, status=answer.status)
        self._id, self._used_at = session_id, now

    def refused(self) -> bool:
        """Forget the session; a new one may help (expired, or `broken-session`)."""
        self._id = self._permanent_id = None
        return True

    def received(self, answer: Answer, cookies: Mapping[str, str], now: datetime) -> None:
        """Take rotated cookies; an ss-id that comes without a login signs nothing."""
        self._used_at = now
        self._permanent_id = cookies.get("ss-pid") or self._permanent_id
        if self._id and "ss-id" in cookies:
            self._id = cookies["ss-id"] or None


def fault_of(answer: Answer) -> str | None:
    """Read `responseStatus{errorCode,message}` at any status; of a failure also a bare code such as broken-session."""
    members = _members(answer.body)
    status = _members(members.get("responseStatus", b"{}"))
    told = [scalar(status.get("errorCode")), scalar(status.get("message"))]
    if answer.status < 300 and not told[0]:
        return None
    if answer.status >= 300:
        told += [scalar(members.get("errorCode")), scalar(members.get("message"))]
        text = answer.body[:FAULT_CHARS].decode("utf-8", "replace").strip(' \t\r\n"')
        told += [text] if _CODE.fullmatch(text) else []
    texts = dict.fromkeys(text for text in told if isinstance(text, str) and text)
    return ": ".join(texts)[:FAULT_CHARS] or None


def _members(raw: bytes) -> dict[str, bytes]:
    """Return the members of a JSON object, none of anything else."""
    try:
        return envelope(raw)
    except BadPayload:
        return {}


# --- Asking -----------------------------------------------------------------------------------------------------------


async def _ask(
    walk: Walk, path: str, *params: tuple[str, str], filled: str | None = None
) -> tuple[Answer, dict[str, bytes]]:
    """Ask, and return the answer with its members.

    An expired session may be answered by a 200 with nothing in it. So where `filled` comes back missing or empty, the
    same is asked once more before it is believed; should the session be gone, that answer is a 401 and mends it.
    """
    for _ in range(2):
        answer = await walk.upstream.request("GET", path, params=params)
        members = envelope(answer.body)
        if not filled or members.get(filled, b"").translate(None, b" \r\n\t") not in EMPTY:
            break
    return answer, members


def _riders(members: Mapping[str, bytes]) -> dict[str, Sequence[bytes]]:
    """Return the urgent messages that came along; an odd `urgentMessages` never costs the page it rides on."""
    try:
        return {"urgent_messages": elements(members.get("urgentMessages"), "urgentMessages")}
    except BadPayload:
        return {}


def _slice(
    answer: Answer, members: Mapping[str, bytes], rows: tuple[str, str], asked: int, new: int, take: int
) -> Slice:
    """Read one list answer: `rows` names it and its key, `new` is where rows not met before begin (`asked`, or +1).

    The list ends with a page that is not full, unless `totalResults` promises more (then `take` was clamped); with no
    rows at `new` it ends in doubt if more were promised.
    """
    records = elements(members.get(rows[0]), rows[0])
    total = scalar(members.get("totalResults"))
    total = total if isinstance(total, int) and not isinstance(total, bool) else None
    following: int | None = asked + len(records)
    doubt = None
    if not records or (asked == new - 1 and following == new):
        doubt = f"the list ends after {new} rows, its totalResults says {total}" if (total or 0) > new else None
        following = None
    elif len(records) < take and (total or 0) <= asked + len(records):
        following = None
    found = [scalar(_members(record).get(rows[1])) for record in records]
    keys = [value if isinstance(value, (str, int)) and value != "" else None for value in found]
    return Slice(records=records, keys=keys, next_offset=following, answer=answer, total=total, doubt=doubt)


# --- Products ---------------------------------------------------------------------------------------------------------


async def _walk_products(walk: Walk) -> AsyncIterator[Page]:
    """Ask for each product; keys that the upstream refuses are told of at the end, after all others were read.

    Only an id that is unknown buries its row: EAN codes and search terms say nothing about what they do not find.
    A pass that goes on where a killed run stopped asks for what that one had asked for last: it may have changed since.
    """
    steps = sorted((name, str(key)) for name, keys in walk.lookup.items() for key in set(keys))
    done = tuple(((walk.cursor or {}).get("pass") or {}).get("after") or ())
    refused: list[BadRequest] = []
    for name, key in sorted(steps, key=lambda step: step <= done):
        try:
            if name == "ids":
                page = await _by_id(walk, key)
            elif name == "ean_codes":
                page = await _search(walk, ("eanCodes", key), EAN_TAKE)
            else:
                page = await _search(walk, ("searchTerm", key), SEARCH_TAKE)
        except BadRequest as error:
            refused.append(error)
            page = Page(records=[], cursor=None, requested_at=walk.now())
        yield replace(page, cursor={"pass": {"after": [name, key]}}, total=len(steps))
    yield Page(records=[], cursor={}, requested_at=walk.now())
    if refused:
        told = f"{len(refused)} of {len(steps)} product keys were refused, the first: {refused[0]}"
        raise BadRequest(told, hint=refused[0].hint, status=refused[0].status)


async def _by_id(walk: Walk, key: str) -> Page:
    """Ask for one product; an unknown one buries its row, an id of the wrong length is a mistake of ours."""
    requested_at = walk.now()
    try:
        answer, members = await _ask(walk, f"/api/products/{quote(key, safe='')}", WITHOUT_ROUTES)
    except (NotFound, BadRequest) as error:
        if isinstance(error, BadRequest) and len(key) != PRODUCT_ID_CHARS:
            hint = f"A product id has {PRODUCT_ID_CHARS} characters; correct {key!r} in the configuration."
            raise BadRequest(str(error), hint=hint, status=error.status) from None
        if isinstance(error, BadRequest) and not any(code in str(error) for code in UNKNOWN_PRODUCT):
            raise
        gone = Scope(column="id", values=(key,), guarded=False)
        return Page(records=[], cursor=None, requested_at=requested_at, scope=gone)
    record = members["product"] if "product" in members else _bare(members)
    if record[:1] != b"{":
        raise BadPayload("expected an object in `product`")
    return Page(records=[record], cursor=None, requested_at=answer.sent_at, riders=_riders(members))


async def _search(walk: Walk, what: tuple[str, str], take: int) -> Page:
    """Walk one search, of at most 200 products, into one page."""
    records: list[bytes] = []
    riders: Mapping[str, Sequence[bytes]] = {}
    position, requested_at = 0, walk.now()

    async def fetch(offset: int) -> Slice:
        nonlocal riders
        paging = (("skip", str(offset)), ("take", str(take)))
        answer, members = await _ask(walk, "/api/products", what, *paging, WITHOUT_ROUTES, filled="products")
        riders = _riders(members)
        return _slice(answer, members, ("products", "id"), offset, position, take)

    try:
        async for piece, after in walk_offsets(fetch):
            records.extend(piece.records)
            position = after.offset if after else position
    except BadRequest as error:
        hint = f"More than 200 products: refine the search term {what[1]!r}." if TOO_MANY in str(error) else error.hint
        raise BadRequest(str(error), hint=hint, status=error.status) from None
    return Page(records=records, cursor=None, requested_at=requested_at, riders=riders)


# --- Orders -----------------------------------------------------------------------------------------------------------


async def _walk_orders(walk: Walk) -> AsyncIterator[Page]:
    """Walk the orders, newest first.

    A live pass ends once it has re-read the window and, one page further, all that lies above the top of the last
    complete pass. A sweep, and the first pass, walk the whole list. New orders shift every offset, so that no place in
    the list is safe to resume at: an interrupted pass starts again.
    """
    before: list[Any] = (walk.cursor or {}).get("top", [])
    known = frozenset(before) if walk.kind == "live" else frozenset()
    top: list[Any] = []
    position, has_met = 0, False
    riders: Mapping[str, Sequence[bytes]] = {}

    async def fetch(offset: int) -> Slice:
        nonlocal riders
        paging = (("skip", str(offset)), ("take", str(ORDERS_TAKE)))
        answer, members = await _ask(walk, "/api/orders", *paging, filled="orders")
        riders = _riders(members)
        return _slice(answer, members, ("orders", "orderId"), offset, position, ORDERS_TAKE)

    pieces = cast("AsyncGenerator[tuple[Slice, Resume | None], None]", walk_offsets(fetch))
    async with aclosing(pieces):
        async for piece, after in pieces:
            top = top or [key for key in piece.keys if key is not None][:TOP_IDS]
            complete = after is None or (has_met and position >= int(walk.stream_options["window"]))
            has_met = has_met or not known.isdisjoint(piece.keys)
            position = after.offset if after else position
            sweeps = walk.kind == "sweep" and complete
            newest = {"top": top or before} if walk.kind == "live" else {}
            yield Page(
                records=piece.records,
                cursor=newest if complete else None,
                requested_at=piece.answer.sent_at,
                scope=Scope() if sweeps else None,
                whole_walk=sweeps,
                doubt=piece.doubt,
                riders=riders,
                total=piece.total,
            )
            if complete:
                return


# --- Account and urgent messages --------------------------------------------------------------------------------------


def _bare(members: Mapping[str, bytes]) -> bytes:
    """Return the record that is the body itself, without what rides along."""
    own = {name: msgspec.Raw(raw) for name, raw in members.items() if name not in ("urgentMessages", "responseStatus")}
    return msgspec.json.encode(own)


async def _ask_account(walk: Walk) -> tuple[Answer, dict[str, bytes]]:
    """Ask for the account; one without a `userId` is no account, so that no message is buried on its strength."""
    answer, members = await _ask(walk, "/api/account", filled="userId")
    if members.get("userId", b"") in EMPTY:
        raise BadPayload("expected an account with a `userId`, the answer has none")
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
    )


async def _walk_urgent_messages(walk: Walk) -> AsyncIterator[Page]:
    """Read the messages that ride on the account; unguarded, for to have none is their normal state."""
    answer, members = await _ask_account(walk)
    messages = elements(members.get("urgentMessages"), "urgentMessages")
    everything = Scope(guarded=False)
    yield Page(records=messages, cursor={}, requested_at=answer.sent_at, scope=everything, whole_walk=True)


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
    auth=_Session,
    fault_of=fault_of,
    zone="Europe/Amsterdam",
)
