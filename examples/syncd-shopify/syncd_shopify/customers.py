"""Customers: persons. No event tells that one was deleted, so a sweep lists them all."""

from collections.abc import AsyncIterator
from typing import Final

from syncd.contract import BIGINT, BOOLEAN, JSON, NUMERIC, TEXT, TIMESTAMP, Page, Table, Walk, column
from syncd_shopify.api import changed

CUSTOMERS: Final = Table(
    schema="shopify",
    name="customers",
    key=("customer_id",),
    comment="Customers of the web shop",
    person=True,
    personal=("customer_id", "email", "phone", "first_name", "last_name", "note", "tags", "addresses"),
    columns=(
        column("customer_id", BIGINT, "Number of the customer", "id"),
        column("email", TEXT, "E-mail address"),
        column("phone", TEXT, "Telephone number, by E.164"),
        column("first_name", TEXT, "First name"),
        column("last_name", TEXT, "Last name"),
        column("state", TEXT, "State of the account: enabled, disabled, invited or declined"),
        column("verified_email", BOOLEAN, "Whether the e-mail address was verified"),
        column("orders_count", BIGINT, "Orders so far"),
        column("total_spent", NUMERIC, "Spent so far, in the currency of the shop; sent as a text"),
        column("note", TEXT, "What the shop noted about the customer"),
        column("tags", TEXT, "Tags, separated by commas"),
        column("addresses", JSON, "Addresses, as sent"),
        column("created_at", TIMESTAMP, "When it was created"),
        column("updated_at", TIMESTAMP, "When it was last changed"),
    ),
)


async def walk_customers(walk: Walk) -> AsyncIterator[Page]:
    """Walk what was changed, or everything."""
    async for page, _ in changed(walk, "customers"):
        yield page
