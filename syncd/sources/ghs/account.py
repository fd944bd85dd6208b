"""The account itself, and the urgent messages that ride on every answer."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec

from syncd.contract import (
    BIGINT,
    BOOLEAN,
    JSON,
    TEXT,
    Answer,
    Column,
    Kind,
    Page,
    Scope,
    Stream,
    Table,
    Walk,
    camel_column,
    column,
    snake,
)
from syncd.contract.errors import BadPayload
from syncd.contract.options import HOUR_S, MINUTE_S
from syncd.records.readers import elements, envelope
from syncd.sources.ghs.api import EMPTY, SCHEMA, ask, bare_record, riders_of

_COMPANY: Final = {
    "companyPreferredStyle": "Style",
    "contactEmail": "E-mail address for questions",
    "supportEmail": "E-mail address for support",
    "supportTeamPage": "Page of the support team",
    "mapUrl": "Address of a map",
    "b2BUrl": "Address of the web shop",
    "bmfEmail": "E-mail address of BMF",
    "serverEmail": "E-mail address of the server",
    "dieselInjectorEmail": "E-mail address for diesel injectors",
    "externalOrderEmail": "E-mail address for external orders",
}
_CERTIFICATE: Final = {
    "id": (TEXT, "Id of the account's certificate"),
    "name": (TEXT, "Name of the certificate"),
    "endDate": (TEXT, "Last day of the certificate, as sent"),
    "isValid": (BOOLEAN, "Whether the certificate is valid"),
}
_LONG: Final = {name: f"certificate{name[0].upper()}{name[1:]}" for name in _CERTIFICATE}
IDENTITY: Final = frozenset({"lastid", "lastidtype", "lastadditionalid"})
"""Members of the settings, in small letters, that tell of a person's identity document: they are never stored."""


def _warehouse(name: str, what: str) -> tuple[Column, ...]:
    """Make the columns of a warehouse."""
    columns = {
        "id": (TEXT, f"Id of {what}"),
        "region": (TEXT, f"Region of {what}"),
        "warehouseEmail": (TEXT, f"E-mail address of {what}"),
        "shouldEmailExternalOrders": (BOOLEAN, f"Whether external orders are mailed to {what}"),
        "address": (JSON, f"Address of {what}, as sent"),
    }
    return tuple(
        column(f"{snake(name)}_{snake(member)}", kind, text, name, member) for member, (kind, text) in columns.items()
    )


ACCOUNT: Final = Table(
    schema=SCHEMA,
    name="account",
    key=("user_id",),
    comment="The account itself, one row (GET /api/account); what has no column stands in _extra",
    personal=(
        "user_id",
        "display_name",
        "email",
        "address",
        "delivery_addresses",
        "external_users",
        "user_settings",
    ),
    columns=(
        camel_column("userId", TEXT, "Id of the user; leading zeros count"),
        camel_column("displayName", TEXT, "Name to show"),
        camel_column("email", TEXT, "E-mail address"),
        camel_column("address", JSON, "Address, as sent"),
        camel_column("customerGroup", TEXT, "Customer group"),
        *_warehouse("linkedWarehouse", "the warehouse that delivers"),
        *_warehouse("pickupWarehouse", "the warehouse to collect at"),
        camel_column("preferredStyle", TEXT, "Style of the web shop that the user prefers"),
        camel_column("logo", TEXT, "Logo of the account"),
        camel_column("technicalDataProvider", TEXT, "Provider of technical data"),
        camel_column("hasMijnGrossierAccounts", BOOLEAN, "Whether there are accounts of Mijn Grossier"),
        camel_column(
            "hasReleventPickupWarehouse", BOOLEAN, "Whether there is a warehouse to collect at; the vendor's spelling"
        ),
        camel_column("district", TEXT, "District"),
        column("linked_company_id", TEXT, "Id of the company that delivers", "linkedCompany", "linkedCompanyId"),
        column("linked_company_name", TEXT, "Name of the company that delivers", "linkedCompany", "linkedCompanyName"),
        *(
            column(f"linked_company_{snake(name)}", TEXT, f"{what} of the company that delivers", "linkedCompany", name)
            for name, what in _COMPANY.items()
        ),
        *(
            column(f"certificate_{snake(name)}", kind, what, "certificate", name)
            for name, (kind, what) in _CERTIFICATE.items()
        ),
        column(
            "tire_counts", JSON, "Tyres purchased and returned this year and last, as sent", "tireCounts", optional=True
        ),
        camel_column("promotions", JSON, "Promotions, as sent"),
        camel_column("deliveryAddresses", JSON, "Delivery addresses, as sent"),
        camel_column("deliveryTimePreferences", JSON, "Preferred times of delivery, as sent"),
        camel_column("enrollments", JSON, "Enrolments, as sent"),
        camel_column("externalUsers", JSON, "Users of other systems, as sent"),
        camel_column(
            "userSettings",
            JSON,
            "Settings as sent, but without lastId, lastIdType and lastAdditionalId: an identity document",
        ),
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
    if "userSettings" in fields:
        fields["userSettings"] = _without_identity(fields["userSettings"])
    yield Page(
        records=[bare_record(_certified(fields))],
        cursor={},
        requested_at=answer.sent_at,
        scope=Scope(),
        whole_walk=True,
        riders=riders_of(fields),
    )


def _without_identity(raw: bytes) -> bytes:
    """Return settings as sent, at any depth without what tells of an identity document."""
    if raw[:1] == b"{":
        kept = {name: inner for name, inner in envelope(raw).items() if name.lower() not in IDENTITY}
        return msgspec.json.encode({name: msgspec.Raw(_without_identity(inner)) for name, inner in kept.items()})
    if raw[:1] == b"[":
        return msgspec.json.encode([msgspec.Raw(_without_identity(each)) for each in elements(raw, "userSettings")])
    return b"null" if raw[:1] == b'"' and any(name.encode() in raw.lower() for name in IDENTITY) else raw


def _certified(fields: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Return the account with its certificate as one object, and its members named alike.

    They may be named `id` or `certificateId`, and stand in the object or beside it.
    """
    raw = fields.get("certificate", b"{}")
    if raw[:1] != b"{":
        return fields
    inside, beside = envelope(raw), {name: fields[name] for name in _LONG.values() if name in fields}
    if not beside and not inside.keys() & _LONG.values():
        return fields
    found = {**beside, **inside}
    mended = {name: found.pop(long) for name, long in _LONG.items() if long in found and name not in found}
    certificate = {name: msgspec.Raw(inner) for name, inner in {**found, **mended}.items()}
    others = {name: inner for name, inner in fields.items() if name not in beside}
    return {**others, "certificate": msgspec.json.encode(certificate)}


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
