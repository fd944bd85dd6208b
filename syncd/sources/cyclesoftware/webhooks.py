"""The webhooks of CycleSoftware: which streams an event is about, and which record of them.

The vendor's page names neither the hash of the signature nor what exactly it covers; see docs/callbacks.md.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from syncd.contract import AccountColumn, Hint, Told, Webhooks
from syncd.contract.errors import BadPayload
from syncd.records.readers import envelope, members, scalar, shown, whole_number
from syncd.sources.cyclesoftware.store_orders import as_record

Payload = Mapping[str, bytes]
"""The members of `payload`, each as sent."""

NUMBER_CHARS: Final = 100
"""A longer `id` is known by its digest; documented is a UUID."""


def _run(*streams: str) -> Callable[[Payload, str], list[Hint]]:
    """Return what asks for the live runs of these streams: the API has no request for one record of them."""
    return lambda _payload, _event: [Hint(stream=stream) for stream in streams]


def _customer(payload: Payload, _event: str) -> list[Hint]:
    number = whole_number(members(payload.get("customer")).get("customer_id"))
    return [Hint(stream="customers", key=None if number is None else (number,))]


def _sales_order(payload: Payload, event: str) -> list[Hint]:
    found = [Hint(stream="sales_orders")]
    return [*found, _transactions_of(payload.get("sales_order_id"))] if event.endswith(".invoiced") else found


def _transactions_of(sales_order_id: bytes | None) -> Hint:
    """Return what asks for the transactions of a sales order; for all that changed, if there is none (0 or null)."""
    number = whole_number(sales_order_id)
    return Hint(stream="sales_transactions", key=(number,) if number else None)


def _sales_transaction(payload: Payload, _event: str) -> list[Hint]:
    return [_transactions_of(payload.get("sales_order_id")), Hint(stream="proforma_invoices")]


def _payments(payload: Payload, _event: str) -> list[Hint]:
    is_of_order = whole_number(payload.get("entity_type_id")) == SALES_ORDER
    return [Hint(stream="payments"), _transactions_of(payload.get("entity_id") if is_of_order else None)]


def _workshop_order(payload: Payload, event: str) -> list[Hint]:
    """Return what asks for a repair, by its own number and that of its customer."""
    number = whole_number(payload.get("workshop_order_id"))
    order = members(payload.get("sales_order"))
    customer_id = whole_number(order.get("customer_id")) or whole_number(payload.get("customer_id"))
    key = (number, customer_id, event.endswith(".deleted")) if number and customer_id else None
    return [Hint(stream="workshop_orders", key=key)]


_HINTS: Final[Mapping[str, Callable[[Payload, str], list[Hint]]]] = {
    "customer": _customer,
    "sales_order": _sales_order,
    "workshop_order": _workshop_order,
    "workshop_order_roadworthy": _workshop_order,
    "sales_transaction": _sales_transaction,
    "payments": _payments,
    "warehouse_outbound_order": _run("warehouse_open_order_items"),
    "warehouse_stock_item": _run("warehouse_stock_items", "warehouse_assemblies"),
}
"""What an event is about, by its name as far as the dot. What follows the dot is an open set."""
STORE_ORDER: Final = "store_order"
SALES_ORDER: Final = 7
"""Number of sales orders among the vendor's kinds of entities (enums, subject entity_types)."""
MISNAMED: Final = "warehouse_stock_item_id"
"""The vendor's sample of a stock item bears the name of an event about orders; what it names tells them apart."""


def _told(body: bytes) -> Told:
    """Read a call: its number, its account, and what it is about."""
    fields = envelope(body)
    event, sent = scalar(fields.get("event_name")), fields.get("payload")
    if not isinstance(event, str) or not event:
        raise BadPayload(f"expected a text in `event_name`, got {shown(fields.get('event_name'))}")
    payload = envelope(sent or b"")
    subject = "warehouse_stock_item" if MISNAMED in payload else event.partition(".")[0]
    hints = _HINTS[subject](payload, event) if subject in _HINTS else []
    records: dict[str, Sequence[bytes]] = {}
    if subject == STORE_ORDER:
        records["store_orders"] = [as_record(payload, fields.get("event_timestamp"))]
    return Told(
        delivery=_number(scalar(fields.get("id")), body),
        account=whole_number(fields.get("account_id")),
        hints=tuple(hints),
        records=records,
    )


def _number(sent: Any, body: bytes) -> str:
    """Return the number by which a call is known again; of one without a usable number, the digest of its body."""
    text = str(sent).strip().lower() if isinstance(sent, str | int) and not isinstance(sent, bool) else ""
    is_usable = text.isprintable() and text.isascii() and 0 < len(text) <= NUMBER_CHARS
    return text if is_usable else f"sha256 {hashlib.sha256(body).hexdigest()}"


def _signed(body: bytes) -> list[bytes]:
    """Return what the signature may be of: the body, or its member `payload`, each byte for byte as it came."""
    try:
        found = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [body]
    return [body, bytes(found["payload"])] if "payload" in found else [body]


def _account_of_store(store_id: Any) -> int | None:
    """Read the account out of stores.store_id: [account]-[store]."""
    found = re.fullmatch(r"([0-9]{1,18})-[0-9]+", str(store_id))
    return int(found[1]) if found else None


WEBHOOKS: Final = Webhooks(
    events=(
        "customer.created", "customer.updated",
        "sales_order.created", "sales_order.updated", "sales_order.deleted", "sales_order.invoiced",
        "workshop_order.created", "workshop_order.updated", "workshop_order.deleted", "workshop_order_roadworthy.*",
        "sales_transaction.created", "sales_transaction.updated",
        "payments.created",
        "store_order.created", "store_order.updated",
        "warehouse_outbound_order.created_or_updated",
        "warehouse_stock_item.updated", "warehouse_stock_item.released_for_shipment",
    ),
    signature="X-CycleSoftware-Signature",
    signed=_signed,
    told=_told,
    accounts=(
        AccountColumn(stream="stock_items", column="account_id"),
        AccountColumn(stream="sales_transactions", column="account_id"),
        AccountColumn(stream="stores", column="store_id", number=_account_of_store),
    ),
)  # fmt: skip
