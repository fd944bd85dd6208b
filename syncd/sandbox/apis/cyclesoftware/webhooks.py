"""The webhooks that CycleSoftware sends when something changes: signed, to an address that an operator entered.

The signature is over the raw body, whose spaces and escapes no JSON library would write again. Hostile calls, too.
"""

import base64
import hmac
import json
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from syncd.sandbox.apis.cyclesoftware.lists import API
from syncd.sandbox.courier import JSON, Call, Courier
from syncd.sandbox.world import Dice, Key, Record, World

ACCOUNT_ID = 5393
"""The account where the world names none."""
HUGE_BYTES = 2_000_000
FLOOD = 500
HOSTILE = {
    "duplicate": "the same call three times",
    "replay": "every call that was made before, once more",
    "reordered": "two events of a store order, the newer one first",
    "wrong": "a right call with a wrong signature",
    "unsigned": "a right call without a signature",
    "sha1": "a right call signed with SHA-1",
    "foreign": "a rightly signed call about another account",
    "unknown": "a rightly signed call of an event that nobody knows",
    "misnamed": "a stock item under the name of an event about orders, as in the vendor's sample",
    "garbage": "rightly signed bodies that are not of the documented form",
    "huge": "a rightly signed body of two megabytes",
    "stranger": "a wrong address of the same listener",
    "flood": f"{FLOOD} calls about customers that there are",
}
GARBAGE = (
    b"", b"null", b"[]", b"{", b"\xff\xfe", b'"customer.updated"', b'{"event_name": null, "payload": {}}',
    b'{"event_name": "customer.updated", "payload": [1]}', b'{"event_name": "customer.updated"}', b"[" * 9_000,
    b'{"event_name": {"a": 1}, "payload": {}}', b'{"payload": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
)  # fmt: skip


def _member(name: str) -> Callable[[Record], Record]:
    return lambda record: {name: record}


EVENTS: Mapping[str, tuple[str, Callable[[Record], Record]]] = {
    "customers": ("customer.updated", _member("customer")),
    "sales_orders": ("sales_order.updated", dict),
    "store_orders": ("store_order.updated", dict),
    "sales_transactions": (
        "sales_transaction.updated",
        lambda record: {
            "invoice_number": record["sales_transaction_number"],
            "sales_order_id": (record.get("sales_order") or {}).get("sales_order_id"),
        },
    ),
    "workshop_orders": (
        "workshop_order.updated",
        lambda record: {
            "workshop_order_id": record["workshop_order_id"],
            "sales_order": {"sales_order_id": record["workshop_order_id"], "customer_id": record.get("customer_id")},
        },
    ),
}
"""The event of each stream that has one, and its payload."""


class Webhooks:
    """The address that was entered with its secret, and the calls to it. Without an address nothing is called."""

    def __init__(self, world: World) -> None:
        self.url: str | None = None
        self.secret = ""
        self.hash = "sha256"
        self.over = "body"  # or "payload": the vendor's page allows both readings
        self.form = "hex"  # or "HEX", "base64", "prefixed"
        self.is_muted = False
        self.courier = Courier(lambda: self.url)
        self._world = world
        self._made = 0
        world.on_change.append(self._tell)

    @property
    def sent(self) -> deque[Call]:
        """The calls that were made."""
        return self.courier.sent

    @property
    def account_id(self) -> int:
        """The number of the account, as its stock tells it."""
        items = self._world[API, "stock_items"]
        return next((int(items.get(key)["account_id"]) for key in items.keys()), ACCOUNT_ID)  # noqa: SIM118

    def _tell(self, api: str, stream: str, key: Key) -> None:
        if api == API and stream in EVENTS and self.url and not self.is_muted:
            try:
                record = self._world.get(api, stream, key)
            except KeyError:  # no event tells that a record is gone
                return
            self.send(stream, record)

    def send(self, stream: str, record: Record, *, kind: str = "change", **changed: Any) -> None:
        """Tell of a record soon; `changed` replaces members of the envelope."""
        self.courier.send(self.call(stream, record, kind=kind, **changed))

    def call(self, stream: str, record: Record, *, kind: str = "change", **changed: Any) -> Call:
        """Make the call that tells of a record."""
        event, payload_of = EVENTS[stream]
        return self.signed(kind, {**self.envelope(event, payload_of(record)), **changed})

    def envelope(self, event: str, payload: Record) -> Record:
        """Return the documented members around a payload, with a new number."""
        self._made += 1
        number = Dice(self._world.seed, "webhook", self._made).uuid()
        return {
            "id": str(uuid.UUID(number)),
            "account_id": self.account_id,
            "event_name": event,
            "event_timestamp": round(self._world.now().timestamp(), 3) + self._made / 1_000,
            "payload": payload,
        }

    def signed(
        self, kind: str, body: Record | bytes, *, hash_name: str | None = None, secret: str | None = None
    ) -> Call:
        """Make a call of a body, signed as the account is set up."""
        raw = body if isinstance(body, bytes) else written(body)
        part = written(body["payload"]) if self.over == "payload" and not isinstance(body, bytes) else raw
        digest = hmac.digest((self.secret if secret is None else secret).encode(), part, hash_name or self.hash)
        forms = {
            "hex": digest.hex(),
            "HEX": digest.hex().upper(),
            "base64": base64.b64encode(digest).decode(),
            "prefixed": f"{self.hash}={digest.hex()}",
        }
        told = {} if isinstance(body, bytes) else body
        headers = {
            **JSON,
            "X-CycleSoftware-Delivery": str(told.get("id", "")),
            "X-CycleSoftware-Event": str(told.get("event_name", "")),
            "X-CycleSoftware-Signature": forms[self.form],
        }
        return Call(kind=kind, body=raw, headers=headers)

    def attack(self, kind: str, *, times: int = 1) -> None:
        """Make hostile calls of one kind, so many times; KeyError for a kind that there is not."""
        _ = HOSTILE[kind]
        make: Callable[[str], list[Call]] = getattr(self, f"_{kind}")
        for _ in range(times):
            self.courier.send(*make(kind))

    def _customer(self, place: int = 0) -> Record:
        customers = self._world[API, "customers"]
        keys = customers.keys()
        return customers.get(keys[place % len(keys)])

    def _right(self, kind: str) -> Call:
        return self.call("customers", self._customer(), kind=kind)

    def _duplicate(self, kind: str) -> list[Call]:
        return [self._right(kind)] * 3

    def _replay(self, kind: str) -> list[Call]:
        return [Call(kind=kind, body=one.body, headers=one.headers) for one in self.sent if one.kind == "change"]

    def _reordered(self, kind: str) -> list[Call]:
        record = self._world.fresh(API, "store_orders")
        older = self.call("store_orders", record, kind=kind)
        newer = self.call("store_orders", {**record, "status_id": 1, "status": "Verwerkt"}, kind=kind)
        return [newer, older]

    def _wrong(self, kind: str) -> list[Call]:
        return [self.signed(kind, self.envelope("customer.updated", {"customer": self._customer()}), secret="another")]  # noqa: S106  (made up)

    def _unsigned(self, kind: str) -> list[Call]:
        return [Call(kind=kind, body=self._right(kind).body)]

    def _sha1(self, kind: str) -> list[Call]:
        return [self.signed(kind, self.envelope("customer.updated", {"customer": self._customer()}), hash_name="sha1")]

    def _foreign(self, kind: str) -> list[Call]:
        return [self.call("customers", self._customer(), kind=kind, account_id=self.account_id + 1)]

    def _unknown(self, kind: str) -> list[Call]:
        return [self.signed(kind, self.envelope("quote.lost", {"quote_id": 7}))]

    def _misnamed(self, kind: str) -> list[Call]:
        return [self.signed(kind, self.envelope("warehouse_outbound_order.updated", {"warehouse_stock_item_id": 7}))]

    def _garbage(self, kind: str) -> list[Call]:
        return [self.signed(kind, body) for body in GARBAGE]

    def _huge(self, kind: str) -> list[Call]:
        return [self.signed(kind, self._right(kind).body + b" " * HUGE_BYTES)]

    def _stranger(self, kind: str) -> list[Call]:
        right = self._right(kind)
        return [Call(kind=kind, body=right.body, headers=right.headers, beside=True)]

    def _flood(self, kind: str) -> list[Call]:
        return [self.call("customers", self._customer(place), kind=kind) for place in range(FLOOD)]


def written(value: Any) -> bytes:
    """Write JSON as the vendor's PHP may: spaces where others have none, and every slash escaped."""
    return json.dumps(value, separators=(" ,", ":  ")).replace("/", "\\/").encode()
