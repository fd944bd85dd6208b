"""The whole mirror against the sandbox's truth: every alive row put back into the record as sent, field by field.

Knows the rules of what was asked for.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg

from syncd.contract import Table
from syncd.sandbox.apis.cyclesoftware.payments import booked_at
from syncd.sandbox.apis.cyclesoftware.sales import CANCELLED
from syncd.sources import registry
from syncd.testing.records import differing as _differing
from syncd.testing.records import instants, plain
from syncd.testing.records import key as _key
from syncd.testing.records import key_of as _key_of
from syncd.testing.records import rebuilt as _rebuilt
from syncd.testing.records import unwrapped as _unwrapped
from tests.support.bench import Bench

__all__ = ["_differing", "_rebuilt", "_unwrapped", "differences", "told", "wrongly_buried"]

Record = dict[str, Any]
Key = tuple[Any, ...]

SHOWN = 12
"""Differences of one stream that are reported in full; of the rest only the number."""
NAMES = {"shop": "cyclesoftware", "lease": "cyclis", "cars": "autengo", "parts": "ghs"}
ZONES = {"cyclesoftware": "Europe/Amsterdam", "cyclis": "UTC", "autengo": "Europe/Berlin", "ghs": "UTC"}
"""How the sandbox writes its zone-less times."""
SALES_HISTORY = timedelta(days=730)
"""Older sales orders are not asked for, unless the option `from` says so."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def differences(bench: Bench, *selectors: str, shown: int = SHOWN, swept: bool = False) -> list[str]:
    """Return in words where the mirror differs from the truth: of all streams, or of those named `source.stream`.

    What comes by webhooks only is left out: a call that was never made is no difference, and the sandbox keeps no list.
    `swept` says that a sweep has just ended well: it asks for more than live runs do.
    """
    found: list[str] = []
    for name, api in NAMES.items():
        for stream in registry()[api].streams:
            if stream.is_pushed or (selectors and f"{name}.{stream.name}" not in selectors):
                continue
            for table in (stream.table, *(child.table for child in stream.table.children)):
                told = await _differences_of_table(bench, name, table, swept=swept)
                found += told[:shown]
                found += [f"{table.schema}.{table.name}: {len(told) - shown} more"] if len(told) > shown else []
    return found


async def wrongly_buried(bench: Bench, *selectors: str) -> list[str]:
    """Return the rows that bear a tombstone although the truth still holds their record."""
    found: list[str] = []
    for name, api in NAMES.items():
        for stream in registry()[api].streams:
            if selectors and f"{name}.{stream.name}" not in selectors:
                continue
            for table in (stream.table, *(child.table for child in stream.table.children)):
                truth = _truth(bench, api, table)
                for row in await _rows(bench, name, table):
                    key = _key(row, table)
                    if row["_deleted_at"] and key in truth and not _is_flagged(table, truth[key]):
                        found.append(f"{table.schema}.{table.name} {key}: buried, but it is there")
    return found


async def _differences_of_table(bench: Bench, source: str, table: Table, *, swept: bool) -> list[str]:
    place, api = f"{table.schema}.{table.name}", table.schema
    truth = _truth(bench, api, table)
    asked = await _asked_for(bench, source, table, truth)
    if swept and table.name in _SWEPT_WHOLE:
        asked = _Asked()
    rows = {_key(row, table): row for row in await _rows(bench, source, table)}
    told: list[str] = []
    for key, record in truth.items():
        row = rows.get(key)
        is_flagged = _is_flagged(table, record)
        if row is None:
            told += [f"{place} {key}: is missing"] if asked.expects(key, record) else []
        elif (row["_deleted_at"] is not None) != is_flagged:
            if asked.expects(key, record):
                told.append(f"{place} {key}: {'is not buried' if is_flagged else 'is buried, but it is there'}")
        elif asked.compares(key, record):
            told += _differing(f"{place} {key}", _rebuilt(row, table), _plain(record, table), ZoneInfo(ZONES[api]))
    for key, row in rows.items():
        if row["_deleted_at"] is None and key not in truth and asked.buries(key, row):
            told.append(f"{place} {key}: is alive, but it is gone upstream")
    return told


async def _rows(bench: Bench, source: str, table: Table) -> list[asyncpg.Record]:
    return await bench.fetch(f'SELECT * FROM "{table.schema}"."{table.name}" WHERE source = $1', source)


def _is_flagged(table: Table, record: Record) -> bool:
    flag = next((column for column in table.columns if column.name == table.deleted), None)
    return flag is not None and record.get(str(flag.path[0])) is table.deleted_if


def _truth(bench: Bench, api: str, table: Table) -> dict[Key, Record]:
    """Return the records that are there, by the key as text."""
    records = bench.sandbox.truth(api, table.name)
    if table.name == "sales_orders":
        records += bench.sandbox.deleted_sales_orders()
    if table.name == "sales_order_items":
        records = [
            {name: value for name, value in item.items() if name not in _OF_ORDER}
            for order in (*bench.sandbox.truth(api, "sales_orders"), *bench.sandbox.deleted_sales_orders())
            for item in order["order_items"]
            if item["order_item_id"]
        ]
    if table.name == "workshop_order_items":  # they are gone with an order that is flagged
        orders = bench.sandbox.truth(api, "workshop_orders")
        deleted = {order["workshop_order_id"] for order in orders if order["is_active"] is False}
        records = [item for item in records if item["workshop_order_id"] not in deleted]
    return {_key_of(record, table): record for record in records}


# --- What was asked for -----------------------------------------------------------------------------------------------


class _Asked:
    """Which records the mirror must hold, which it must show right if it holds them, and which rows must be gone."""

    def __init__(
        self,
        expects: Callable[[Key, Record], bool] = lambda _key, _record: True,
        *,
        compares: Callable[[Key, Record], bool] | None = None,
        buries: Callable[[Key, Mapping[str, Any]], bool] = lambda _key, _row: True,
    ) -> None:
        self.expects = expects
        self.compares = compares or expects
        self.buries = buries


async def _asked_for(bench: Bench, source: str, table: Table, truth: Mapping[Key, Record]) -> _Asked:
    """Return what the configuration asks for of a table; everything, but for lookups and what the key cannot see."""
    stream = {"supplier_order_items": "supplier_orders"}.get(table.name, table.name)
    lookup = bench.config.sources[source].streams[stream].lookup if stream in _LOOKUPS else {}
    wanted = {name: {str(value) for value in values} for name, values in lookup.items()}
    match table.name:
        case "stock":
            codes, articles = wanted.get("barcodes", set()), wanted.get("article_ids", set())
            return _Asked(
                lambda _, record: record["barcode"] in codes or record["article_id"] in articles,
                buries=lambda _, row: row["barcode"] in codes or row["article_id"] in articles,
            )
        case "leads":
            return _Asked(lambda key, _: key[0] in wanted["uuids"], buries=lambda key, _: key[0] in wanted["uuids"])
        case "contacts":
            ids, others = wanted.get("ids", set()), wanted.get("tecfactura_ids", set())
            return _Asked(
                lambda key, record: key[0] in ids or str(record.get("tecfacturaId")) in others,
                buries=lambda key, row: key[0] in ids or row["tecfactura_id"] in others,
            )
        case "products":
            ids = wanted.get("ids", set())
            return _Asked(
                lambda key, record: key[0] in ids or _is_found(record, wanted), buries=lambda key, _: key[0] in ids
            )
        case "sales_orders":
            first = _first_day(bench, source, "sales_orders")
            return _Asked(
                lambda _, record: _stamp(bench, record["sales_order_id"]) >= first.timestamp(),
                compares=lambda _key, _record: True,
            )
        case "trading_hours" | "trading_hours_employees":  # today and before, a day stays as it was last seen
            today = bench.time.now().astimezone(ZoneInfo(ZONES["cyclesoftware"])).date()
            last = str(today + timedelta(days=13))
            return _Asked(
                lambda key, _: str(today) < key[1] <= last,
                buries=lambda key, _: len(key) > 2 and str(today) < key[1] <= last,
            )
        case name if name in _RECENT:  # live runs ask for the last days, and bury nothing
            by, days = _RECENT[name]
            first = bench.time.now() - timedelta(days=days)
            return _Asked(lambda _, record: _is_since(record[by], first), buries=lambda _key, _row: False)
        case "service_items":  # one without the number of its service cannot be asked for, and stays
            return _Asked(buries=lambda _, row: row["service_id"] is not None)
        case "orders" | "cyclists" if table.schema == "cyclis":
            # of a company that was taken from the key nothing is known: its rows stay as they were
            visible = {company["id"] for company in bench.sandbox.truth("cyclis", "companies")}
            visible |= {record["relationships"]["company"]["data"]["id"] for record in truth.values()}
            return _Asked(buries=lambda _, row: str(row["company_id"]) in visible)
        case "comments":
            return _comments(wanted, _customers(bench))
        case name if name in _NAMED:
            return _NAMED[name](wanted)
        case _:
            return await _asked_by_windows(bench, source, table)


async def _asked_by_windows(bench: Bench, source: str, table: Table) -> _Asked:
    """Return what is asked for of a table whose stream is walked by windows of days; of any other, everything."""
    match table.name:
        case "sales_transactions" | "sales_transaction_items":  # a booked one is never buried
            first = _first_day(bench, source, "sales_transactions")
            booked = await bench.fetch(
                "SELECT account_id, sales_transaction_number FROM cyclesoftware.sales_transactions WHERE is_final"
            )
            kept = {tuple(map(str, row)) for row in booked}
            stamps = bench.sandbox.world["cyclesoftware", "sales_transactions"]
            return _Asked(
                lambda key, _: stamps.stamp((int(key[0]), int(key[1]))) >= first.timestamp(),
                compares=lambda _key, _record: True,
                buries=lambda key, _: key[:2] not in kept,
            )
        case "sales_order_items":
            first = _first_day(bench, source, "sales_orders")
            return _Asked(
                lambda key, _: _stamp(bench, int(key[0])) >= first.timestamp(), compares=lambda _key, _record: True
            )
        case "payments":  # live runs ask for three days; sweeps bury what lies within their range with a margin
            world, first = bench.sandbox.world, _first_day(bench, source, "payments")
            recent = bench.time.now() - timedelta(days=3)
            swept = bench.time.now() - timedelta(days=29)
            return _Asked(
                lambda _, record: booked_at(world, record) >= max(first, recent).timestamp(),
                compares=lambda _, record: booked_at(world, record) >= recent.timestamp(),
                buries=lambda _, row: min(row["book_date"], row["created_at"]) >= swept,
            )
        case "workshop_orders" | "workshop_order_items":  # live runs ask for what is planned around now
            near = _planned_near(bench)
            return _Asked(lambda key, _: key[0] in near)
        case _:
            return _Asked()


def _is_since(text: str, first: datetime) -> bool:
    return instants(text, ZoneInfo(ZONES["cyclesoftware"]))[0] >= first


def _planned_near(bench: Bench) -> set[str]:
    """Return the numbers of the repairs that each live run asks for."""
    now, zone = bench.time.now(), ZoneInfo(ZONES["cyclesoftware"])
    return {
        str(record["workshop_order_id"])
        for record in bench.sandbox.truth("cyclesoftware", "workshop_orders")
        if record["datetime_scheduled_start"]
        and abs(instants(record["datetime_scheduled_start"], zone)[0] - now) < timedelta(days=1)
    }


def _first_day(bench: Bench, source: str, stream: str) -> datetime:
    """Return from when on a stream of windows asks."""
    if wanted := bench.config.sources[source].streams[stream].options.get("from"):
        return datetime.fromisoformat(str(wanted)).replace(tzinfo=UTC)
    return bench.time.now() - SALES_HISTORY


_SWEPT_WHOLE = ("workshop_orders", "workshop_order_items")
_OF_ORDER = {column.name for column in registry()["cyclesoftware"].stream("sales_orders").table.columns} - {
    "sales_order_id"
}
"""What each item of an order repeats of it."""


def _comments(wanted: Mapping[str, set[str]], customers: set[str]) -> _Asked:
    """A customer who is gone lists no comments: known ones are asked for one by one, others cannot be found."""
    people, things = wanted.get("customer_ids", set()), wanted.get("entities", set())

    def is_asked(row: Mapping[str, Any], people: set[str]) -> bool:
        return str(row["customer_id"]) in people or f"{row['entity_type_id']}/{row['entity_id']}" in things

    return _Asked(lambda _, record: is_asked(record, people & customers), buries=lambda _, row: is_asked(row, people))


def _customers(bench: Bench) -> set[str]:
    return {str(record["customer_id"]) for record in bench.sandbox.truth("cyclesoftware", "customers")}


def _labels(wanted: Mapping[str, set[str]]) -> _Asked:
    things = wanted.get("entities", set())
    return _Asked(lambda key, _: "/".join(key) in things, buries=lambda key, _: "/".join(key) in things)


def _in_its_turn(_wanted: Mapping[str, set[str]]) -> _Asked:
    """What is asked for within caps: a test says itself which rows must be there."""
    return _Asked(lambda _key, _record: False, compares=lambda _key, _record: True, buries=lambda _key, _row: False)


def _orders(wanted: Mapping[str, set[str]]) -> _Asked:
    ids = wanted.get("ids", set())
    return _Asked(lambda key, _: key[0] in ids, buries=lambda key, _: key[0] in ids)


_NAMED = {
    "labels": _labels,
    "stock_objects": _in_its_turn,
    "supplier_orders": _orders,
    "supplier_order_items": _orders,
}
_RECENT = {
    "insurances": ("created_at", 14), "packing_list_items": ("created_at", 7),
    "warehouse_delivered_items": ("datetime_delivered", 7), "warehouse_assemblies": ("released_for_shipment_at", 14),
}  # fmt: skip
"""Lists of what was made in the last days: by which time, and how many days."""
_LOOKUPS = ("stock", "supplier_orders", "comments", "labels", "leads", "contacts", "products")


def _is_found(record: Record, wanted: Mapping[str, set[str]]) -> bool:
    """Say whether an EAN code or a search term of the configuration finds a product."""
    eans = set((record.get("tecDoc") or {}).get("eanNumbers", ()))
    texts = [str(record.get(name) or "") for name in ("name", "articleNo", "brandName", "description", "id")]
    terms = wanted.get("search_terms", set())
    return bool(eans & wanted.get("ean_codes", set())) or any(
        term.lower() in text.lower() for term in terms for text in texts
    )


def _stamp(bench: Bench, sales_order_id: int) -> float:
    world = bench.sandbox.world
    orders = world["cyclesoftware", "sales_orders"]
    return (orders if sales_order_id in orders else world["cyclesoftware", CANCELLED]).stamp(sales_order_id)


def _plain(record: Record, table: Table) -> Record:
    """Return a record of the truth as the mirror should hold it."""
    expected = plain(record, table)
    for name in ("lastId", "lastIdType", "lastAdditionalId"):  # of an identity document: never stored
        expected.get("userSettings", {}).pop(name, None)
    for name in {str(column.path[0]) for column in table.columns if len(column.path) > 1}:
        if expected.get(name) == []:  # PHP writes a map without members as an array
            expected[name] = None
    return expected


def told(found: Iterable[str]) -> str:
    """Return differences as one readable text for an assertion."""
    return "\n" + "\n".join(found)
