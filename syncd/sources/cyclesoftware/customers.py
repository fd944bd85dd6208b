"""Customers with their phone numbers: listed whole or by time of change, confirmed one by one."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

from syncd.contract import (
    BIGINT,
    NUMERIC,
    TEXT,
    TIMESTAMP,
    Child,
    Cursor,
    Index,
    Page,
    Scope,
    Stream,
    Table,
    Walk,
    column,
)
from syncd.contract.errors import BadPayload
from syncd.contract.options import DAY_S, MINUTE_S
from syncd.contract.paging import Resume, row_keys, walk_offsets
from syncd.contract.toolkit import cursor_time, overlap_of
from syncd.records.readers import Keys, envelope
from syncd.sources.cyclesoftware.api import SCHEMA, fetch_slices, modified_since, named_records

PHONE_NUMBERS = Table(
    schema=SCHEMA,
    name="customer_phone_numbers",
    key=("customer_id", "phone_number_id"),
    comment="Phone numbers of customers; lives and dies with its customer",
    personal=("phone_number", "name"),
    columns=(
        column("customer_id", BIGINT, "The customer whose list held it, whatever the number itself says"),
        column("phone_number_id", TEXT, "tel (landline), mob (mobile), or the number of an extra one, such as 714253"),
        column("phone_number", TEXT, "As typed by the shop, in any form; empty if the slot is unused"),
        column("name", TEXT, "Whose number it is, e.g. the customer's name or Extra 1"),
    ),
)

CUSTOMERS = Table(
    schema=SCHEMA,
    name="customers",
    key=("customer_id",),
    comment="Customers of the account; carries no time of change, deletions are found by sweeps",
    person=True,
    personal=(
        "customer_id",
        "customer_reference",
        "postcode",
        "house_number",
        "house_number_postfix",
        "company_name",
        "attn",
        "title",
        "initials",
        "insertion",
        "first_name",
        "name",
        "street",
        "city",
        "email",
        "vat_number",
        "coc_number",
    ),
    columns=(
        column("customer_id", BIGINT, "Number of the customer, e.g. 1006"),
        column("customer_type_name", TEXT, "Kind of customer, an open set: Klant, Zakelijk, E-commerce, …"),
        column("customer_reference", TEXT, "The shop's own reference for the customer"),
        column("postcode", TEXT, "Postcode, e.g. 5388GM"),
        column("house_number", TEXT, "House number without its postfix"),
        column("house_number_postfix", TEXT, "What follows the house number, e.g. c"),
        column("company_name", TEXT, "Company; said to be empty for businesses, yet samples fill it"),
        column("attn", TEXT, "For the attention of"),
        column("title", TEXT, "Form of address as stored, trailing blanks kept, e.g. 'Dhr./Mevr. '"),
        column("initials", TEXT, "Initials"),
        column("insertion", TEXT, "Name particle, e.g. van"),
        column("first_name", TEXT, "First name"),
        column("name", TEXT, "Last name"),
        column("street", TEXT, "Street without house number"),
        column("city", TEXT, "City"),
        column("country_code_iso_3166", TEXT, "Country by ISO 3166, as sent: sr was seen"),
        column("email", TEXT, "E-mail address"),
        column("vat_number", TEXT, "VAT number, e.g. NL855630693B01"),
        column("coc_number", TEXT, "Number at the chamber of commerce; digits, kept as text"),
        column("discount_percentage", NUMERIC, "Standing discount in percent"),
        column("datetime_created", TIMESTAMP, "When it was created, if known; sent in local time", optional=True),
    ),
    children=(Child(field="phone_numbers", table=PHONE_NUMBERS),),
    indexes=(Index(name="customers_by_created", on=("datetime_created",), where=None, using="brin"),),
)

_KEYS = Keys(CUSTOMERS)


async def _walk_customers(walk: Walk) -> AsyncIterator[Page]:
    """Walk what was modified since the cursor, or everything; or ask for the customers that webhooks named.

    A live pass that goes on where a killed run stopped is followed by a fresh one: what changed meanwhile may lie
    before the place to go on from.
    """
    if walk.kind == "callback":
        async for page in named_records(walk, _confirm_customer):
            yield page
        return
    cursor = walk.cursor or {}
    if walk.kind == "backfill":
        keep: Cursor = {"since": walk.since.isoformat() if walk.since else None}
        going = cursor.get("pass") if cursor.get("since") == keep["since"] else None
        asked = modified_since(walk, walk.since)
        async for page in _customer_pass(walk, going, asked, keep=keep, finish=lambda _started: keep):
            yield page
        return
    if walk.kind == "sweep":
        keep = {name: value for name, value in cursor.items() if name != "pass"}
        async for page in _customer_pass(
            walk,
            cursor.get("pass"),
            None,
            keep=keep,
            finish=lambda started: {"swept_at": started.isoformat()},
            full=True,
        ):
            yield page
        return
    going = {"offset": 0}
    while going:
        going = cursor.get("pass")
        since = cursor_time(cursor["since"]) if "since" in cursor else None
        asked = modified_since(walk, since - overlap_of(walk) if since else None)
        keep = {"since": since.isoformat()} if since else {}
        async for page in _customer_pass(
            walk, going, asked, keep=keep, finish=_since_not_before(since), full=not since and not going
        ):
            cursor = page.cursor or cursor
            yield page


def _since_not_before(since: datetime | None) -> Callable[[datetime], Cursor]:
    return lambda started: {"since": (max(started, since) if since else started).isoformat()}


async def _customer_pass(
    walk: Walk,
    going: Cursor | None,
    asked: str | None,
    *,
    keep: Cursor,
    finish: Callable[[datetime], Cursor],
    full: bool = False,
) -> AsyncIterator[Page]:
    """Give the pages of one pass, which goes on with the question it began with.

    Every cursor holds `keep` and the pass so far; the last one is `finish` of the instant at which the pass began.
    """
    asked = going["asked_since"] if going else asked
    started = cursor_time(going["started_at"]) if going else None
    doubt: str | None = going.get("doubt") if going else None
    params = [("modified_since", asked)] if asked else []
    fetch = fetch_slices(walk, "/api/v1/customers/list.json", "customers", _KEYS.of_all, params)
    at = Resume.from_json(going)
    async for piece, resume in walk_offsets(fetch, walk=walk, resume=at, early=walk.early):
        started, doubt = started or piece.answer.safe_at, doubt or piece.doubt
        so_far = {"started_at": started.isoformat(), "asked_since": asked, "doubt": doubt}
        ends_listing = full and resume is None
        yield Page(
            records=piece.records,
            cursor={**keep, "pass": {**so_far, **resume.to_json()}} if resume else finish(started),
            requested_at=piece.answer.sent_at,
            keys=row_keys(piece.keys),
            scope=Scope() if ends_listing else None,
            whole_walk=ends_listing,
            doubt=doubt,
            unproven=piece.unproven,
        )


async def _confirm_customer(walk: Walk, key: tuple[Any, ...]) -> bytes:
    """Return one customer as sent, asked for by its number."""
    answer = await walk.upstream.request("GET", f"/api/v1/customers/{int(key[0])}.json")
    envelope(answer)
    if (found := _KEYS.of(answer.body)) != key:
        raise BadPayload(f"asked for customer {key[0]}, got {found[0] if found else 'a record without customer_id'}")
    return answer.body


CUSTOMERS_STREAM = Stream(
    name="customers",
    table=CUSTOMERS,
    walk=_walk_customers,
    every_s=5 * MINUTE_S,
    sweep_s=7 * DAY_S,
    backfills=True,
    confirm=_confirm_customer,
)
