"""Sales leads, asked for one by one by their UUID."""

import uuid
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from urllib.parse import quote

from syncd.contract import (
    BIGINT,
    BOOLEAN,
    TEXT,
    TIMESTAMP,
    UUID,
    Page,
    Scope,
    Stream,
    Table,
    Walk,
    column,
)
from syncd.contract.early import in_order
from syncd.contract.errors import BadPayload, ConfigError, NotFound
from syncd.contract.options import MINUTE_S
from syncd.records.readers import Keys, envelope
from syncd.sources.cyclesoftware.api import SCHEMA

_WISHES = {
    "test_ride_requested": "Whether the customer asks for a test ride",
    "phone_call_requested": "Whether the customer asks to be called",
    "finance_information_requested": "Whether the customer asks about financing",
    "insurance_information_requested": "Whether the customer asks about insurance",
}
_EXCHANGE = {
    "exchange_description": "Description of the object offered in exchange",
    "exchange_remarks": "Remarks about the object offered in exchange",
}
_ADDRESS = ("customer", "customer_address_id")
_LEAD_CUSTOMER = {
    "company_name": "Company of the customer, or empty",
    "name": "Name of the customer",
    "street": "Street",
    "house_number": "House number",
    "house_number_postfix": "What follows the house number",
    "postal_code": "Postcode",
    "city": "City",
    "country_code": "Country by ISO 3166, e.g. NL",
    "phone_number": "Phone number in any form",
    "email": "E-mail address",
    "notes": "Remarks about the customer's address",
}
_ADDRESS_COLUMNS = ("customer_address_id", "customer_id", *(f"customer_{name}" for name in _LEAD_CUSTOMER))

LEADS = Table(
    schema=SCHEMA,
    name="leads",
    key=("uuid",),
    comment="Sales leads, asked for one by one by their UUID",
    person=True,
    personal=(
        "title",
        "message",
        "object_description",
        "exchange_object_exchange_description",
        "exchange_object_exchange_remarks",
        *_ADDRESS_COLUMNS,
    ),
    refers={"customer_id": "customers"},
    columns=(
        column("uuid", UUID, "Identifies the lead"),
        column("store_id", TEXT, "The store, promised as [account]-[store], but sampled as 43831 too"),
        column("type", TEXT, "information, sales_offer, test_ride, contact_request, exchange, complaint or other"),
        column("status", TEXT, "open, noticed, accepted, declined, succeeded, failed or cancelled"),
        column("title", TEXT, "Short description"),
        column("message", TEXT, "Message to the dealer"),
        column("costs_ex_vat_cents", BIGINT, "What acceptance costs the dealer, in euro cents without VAT"),
        *(column(f"options_{name}", BOOLEAN, text, "options", name) for name, text in _WISHES.items()),
        column("object_description", TEXT, "Description of the object asked about", "object", "description"),
        column("object_id", BIGINT, "The object in the dealer's stock, as in table stock", "object", "object_id"),
        column("object_article_number", TEXT, "Article number of the object", "object", "article_number"),
        column("object_barcode", TEXT, "EAN of the object", "object", "barcode"),
        *(column(f"exchange_object_{name}", TEXT, text, "exchange_object", name) for name, text in _EXCHANGE.items()),
        column("customer_address_id", BIGINT, "Number of the address", *_ADDRESS, optional=True),
        column("customer_address_type", TEXT, "lead or delivery_address in the samples", "customer", "address_type"),
        column("customer_id", BIGINT, "The customer, if the address is linked to one", "customer", "customer_id"),
        column("customer_is_business_address", BOOLEAN, "True for a company", "customer", "is_business_address"),
        *(column(f"customer_{name}", TEXT, text, "customer", name) for name, text in _LEAD_CUSTOMER.items()),
        column("created_at", TIMESTAMP, "When the lead was created; sent with its offset", optional=True),
        column("modified_at", TIMESTAMP, "When the lead was last modified; sent with its offset", optional=True),
    ),
)

_KEYS = Keys(LEADS)


async def _walk_leads(walk: Walk) -> AsyncIterator[Page]:
    """Ask for leads one by one; a lead that is not found is gone."""
    wanted = list(dict.fromkeys(_uuid(value) for value in walk.lookup.get("uuids", ())))
    if not wanted:
        yield Page(records=[], cursor=walk.cursor, requested_at=walk.now())
    async for _, page in in_order(wanted, partial(_ask_lead, walk), walk.early):
        yield page


async def _ask_lead(walk: Walk, lead: uuid.UUID) -> Page:
    """Return the page of one lead: the answer is all there is of it."""
    asked_at = walk.now()
    scope = Scope(column="uuid", values=(lead,), guarded=False)
    try:
        answer = await walk.upstream.request("GET", f"/api/v1/leads/{quote(str(lead), safe='')}.json")
    except NotFound:
        return Page(records=[], cursor={"as_of": asked_at.isoformat()}, requested_at=asked_at, scope=scope)
    record = envelope(answer).get("sales_lead")
    if record is None or record[:1] != b"{":
        raise BadPayload(f"expected an object in `sales_lead`, got {'nothing' if record is None else 'another type'}")
    same = _KEYS.of(record) == (lead,)
    return Page(
        records=[record],
        cursor={"as_of": answer.safe_at.isoformat()},
        requested_at=answer.sent_at,
        scope=scope if same else None,
        doubt=None if same else "a lead came back with another uuid than it was asked for by",
    )


def _uuid(value: Any) -> uuid.UUID:
    try:
        return uuid.UUID(str(value).strip())
    except ValueError:
        raise ConfigError(
            f"leads: expected a UUID such as 0c6b40a4-a217-11e8-92bb-005056a46320 in uuids, found {str(value)[:60]!r}"
        ) from None


LEADS_STREAM = Stream(name="leads", table=LEADS, walk=_walk_leads, every_s=15 * MINUTE_S, lookup=("uuids",))
