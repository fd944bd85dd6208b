"""A past for the cookbook's mirror: some records were others before they became what the seed says."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from tests.support.bench import Bench

Record = dict[str, Any]

MOMENTS = (datetime(2026, 9, 14, 9, tzinfo=UTC), datetime(2026, 10, 20, 9, tzinfo=UTC))
"""When the mirror saw what was before."""
PLACES = (("cyclesoftware", "stock_items"), ("cyclis", "orders"), ("autengo", "vehicles"))
STREAMS = ("shop.stock_items", "lease.companies", "lease.orders", "cars.vehicles")


@dataclass(frozen=True)
class Moment:
    """What the upstreams held when the mirror saw it."""

    at: datetime
    records: Mapping[tuple[str, str], list[Record]]


async def live_through(bench: Bench) -> tuple[Moment, ...]:
    """Sync some streams at each moment of the past; then the upstreams hold what the seed says again."""
    now, seed = bench.time.at, {place: bench.sandbox.truth(*place) for place in PLACES}
    lived = []
    for at in MOMENTS:
        bench.time.at = at
        put(bench, {place: [before(place, record, at) for record in records] for place, records in seed.items()})
        for selector in STREAMS:
            result = await bench.sync(selector)
            assert result.outcome == "ok", result.error
        lived.append(Moment(at, {place: bench.sandbox.truth(*place) for place in PLACES}))
    bench.time.at = now
    put(bench, seed)
    bench.sandbox.requests.clear()
    return tuple(lived)


def put(bench: Bench, records: Mapping[tuple[str, str], list[Record]]) -> None:
    """Let the upstreams hold these records."""
    for (api, stream), wanted in records.items():
        held = bench.sandbox.truth(api, stream)
        for record in wanted:
            if record not in held:
                bench.sandbox.put(api, stream, record)


def before(place: tuple[str, str], record: Record, at: datetime) -> Record:
    """Return what a record was at an instant."""
    record = copy.deepcopy(record)
    early = at == MOMENTS[0]
    match place[1]:
        case "stock_items":
            if date.fromisoformat(record["stocked_at"]) > at.date():
                record["is_deleted"] = True  # not yet there
            elif record["object_id"] % (3 if early else 7) == 0:
                record["is_sold_to_customer"] = False
        case "orders":
            if int(record["id"][:8], 16) % (3 if early else 6) == 0:
                record["attributes"]["state"] = "quote"
        case "vehicles":
            if len(record["modelName"]) % (2 if early else 4) == 0:
                record["priceYard"] = round(record["priceYard"] * (1.1 if early else 1.05))
    return record
