"""Lists that are read whole every time: companies, dealers and cyclists; and how any list is walked whole."""

import uuid
from collections.abc import AsyncIterator, Callable
from datetime import datetime

from syncd.contract import (
    EMAIL,
    JSON,
    NUMERIC,
    TEXT,
    Cursor,
    Index,
    Page,
    Scope,
    Stream,
    Table,
    Walk,
)
from syncd.contract.errors import BadRequest, NotFound, ScopeMissing
from syncd.contract.options import HOUR_S
from syncd.records.readers import Keys
from syncd.sources.cyclis.api import attribute, fetch_pieces, relation, resource_table

COMPANIES = resource_table(
    "companies",
    "Companies that the API key may see; the vendor documents no field of theirs, so most stand in _extra",
    "company",
    attribute("name", TEXT, "Name of the company"),
)

DEALERS = resource_table(
    "dealers",
    "Dealers of the network",
    "dealer",
    attribute("name", TEXT, "Name of the dealer"),
    attribute("street_name", TEXT, "Street without number"),
    attribute("street_number", TEXT, "House number"),
    attribute("postal_code", TEXT, "Postcode"),
    attribute("city", TEXT, "City"),
    attribute("country_code", TEXT, "Country, e.g. BE"),
    attribute("email", TEXT, "E-mail address"),
    attribute("phone", TEXT, "Landline number in any form"),
    attribute("mobile", TEXT, "Mobile number in any form"),
    attribute("vat", TEXT, "VAT number as typed, e.g. BE 0123.456.789"),
    attribute("latitude", NUMERIC, "Latitude in degrees"),
    attribute("longitude", NUMERIC, "Longitude in degrees"),
    attribute("brands", JSON, "Array of the brands that the dealer sells"),
    personal=("email", "phone", "mobile", "vat"),
)

CYCLISTS = resource_table(
    "cyclists",
    "People who may lease through their company; one who is made inactive just vanishes from the list",
    "cyclist",
    attribute("first_name", TEXT, "First name"),
    attribute("last_name", TEXT, "Last name"),
    attribute("email", TEXT, "E-mail address; not unique"),
    attribute("lang", TEXT, "Language, e.g. en_US"),
    attribute("external_identifier", TEXT, "Number that the company itself gave"),
    attribute("metadata", JSON, "Object of free form"),
    *relation("company", "The company that the cyclist belongs to"),
    indexes=(Index(name="cyclists_by_email", on=(EMAIL,), using="hash"),),
    person=True,
    personal=("id", "first_name", "last_name", "email", "external_identifier", "metadata"),
    needed=("company_id",),
)

_COMPANY_KEYS = Keys(COMPANIES)


def listing(table: Table, *, by_company: bool = False) -> Callable[[Walk], AsyncIterator[Page]]:
    """Return the walk of a list that is read whole every time."""

    async def pages(walk: Walk) -> AsyncIterator[Page]:
        def finish(started: datetime) -> Cursor:
            return {"as_of": started.isoformat()}

        async for page in full_pass(walk, table, finish, by_company=by_company):
            yield page

    return pages


async def full_pass(
    walk: Walk, table: Table, finish: Callable[[datetime], Cursor], *, by_company: bool
) -> AsyncIterator[Page]:
    """Give the pages of a full list; `finish` makes the last cursor of the instant at which the pass began.

    With `by_company`, the list speaks only for companies that the key still shows: the rows of a company that was
    taken from the key vanish, too, but are not gone.
    """
    started: datetime | None = None
    seen: set[uuid.UUID] = set()
    keys = Keys(table)
    async for piece in fetch_pieces(walk, table.name):
        started = started or piece.answer.safe_at
        if by_company:
            seen |= keys.values("company_id", piece.records)
        if not piece.is_last:
            yield Page(records=piece.records, cursor=None, requested_at=piece.answer.sent_at)
            continue
        scope = Scope()
        if by_company:
            scope = Scope(column="company_id", values=tuple(sorted(seen | await _visible_companies(walk))))
        yield Page(
            records=piece.records,
            cursor=finish(started),
            requested_at=piece.answer.sent_at,
            scope=scope,
            whole_walk=True,
        )


async def _visible_companies(walk: Walk) -> set[uuid.UUID]:
    """Ask which companies the key shows now; none if there is no such list (it is not in the vendor's page)."""
    try:
        pieces = [piece async for piece in fetch_pieces(walk, "companies")]
    except (NotFound, ScopeMissing, BadRequest):
        return set()
    keys = [key for piece in pieces for key in _COMPANY_KEYS.of_all(piece.records)]
    return {key[0] for key in keys if key}


COMPANIES_STREAM = Stream(name="companies", table=COMPANIES, walk=listing(COMPANIES), every_s=6 * HOUR_S)

DEALERS_STREAM = Stream(name="dealers", table=DEALERS, walk=listing(DEALERS), every_s=6 * HOUR_S)

CYCLISTS_STREAM = Stream(name="cyclists", table=CYCLISTS, walk=listing(CYCLISTS, by_company=True), every_s=HOUR_S)
