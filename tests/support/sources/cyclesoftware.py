"""What the tests of the cyclesoftware source share: samples, scripts of answers, and walks over them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from syncd.config import Secret
from syncd.contract import Answer, Column, Cursor, Kind, Page, RunKind, Walk
from syncd.records.parser import Parser
from syncd.records.rows import Row
from syncd.sources.cyclesoftware import SOURCE
from tests.support.bench import Bench
from tests.support.sources.rows import RowsOf

ZONE = ZoneInfo("Europe/Amsterdam")

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)

OPTIONS = {"username": "u", "password": Secret("p"), "zone": "Europe/Amsterdam", "overlap": 600.0}

CUSTOMER = """{
    "customer_id": 1006, "customer_type_name": "Klant", "customer_reference": "OwnRef", "postcode": "5388GM",
    "house_number": "1", "house_number_postfix": "c", "company_name": "Company name", "attn": "Name of address",
    "title": "Dhr./Mevr. ", "initials": "T", "insertion": "van", "first_name": "Tim", "name": "LastName",
    "street": "Raadhuisplein", "city": "Nistelrode", "country_code_iso_3166": "NL", "email": "name@domain.nl",
    "vat_number": "NL855630693B01", "coc_number": "64356582", "discount_percentage": 0,
    "datetime_created": "2023-01-03 12:30:44",
    "phone_numbers": [
        {"phone_number_id": "mob", "customer_id": 6, "phone_number": "06-12345678", "name": "Dhr./Mevr. T UnitTest"},
        {"phone_number_id": "tel", "customer_id": 6, "phone_number": "0733030050", "name": "Dhr./Mevr.  T UnitTest"}
    ]
}"""

STORE = """{
    "store_id": "5185-1", "store_gln": "8718288145482", "store_name": "CS-Unit test", "store_address": "Kievitsven 22",
    "store_postal_code": "5249JJ", "store_phone_number": "", "store_country_code": "NL",
    "store_email": "email5185@example.nl", "store_coordinates": [51.7261667, 5.3978953]
}"""

STOCK = """{
    "store_id": "5185-1", "object_id": 144922, "barcode": "8717144186799", "article_id": "03505002",
    "brand_name": "Sparta", "is_demo": false
}"""

LEAD = """{
    "uuid": "0c6b40a4-a217-11e8-92bb-005056a46320", "store_id": "1-1", "type": "information", "status": "open",
    "title": "Kieskeurig: proefrit", "message": "Een potientiele klant wil een proefrit maken",
    "costs_ex_vat_cents": 1500,
    "options": {"test_ride_requested": false, "phone_call_requested": true, "finance_information_requested": false,
                "insurance_information_requested": true},
    "object": {"description": "Batavus Crescendo", "object_id": 12212, "article_number": "ART1",
               "barcode": "877474749349"},
    "exchange_object": {"exchange_description": "", "exchange_remarks": "krasje"},
    "customer": {"customer_address_id": 91953, "address_type": "delivery_address", "customer_id": 235240102,
                 "is_business_address": false, "company_name": "", "name": "Name 91953", "street": "Slangenburg",
                 "house_number": "314", "house_number_postfix": "", "postal_code": "7423ZR", "city": "Deventer",
                 "country_code": "NL", "phone_number": "06 38668303", "email": "email91953@example.nl", "notes": ""},
    "created_at": "2020-04-14T06:33:26+02:00", "modified_at": "2020-04-14T06:33:26+02:00"
}"""


ROWS = RowsOf(source=SOURCE, zone=ZONE)
table, parsed, values = ROWS.table, ROWS.parsed, ROWS.values


def answer(body: Any, *, sent_at: datetime = NOW, served_at: datetime | None = None) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=200, headers={}, body=raw, sent_at=sent_at, served_at=served_at)


QUERY = "?"
"""Under this name a Script keeps the query that was sent as it is."""


@dataclass
class Script:
    """An upstream that gives prepared answers and keeps what it was asked for."""

    answers: list[Any]
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)

    async def request(
        self, method: str, path: str, *, params: Sequence[tuple[str, str]] = (), query: str = "", json: Any = None
    ) -> Answer:
        self.asked.append((method, path, dict(params) | ({QUERY: query} if query else {}), json))
        given = self.answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return given if isinstance(given, Answer) else answer(given)


async def never(_stream: str, _column: str) -> list[Any]:
    raise AssertionError("this walk reads nothing of the mirror")


async def _stored(row: dict[str, Any], _key: tuple[Any, ...]) -> dict[str, Any]:
    return row


def walk_of(
    upstream: Any,
    kind: RunKind = "live",
    *,
    cursor: Cursor | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    lookup: dict[str, list[Any]] | None = None,
    stream_options: dict[str, Any] | None = None,
    zone: str = "Europe/Amsterdam",
    stored: dict[str, Any] | None = None,
    now: datetime = NOW,
    whole: bool = False,
    overlap: float = 600.0,
) -> Walk:
    return Walk(
        upstream=upstream,
        kind=kind,
        cursor=cursor,
        options={**OPTIONS, "zone": zone, "overlap": overlap},
        stream_options=stream_options or {},
        lookup=lookup or {},
        now=lambda: now,
        mirrored=never,
        since=since,
        until=until,
        whole=whole,
        stored=partial(_stored, stored or {}),
    )


async def pages_of(stream: str, walk: Walk) -> list[Page]:
    return [page async for page in SOURCE.stream(stream).walk(walk)]


def customers(*ids: int, after: int | str | None, count: Any = ...) -> dict[str, Any]:
    pagination = {"count": len(ids) if count is ... else count, "next_offset": after}
    return {
        "error": False,
        "error_message": None,
        "customers": [{"customer_id": n} for n in ids],
        "pagination": pagination,
    }


async def mirror_of(bench: Bench, stream: str) -> dict[Any, Any]:
    columns, key = table(stream).columns, table(stream).key
    return {
        tuple(row[name] for name in key): (
            tuple(_shown(column, row[column.name]) for column in columns),
            row["_extra"] and json.loads(row["_extra"]),
        )
        for row in await bench.rows(f"cyclesoftware.{stream}")
    }


def expected(stream: str, records: Sequence[dict[str, Any]]) -> dict[Any, Any]:
    parser, columns = Parser(table(stream), ZONE), table(stream).columns
    rows = [parser.parse(json.dumps(each).encode()) for each in records]
    deleted_at = parser.names.index("is_deleted") if stream == "stock_items" else None
    return {
        row.key: (
            tuple(_shown(column, value) for column, value in zip(columns, row.values, strict=True)),
            row.extra and json.loads(row.extra),
        )
        for row in rows
        if isinstance(row, Row) and (deleted_at is None or not row.values[deleted_at])
    }


def _shown(column: Column, value: Any) -> Any:
    """Return a value of a column; of JSON what it means, for PostgreSQL writes it in an order of its own."""
    return json.loads(value) if column.kind is Kind.JSON and isinstance(value, str) else value
