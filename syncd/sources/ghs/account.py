"""The account itself, and the urgent messages that ride on every answer."""

from collections.abc import AsyncIterator
from typing import Final

from syncd.contract import BIGINT, JSON, TEXT, Answer, Kind, Page, Scope, Stream, Table, Walk, camel_column, column
from syncd.contract.errors import BadPayload
from syncd.contract.options import HOUR_S, MINUTE_S
from syncd.records.readers import elements
from syncd.sources.ghs.api import EMPTY, SCHEMA, ask, bare_record, riders_of

ACCOUNT: Final = Table(
    schema=SCHEMA,
    name="account",
    key=("user_id",),
    comment="The account itself, one row (GET /api/account); what has no column stands in _extra",
    personal=("user_id", "display_name", "email", "address"),
    columns=(
        camel_column("userId", TEXT, "Id of the user; leading zeros count"),
        camel_column("displayName", TEXT, "Name to show"),
        camel_column("email", TEXT, "E-mail address"),
        camel_column("address", JSON, "Address, as sent"),
        camel_column("customerGroup", TEXT, "Customer group"),
        column("linked_warehouse_id", TEXT, "Id of the warehouse that delivers", "linkedWarehouse", "id"),
        column("linked_warehouse_region", TEXT, "Region of the warehouse that delivers", "linkedWarehouse", "region"),
        column("pickup_warehouse_id", TEXT, "Id of the warehouse to collect at", "pickupWarehouse", "id"),
        column("pickup_warehouse_region", TEXT, "Region of the warehouse to collect at", "pickupWarehouse", "region"),
    ),
)

URGENT_MESSAGES: Final = Table(
    schema=SCHEMA,
    name="urgent_messages",
    key=("id",),
    comment="Messages of the vendor's staff to all users, as they ride in every answer (urgentMessages)",
    columns=(
        camel_column("id", BIGINT, "Id of the message"),
        camel_column("startDate", Kind.TIMESTAMP, "When the message began to be shown"),
        camel_column("level", TEXT, "Info, Warning or Error"),
        camel_column("title", TEXT, "Title"),
        camel_column("message", TEXT, "Text; may hold HTML"),
    ),
)


async def _ask_account(walk: Walk) -> tuple[Answer, dict[str, bytes]]:
    """Ask for the account; one without a `userId` is no account, so that no message is buried on its strength."""
    answer, fields = await ask(walk, "/api/account", filled="userId")
    if fields.get("userId", b"") in EMPTY:
        raise BadPayload("expected an account with a `userId`, the answer has none")
    return answer, fields


async def _walk_account(walk: Walk) -> AsyncIterator[Page]:
    answer, fields = await _ask_account(walk)
    yield Page(
        records=[bare_record(fields)],
        cursor={},
        requested_at=answer.sent_at,
        scope=Scope(),
        whole_walk=True,
        riders=riders_of(fields),
    )


async def _walk_urgent_messages(walk: Walk) -> AsyncIterator[Page]:
    """Read the messages that ride on the account; unguarded, for to have none is their normal state."""
    answer, fields = await _ask_account(walk)
    messages = elements(fields.get("urgentMessages"), "urgentMessages")
    everything = Scope(guarded=False)
    yield Page(records=messages, cursor={}, requested_at=answer.sent_at, scope=everything, whole_walk=True)


ACCOUNT_STREAM: Final = Stream(name="account", table=ACCOUNT, walk=_walk_account, every_s=HOUR_S)

URGENT_MESSAGES_STREAM: Final = Stream(
    name="urgent_messages", table=URGENT_MESSAGES, walk=_walk_urgent_messages, every_s=15 * MINUTE_S
)
