"""Values at the edge of what a column can hold: both readers agree, the mirror can be read, verify finds it equal."""

import copy
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from syncd.contract import Column, Kind, Table
from syncd.cookbook import questions
from syncd.records.lenient import LenientReader
from syncd.records.parser import Parser
from syncd.records.rows import Reject, Row
from syncd.records.strict import StrictReader, is_flat
from syncd.records.values.pg_instant import microseconds
from syncd.storage.mirror import writer
from syncd.storage.mirror.target import make_target
from syncd.storage.postgres.database import Database
from tests.support.bench import MakeBench
from tests.support.command import WallClock, syncd
from tests.support.edges import EDGES, NUMBERS, TIMES
from tests.support.search import IS_WHOLE, examples, sampled, search, trial
from tests.support.strategies import NOW, TABLES, ZONE, ids

FLAT = {name: table for name, table in TABLES.items() if is_flat(table)}
"""Tables that both readers read."""
ZONES = ("Europe/Amsterdam", "UTC", "Pacific/Kiritimati", "Etc/GMT+12", "America/New_York")
OF_TRIALS = ("UTC", "Pacific/Kiritimati", "Etc/GMT+12", "America/New_York")
"""Zones in which every value at an edge is read in `make trials` only."""

_two = st.integers(0, 99).map(lambda number: f"{number:02d}")
_years = st.sampled_from(["0000", "0001", "0002", "1582", "1937", "2026", "9998", "9999"])
_days = st.one_of(
    st.builds("{}-{}-{}".format, _years, _two, _two),
    st.sampled_from(["0001-01-01", "0001-01-02", "0001-01-03", "9999-12-29", "9999-12-30", "9999-12-31", "2020-W01-1",
                     "1937-05-01", "2026-03-29", "2026-10-25", "２０２６-01-01"]),
)  # fmt: skip
_clocks = st.one_of(
    st.builds("{}:{}:{}".format, _two, _two, _two),
    st.sampled_from(["00:00:00", "23:59:59", "24:00:00", "23:59:60", "12:00:00", "02:30:00", "12:00"]),
)
_tails = st.sampled_from(
    ["", ".000", ".9999999", ".123456", "Z", "+00:00", "-05:00", "+14:00", "-15:59", "+05", "+0530"]
)
_times = st.builds("{}{}{}{}".format, _days, st.sampled_from([" ", "T", "t", "  "]), _clocks, _tails)
_signs = st.sampled_from(["", "-"])
_digits = st.text("0123456789", min_size=1, max_size=25).map(lambda text: text.lstrip("0") or "0")
_fractions = st.sampled_from(["", ".0", ".5", ".10", ".000000000000000001"])
_exponents = st.sampled_from(["", "e0", "E+1", "e-1", "e22", "E23", "e300", "e-300", "e301", "e400", "E-400", "e99999"])
_numbers = st.one_of(
    st.builds("{}{}{}{}".format, _signs, _digits, _fractions, _exponents),
    st.integers(90, 5_000).map(lambda places: "9" * places),
)  # fmt: skip
raw_texts = st.one_of(
    st.sampled_from(EDGES),
    _numbers,
    _times.map(json.dumps),
    _days.map(json.dumps),
    _numbers.map(json.dumps),
    st.text(max_size=8).map(json.dumps),
    st.text("aA1 \t\u00a0\u3000", max_size=5).map(json.dumps),
)
"""JSON texts of all kinds, many of them at an edge."""


def record_of(table: Table, odd: Column, text: str) -> bytes:
    """Return a record as documented, of nulls and a key, but for one value."""
    number = next(ids)
    keys = {
        Kind.BIGINT: str(number), Kind.TEXT: f'"k{number}"', Kind.UUID: f'"00000000-0000-4000-8000-{number:012d}"',
        Kind.DATE: f'"{date(2000, 1, 1) + timedelta(days=number)}"',
    }  # fmt: skip
    tree: dict[str | int, Any] = {child.field: Raw(b"[]") for child in table.children}
    for column in table.columns:
        node = tree
        for step in column.path[:-1]:
            node = node.setdefault(step, {})
        value = text if column is odd else keys[column.kind] if column.name in table.key else "null"
        node[column.path[-1]] = Raw(value.encode())
    return msgspec.json.encode(_with_lists(tree))


def _with_lists(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    if 0 in tree:
        return [_with_lists(tree[place]) for place in sorted(tree)]
    return {name: _with_lists(inner) for name, inner in tree.items()}


def one_of_each_kind(table: Table) -> list[Column]:
    """Return a column of each kind, in the key and beside it."""
    return list({(column.kind, column.name in table.key): column for column in table.columns}.values())


PLACES = [(name, column) for name, table in sorted(FLAT.items()) for column in one_of_each_kind(table)]


@pytest.mark.parametrize("zone", [pytest.param(zone, marks=(trial,) if zone in OF_TRIALS else ()) for zone in ZONES])
def test_both_readers_give_the_same_row_for_values_at_an_edge(zone: str) -> None:
    taken = 0
    for name, column in PLACES:
        readers = Readers(FLAT[name], zone)
        taken += sum(readers.agree(record_of(FLAT[name], column, text)) for text in EDGES)
    assert taken > 500


@search
@pytest.mark.parametrize("zone", ZONES)
@settings(max_examples=examples(400, part=80), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(place=st.sampled_from(PLACES), text=raw_texts)
def test_both_readers_give_the_same_row_for_any_value(zone: str, place: tuple[str, Column], text: str) -> None:
    name, column = place
    readers(name, zone).agree(record_of(FLAT[name], column, text))


class Readers:
    """Both readers of one table."""

    def __init__(self, table: Table, zone: str) -> None:
        self.lenient = LenientReader(table, ZoneInfo(zone))
        self.strict = StrictReader(table, ZoneInfo(zone))

    def agree(self, record: bytes) -> bool:
        """Assert that both give the same row; say whether the strict one took the record."""
        slow, fast = self.lenient.read(record), self.strict.read(record)
        assert fast is None or _plain(fast) == _plain(slow), record
        for _ in range(2):  # the second time from what is remembered of the day
            columns, _places = self.strict.read_all([record], b"[" + record + b"]", [0])
            assert (columns is None) == (fast is None), record
            if columns is not None:
                assert isinstance(slow, Row), record
                assert [column[0] for column in columns.values] == [_counted(value) for value in slow.values], record
                assert slow.extra is None, record
        return fast is not None


@cache
def readers(name: str, zone: str) -> Readers:
    return Readers(FLAT[name], zone)


def _plain(row: Row | Reject) -> Any:
    return (row.key, [_counted(value) for value in row.values], row.extra) if isinstance(row, Row) else row


def _counted(value: Any) -> Any:
    return microseconds(value) if isinstance(value, datetime) else value


# --- In the database --------------------------------------------------------------------------------------------------

TOGETHER = 500
"""Records of a page."""


AT_THE_EDGE: Mapping[Kind, Sequence[str]] = {
    Kind.DATE: tuple(map(json.dumps, TIMES)), Kind.TIMESTAMP: tuple(map(json.dumps, TIMES)),
    Kind.NUMERIC: NUMBERS, Kind.BIGINT: NUMBERS,
}  # fmt: skip


def edge_records(table: Table) -> list[bytes]:
    """Return records that each have one value at an edge: any in one column of each kind, else fitting ones.

    The latter only where the search is whole; else each column has every third value, by turns.
    """
    columns, every = one_of_each_kind(table), examples(1, part=3)
    records = [
        record_of(table, column, text) for turn, column in enumerate(columns) for text in EDGES[turn % every :: every]
    ]
    if not IS_WHOLE:
        return records
    fitting = [(column, text) for column in table.columns for text in AT_THE_EDGE.get(column.kind, ())]
    return records + [record_of(table, column, text) for column, text in fitting]


@search
async def test_every_stored_value_can_be_read_through_tables_and_views(db: Database, db_url: str) -> None:
    """Drivers know no year before 1 and none after 9999, in no time zone; PostgreSQL does."""
    stored, refused = 0, dict[str, str]()
    for table in TABLES.values():
        records, target = edge_records(table), make_target(table, Parser(table, ZONE))
        for begin in range(0, len(records), TOGETHER):
            read = target.intake.read(records[begin : begin + TOGETHER], whole=begin % (2 * TOGETHER) == 0)
            async with db.transaction() as conn:
                written = await writer.write_page(conn, target, "s", read, now=NOW)
            stored += written.counts.inserted
    assert stored > examples(10_000, part=1_000)
    conn = await asyncpg.connect(db_url)
    try:
        views = [row[0] for row in await conn.fetch(_VIEWS)]
        assert len(views) > 10
        for relation in (*views, *(f"{table.schema}.{table.name}" for table in TABLES.values())):
            try:
                await conn.fetch(f"SELECT * FROM {relation}")  # the driver refuses years that it does not know
            except (asyncpg.PostgresError, ValueError) as error:
                refused[relation] = str(error)
        assert refused == {}
        for zone in ("Pacific/Kiritimati", "Etc/GMT+12"):
            await conn.execute(f"SET timezone = '{zone}'")
            for relation in views:
                await conn.fetch(f"SELECT * FROM {relation}")
        for question in questions().values():
            await conn.fetch(question.query)
    finally:
        await conn.close()


_VIEWS = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'reporting' AND c.relkind IN ('v', 'm')
"""


# --- Through the sandbox ----------------------------------------------------------------------------------------------

SIZES = {
    "customers": 3, "page_size": 200, "cyclis_orders": 2, "cyclists": 2, "companies": 2, "vehicles": 2, "orders": 2,
    "stock_items": 2, "sales_orders": 2, "leads": 1, "dealers": 2, "makes": 2, "contacts": 1, "products": 2,
}  # fmt: skip
STREAMS = {
    "shop.customers": "cyclesoftware.customers",
    "cars.makes": "autengo.makes",
    "cars.vehicles": "autengo.vehicles",
    "lease.dealers": "cyclis.dealers",
    "lease.orders": "cyclis.orders",
}


@pytest.mark.parametrize("selector", sampled(STREAMS, every=4))
async def test_verify_finds_every_value_equal_and_export_writes_it(make_bench: MakeBench, selector: str) -> None:
    bench = await make_bench(time=WallClock(), **SIZES)
    (api, stream), table = STREAMS[selector].split("."), TABLES[STREAMS[selector]]
    template = bench.sandbox.truth(api, stream)[0]
    (key,) = (str(column.path[-1]) for column in table.columns if column.name in table.key)
    places = template.get("attributes", template)
    put = 0
    for column in one_of_each_kind(table):
        name = str(column.path[-1])
        for text in EDGES if name in places and name != key else ():
            if selector == "cars.vehicles" and not _is_plain(text):
                continue  # the sandbox itself reads vehicles, to put them in order
            put += 1
            record = copy.deepcopy(template) | {
                key: 9_000_000 + put if isinstance(template[key], int) else str(UUID(int=put))
            }
            record.get("attributes", record)[name] = Raw(text.encode())
            bench.sandbox.put(api, stream, record)
    assert put >= len(EDGES)
    synced = await bench.sync(selector)
    assert synced.outcome == "ok", synced
    path = bench.config_file()
    verified = await syncd("verify", selector, "--pages", "0", "--json", "--config", path)
    assert (verified.code, verified.json[0]["differences"]) == (0, []), verified
    assert verified.json[0]["compared"] >= put
    swept = await bench.sync(selector, "sweep")
    assert (swept.outcome, swept.counts.updated) == ("ok", 0)
    for form in ("jsonl", "parquet"):
        file = bench.folder / f"rows.{form}"
        exported = await syncd("export", selector, "--format", form, "--output", file, "--config", path)
        assert exported.code == 0, exported


def _is_plain(text: str) -> bool:
    """Say whether an ordinary decoder reads a text."""
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError):
        return False
    return True
