"""What the tests of the cyclis source share: samples, scripts of answers, and walks over them."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from syncd.config import Secret
from syncd.contract import Answer, Cursor, Kind, Page, RunKind, Scope, Walk
from syncd.records.parser import Parser
from syncd.records.rows import Row
from syncd.sources.cyclis import SOURCE
from tests.support.bench import Bench
from tests.support.sources.rows import RowsOf

ZONE = ZoneInfo("Europe/Brussels")

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)

BASE = "https://api.cyclis.example/v1"

OPTIONS = {
    "api_token": Secret("t0ken"),
    "zone": "Europe/Brussels",
    "overlap": 600.0,
    **{f"{stream}_path": f"/{stream}" for stream in ("orders", "cyclists", "dealers", "companies")},
}

ID = "497f6eca-6276-4993-bfeb-53cbbbba6f08"  # the vendor's page uses this one everywhere

SAMPLE_ID = uuid.UUID(ID)

DEALER: dict[str, Any] = {
    "id": ID,
    "type": "dealer",
    "attributes": {
        "name": "The Dealer",
        "street_name": "string",
        "street_number": "string",
        "postal_code": "string",
        "city": "string",
        "country_code": "BE",
        "email": "dealer@example.com",
        "phone": "014 30 30 30",
        "mobile": "0495 10 20 30",
        "vat": "BE 0123.456.789",
        "latitude": 50.8503,
        "longitude": 4.3517,
        "brands": ["Gazelle"],
    },
}

ORDER: dict[str, Any] = {
    "id": ID,
    "type": "order",
    "attributes": {
        "name": "SO12345",
        "bike_name": "Super Bike Turbo 3000",
        "bike_brand": "Super Bike",
        "bike_model": "Turbo 3000",
        "bike_type": "City Bike",
        "bike_frame_type": "Unisex",
        "bike_size": "55",
        "bike_color": "Yellow",
        "bike_order_state": "ordered",
        "state": "quote",
        "insurance": True,
        "maintenance": True,
        "assistance": True,
        "lease_cost": 91.26,
        "lease_duration": 36,
        "maintenance_budget": 300,
        "start_lease_date": "2019-08-24T14:15:22Z",
        "end_lease_date": "2019-08-24T14:15:22Z",
        "cost_center": "CC12345",
        "employee_id": "EM12345",
        "create_timestamp": "2019-08-24T14:15:22Z",
    },
    "relationships": {
        "cyclist": {"data": {"type": "cyclist", "id": ID}},
        "company": {"data": {"type": "company", "id": ID}},
    },
}


ROWS = RowsOf(source=SOURCE, zone=ZONE)
table, parsed, values = ROWS.table, ROWS.parsed, ROWS.values


A, B, C = (str(uuid.UUID(int=number)) for number in (1, 2, 3))


def order(number: int, company: str | None) -> dict[str, Any]:
    data = {"type": "company", "id": company} if company else None
    relationships = {**ORDER["relationships"], "company": {"data": data}}
    return {**ORDER, "id": str(uuid.UUID(int=1000 + number)), "relationships": relationships}


def answer(body: Any, *, sent_at: datetime = NOW, served_at: datetime | None = None) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=200, headers={}, body=raw, sent_at=sent_at, served_at=served_at)


@dataclass
class Script:
    """An upstream that gives prepared answers and keeps what it was asked for."""

    answers: list[Any]
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def request(
        self, method: str, path: str, *, params: Sequence[tuple[str, str]] = (), query: str = "", json: Any = None
    ) -> Answer:
        assert (method, json) == ("GET", None)
        self.asked.append((path, dict(params)))
        given = self.answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return given if isinstance(given, Answer) else answer(given)


def walk_of(
    upstream: Any,
    kind: RunKind = "live",
    *,
    cursor: Cursor | None = None,
    since: datetime | None = None,
    companies: Sequence[str] = (),
    base_url: str = BASE,
    options: dict[str, Any] | None = None,
) -> Walk:
    async def mirrored(stream: str, column: str) -> list[Any]:
        return [uuid.UUID(company) for company in companies] if (stream, column) == ("companies", "id") else []

    return Walk(
        upstream=upstream,
        kind=kind,
        cursor=cursor,
        options={**OPTIONS, **(options or {})},
        stream_options={},
        lookup={},
        now=lambda: NOW,
        mirrored=mirrored,
        since=since,
        base_url=base_url,
    )


async def pages_of(stream: str, walk: Walk) -> list[Page]:
    return [page async for page in SOURCE.stream(stream).walk(walk)]


def companies(*ids: str) -> dict[str, Any]:
    return {"data": [{"id": each, "type": "company"} for each in ids]}


def in_scope(*ids: str) -> Scope:
    return Scope(column="company_id", values=tuple(uuid.UUID(each) for each in ids))


def keyed(stream: str, records: Sequence[bytes | dict[str, Any]]) -> dict[Any, Any]:
    parser = Parser(table(stream), ZONE)
    raws = [msgspec.json.encode(each) if isinstance(each, dict) else each for each in records]
    rows = [parser.parse(raw) for raw in raws]
    return {row.key: (row.values, row.extra and json.loads(row.extra)) for row in rows if isinstance(row, Row)}


async def mirror_of(bench: Bench, stream: str) -> dict[Any, Any]:
    decoded = {each.name for each in table(stream).columns if each.kind is Kind.JSON} | {"_extra"}
    columns = [each.name for each in table(stream).columns]
    found = {}
    for row in await bench.rows(f"cyclis.{stream}"):
        read = {name: json.loads(value) if name in decoded and value else value for name, value in row.items()}
        found[row["id"],] = (tuple(read[name] for name in columns), read["_extra"])
    return found


def expected(stream: str, records: Sequence[dict[str, Any]]) -> dict[Any, Any]:
    decoded = [each.name for each in table(stream).columns if each.kind is Kind.JSON]
    places = [Parser(table(stream), ZONE).names.index(name) for name in decoded]
    return {
        key: (tuple(json.loads(v) if i in places and v else v for i, v in enumerate(row)), extra)
        for key, (row, extra) in keyed(stream, records).items()
    }
