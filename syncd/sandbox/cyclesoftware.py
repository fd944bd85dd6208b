"""CycleSoftware's endpoints: Basic authentication, envelopes of several kinds, `next_offset` paging.

Owns the form of its answers; data and time come from the world, limits and faults are laid around it by the server.
"""

import base64
import binascii
import re
from datetime import timedelta

import msgspec

from syncd.sandbox.answer import Answer, Ask, Route, decoded
from syncd.sandbox.collection import Collection, Key
from syncd.sandbox.credentials import CREDENTIALS
from syncd.sandbox.world import World

NO_ERROR = {"error": False, "error_message": None}
WIDEST_RANGE = timedelta(days=31)  # of modified_start to modified_end (FACTS, P)


class CycleSoftware:
    """The endpoints of CycleSoftware over one world."""

    name = "cyclesoftware"
    prefix = "/cyclesoftware"
    gzips = True

    def __init__(self, world: World, *, page_size: int) -> None:
        self._world = world
        self._page_size = page_size
        self.skew: dict[
            str, tuple[int, int]
        ] = {}  # stream → rows by which offsets beyond a point are moved; a fault sets it

    def routes(self) -> list[Route]:
        """Return all endpoints."""
        v1 = "/api/v1"
        return [
            Route(
                method="GET",
                path=f"{v1}/customers/list.json",
                stream="customers",
                handler=self._customers,
                limited=True,
            ),
            Route(method="GET", path=f"{v1}/customers/find.json", stream="customers", handler=self._find, limited=True),
            Route(
                method="GET",
                path=rf"{v1}/customers/{{id:\d+}}.json",
                stream="customers",
                handler=self._customer,
                limited=True,
            ),
            Route(method="GET", path=f"{v1}/stock-in-store-locator/stores.json", stream="stores", handler=self._stores),
            Route(
                method="POST",
                path=f"{v1}/stock-in-store-locator/stock.json",
                stream="stock",
                handler=self._stock,
                limited=True,
            ),
            Route(
                method="GET",
                path=f"{v1}/stock/pos-items.json",
                stream="stock_items",
                handler=self._stock_items,
                limited=True,
            ),
            Route(
                method="GET", path=f"{v1}/platform/authentication/keys.json", stream="platform_keys", handler=self._keys
            ),
            Route(method="GET", path=f"{v1}/leads/{{uuid}}.json", stream="leads", handler=self._lead, limited=True),
            Route(
                method="GET",
                path="/api/v2/salesdata/orders.json",
                stream="sales_orders",
                handler=self._sales,
                limited=True,
            ),
        ]

    def refusal(self, ask: Ask) -> Answer | None:
        """Return the 401 for wrong credentials, or None if they are right."""
        scheme, _, encoded = ask.headers.get("Authorization", "").partition(" ")
        account = CREDENTIALS["cyclesoftware"]
        try:
            given = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            given = ""
        right = scheme.lower() == "basic" and given == f"{account['username']}:{account['password']}"
        return None if right else self.error(401, "Unauthorized")

    def error(self, status: int, message: str) -> Answer:
        """Return an error in the documented JSON form."""
        return Answer(status=status, body={"error": True, "error_message": message})

    def end_session(self, ask: Ask) -> None:
        """Do nothing: there are no sessions."""

    def login_failure(self) -> Answer:
        """Return an error inside a 200."""
        return self.error(200, "Unauthorized")

    def _customers(self, ask: Ask) -> Answer:
        customers = self._world[self.name, "customers"]
        keys = customers.keys()
        if "modified_since" in ask.query:
            try:
                keys = customers.since(self._world.parsed(self.name, ask.query["modified_since"]))
            except ValueError:
                return self.error(400, "Invalid value for modified_since")
        return self._page(ask, customers, keys, "customers")

    def _page(self, ask: Ask, collection: Collection, keys: list[Key], rows_at: str) -> Answer:
        try:
            offset = ask.number("offset", 0)
        except ValueError:
            return self.error(400, "Invalid value for offset")
        size = min(self._page_size, ask.page_limit or self._page_size)
        point, shift = self.skew.get(ask.stream, (0, 0))
        if offset < point - 1 or not offset:  # one row early is still the same walk
            self.skew.pop(ask.stream, None)
            shift = 0
        start = max(0, offset - shift)
        rows = [collection.raw(key) for key in keys[start : start + size]]
        more = start + size < len(keys)
        pagination = {"count": len(rows), "next_offset": offset + size if more else None}
        body = {**NO_ERROR, rows_at: rows, "pagination": pagination}
        return Answer(body=body, rows_at=(rows_at,), paging="next_offset", more=more)

    def _find(self, ask: Ask) -> Answer:
        wanted = {
            "postal_code": "postcode",
            "housenumber": "house_number",
            "housenumber_postfix": "house_number_postfix",
            "email": "email",
            "query": "name",
            "country_code": "country_code_iso_3166",
        }
        collection = self._world[self.name, "customers"]
        found: list[msgspec.Raw] = []
        phone = re.sub(r"\D", "", ask.query.get("phone_number", ""))
        for key in collection.keys():  # noqa: SIM118 (a method of ours)
            record = collection.get(key)
            fits = all(ask.query.get(name, record[field]) == record[field] for name, field in wanted.items())
            numbers = {re.sub(r"\D", "", number["phone_number"]) for number in record["phone_numbers"]}
            if fits and (not phone or phone in numbers):
                found.append(collection.raw(key))
        return Answer(body=found, rows_at=())

    def _customer(self, ask: Ask) -> Answer:
        try:
            return Answer(body=self._world[self.name, "customers"].raw(int(ask.params["id"])), rows_at=())
        except KeyError:
            return self.error(404, "Not Found")

    def _stores(self, _ask: Ask) -> Answer:
        return Answer(body={"error_message": None, "error": False, "stores": self._all("stores")}, rows_at=("stores",))

    def _stock(self, ask: Ask) -> Answer:
        try:
            wanted = msgspec.json.decode(ask.body, type=list[dict[str, str]])
        except msgspec.DecodeError:
            return self.error(400, "Invalid request: a list of objects with a barcode or article_id is expected")
        pairs = {(name, value) for entry in wanted for name, value in entry.items()}
        rows = [
            row
            for row in self._all("stock")
            if (record := decoded(row))
            and (("barcode", record["barcode"]) in pairs or ("article_id", record["article_id"]) in pairs)
        ]
        body = {"error_message": None, "error": False, "stores": self._all("stores"), "stock": rows}
        return Answer(body=body, rows_at=("stock",))

    def _stock_items(self, _ask: Ask) -> Answer:
        return Answer(body={**NO_ERROR, "data": self._all("stock_items")}, rows_at=("data",))

    def _keys(self, _ask: Ask) -> Answer:
        return Answer(
            body={"error_message": None, "error": False, "keys": self._all("platform_keys")}, rows_at=("keys",)
        )

    def _lead(self, ask: Ask) -> Answer:
        try:
            lead = self._world[self.name, "leads"].raw(ask.params["uuid"].lower())
        except KeyError:
            return self.error(404, "Not Found")
        return Answer(body={**NO_ERROR, "sales_lead": lead}, rows_at=("sales_lead",))

    def _sales(self, ask: Ask) -> Answer:
        try:
            start, end = (self._world.parsed(self.name, ask.query[name]) for name in ("modified_start", "modified_end"))
        except (KeyError, ValueError):
            return self.error(400, "modified_start and modified_end are required")
        if (
            not ask.lenient and not 0 <= end - start <= WIDEST_RANGE.total_seconds() + 3_600
        ):  # an hour for the autumn night
            return self.error(400, "The range of modified_start and modified_end is limited to 31 days")
        orders = Collection(self._world[self.name, "sales_orders"].key_fields)
        sources = [self._world[self.name, "sales_orders"]]
        if ask.query.get("include_deleted") == "1":
            sources.append(self._world.cancelled)
        for source in sources:
            for key in source.since(start):
                if source.stamp(key) <= end:
                    orders.put(source.get(key), source.stamp(key))
        return self._page(ask, orders, orders.keys(), "data")

    def _all(self, stream: str) -> list[msgspec.Raw]:
        collection = self._world[self.name, stream]
        return [collection.raw(key) for key in collection.keys()]  # noqa: SIM118 (a method of ours)
