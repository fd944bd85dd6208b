"""Whatever JSON an upstream sends for a record, its typed columns and `_extra` together give it back."""

import itertools
import json
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncd.contract import Column, Kind, Table
from syncd.records.instant import microseconds
from syncd.records.parser import Parser
from syncd.records.rows import Reject, Row
from syncd.sources import registry
from syncd.storage.mirror import writer
from syncd.storage.mirror.target import make_target
from syncd.storage.postgres.database import Database
from tests.support import truth

ZONE = ZoneInfo("Europe/Amsterdam")
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
TABLES = {
    f"{source.type}.{stream.name}": stream.table
    for source in registry().values()
    for stream in source.streams
    if stream.name != "platform_keys"  # its key is kept as a digest only
}
FIRST, LAST = datetime.fromisoformat("1900-01-01"), datetime.fromisoformat("2100-01-01")
_numbers = itertools.count(1_000_000)

texts = st.one_of(
    st.text(max_size=12),
    st.text(st.characters(exclude_categories=()), max_size=6),  # lone surrogates, NUL
    st.sampled_from(["", "NO", "array", "01067", "8", "0000-00-00", "2026-10-25 02:30:00", "2026-03-29 02:30:00",
                     "2026-01-01T12:00:99", "/Date(-62135596800000)/", "/Date(1400000000000-0000)/", "2017-05-19",
                     "2019-08-24T14:15:22Z", "2020-04-14T06:33:26+02:00", "2026-01-01 10:00:00.1234567"]),
)  # fmt: skip
numbers = st.one_of(
    st.integers(-10, 300),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([2**53 + 1, 2**63, -(2**63), 10**200, 0.1, 1e300, float("nan"), float("inf"), -0.0, 12.50]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
fitting: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: texts,
    Kind.BIGINT: st.integers(-(2**63), 2**63 - 1),
    Kind.NUMERIC: st.decimals(-(10**9), 10**9, places=3).map(float),
    Kind.BOOLEAN: st.booleans(),
    Kind.DATE: st.dates().map(str),
    Kind.TIMESTAMP: st.datetimes(FIRST, LAST).map(lambda at: f"{at:%Y-%m-%d %H:%M:%S}"),
    Kind.UUID: st.uuids().map(str),
    Kind.JSON: anything,
}


def _values(columns: tuple[Column, ...], depth: int) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with the documented fields of some columns, each fitting, odd or missing, and some unknown fields."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for name in dict.fromkeys(str(column.path[depth]) for column in columns):
        below = tuple(column for column in columns if str(column.path[depth]) == name)
        nested = [column for column in below if len(column.path) > depth + 1]
        if nested and isinstance(nested[0].path[depth + 1], int):
            fits: st.SearchStrategy[Any] = st.lists(st.floats(-180, 180), min_size=2, max_size=2)
        elif nested:
            fits = _values(tuple(nested), depth + 1)
        else:
            fits = fitting[below[0].kind]
        fields[name] = st.one_of(fits, fits, fits, anything)
    unknown = st.dictionaries(texts, anything, max_size=2)
    known = st.fixed_dictionaries({}, optional=fields)
    return st.builds(lambda extra, given: extra | given, unknown, known)


def _keyed(table: Table, record: dict[str, Any]) -> dict[str, Any]:
    """Give the record a key of its own, of the documented type."""
    number = next(_numbers)
    for name in table.key:
        column = next(column for column in table.columns if column.name == name)
        uuid = f"00000000-0000-4000-8000-{number:012d}"
        record[str(column.path[0])] = {Kind.BIGINT: number, Kind.UUID: uuid}.get(column.kind, f"k{number}")
    return record


def _sent(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=True).encode()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _without_surrogates(value: Any) -> Any:
    """Names of fields cannot be wrapped: PostgreSQL holds them with U+FFFD where it must."""
    match value:
        case dict():
            return {_name(name): _without_surrogates(inner) for name, inner in value.items()}
        case list():
            return [_without_surrogates(inner) for inner in value]
        case float() if value != value:  # NaN differs from itself
            return "NaN"
        case _:
            return value


def _name(name: str) -> str:
    return name.replace("\0", "\ufffd").encode("utf-8", "replace").decode().replace("?", "\ufffd")


@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
async def test_every_record_can_be_given_back(db: Database, name: str, data: st.DataObject) -> None:
    table = TABLES[name]
    some = data.draw(st.lists(st.sampled_from(table.columns), max_size=8, unique=True))
    record = _keyed(table, data.draw(_values(tuple(some), 0)))
    target = make_target(table, Parser(table, ZONE))
    async with db.transaction() as conn:
        written = await writer.write_page(conn, target, "s", target.intake.read([_sent(record)]), now=NOW)
        assert written.counts.inserted == 1, written.rejects
        key = written.keys[0]
        rows = await conn.fetch(target.statements.select_rows, "s", *([part] for part in key))
    rebuilt = truth._rebuilt(rows[0], table)
    sent = json.loads(_sent(record), parse_float=Decimal)
    assert not truth._differing(name, _without_surrogates(rebuilt), _without_surrogates(sent), ZONE)


phone_numbers = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"phone_number_id": st.sampled_from(["mob", "tel", "714253", "", None, 5])},
            optional={
                "customer_id": st.integers(1, 9) | texts,
                "phone_number": texts,
                "name": anything,
                "new": anything,
            },
        ),
        anything,
    ),
    max_size=4,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(numbers=phone_numbers | anything)
async def test_every_child_element_can_be_given_back(db: Database, numbers: Any) -> None:
    table = TABLES["cyclesoftware.customers"]
    child = table.children[0].table
    record = {"customer_id": next(_numbers), "phone_numbers": numbers}
    target = make_target(table, Parser(table, ZONE))
    async with db.transaction() as conn:
        await writer.write_page(conn, target, "s", target.intake.read([_sent(record)]), now=NOW)
        parent = await conn.fetchrow(target.statements.select_rows, "s", [record["customer_id"]])
        rows = await conn.fetch(
            f"SELECT * FROM {target.children[0].name} WHERE customer_id = $1", record["customer_id"]
        )
    kept = truth._unwrapped(json.loads(parent["_extra"] or "{}")).get("phone_numbers", [])
    sent = json.loads(_sent(record))["phone_numbers"]
    if not isinstance(sent, list):
        assert _canonical(_exact(kept or None)) == _canonical(_exact(sent or None))
        return
    rebuilt = [_stripped(truth._rebuilt(row, child), record["customer_id"]) for row in rows]
    expected = [_stripped(element, record["customer_id"]) for element in sent]
    assert _bag(rebuilt + [_stripped(element, record["customer_id"]) for element in kept]) == _bag(expected)


def _stripped(element: Any, parent: int) -> Any:
    """Nulls say what absent fields say, and the parent's own key says nothing new."""
    if not isinstance(element, dict):
        return element
    return {
        name: value for name, value in element.items() if value is not None and (name, value) != ("customer_id", parent)
    }


def _bag(elements: list[Any]) -> Counter[str]:
    return Counter(_canonical(_exact(element)) for element in elements)


def _exact(value: Any) -> Any:
    match value:
        case dict():
            return {_name(name): _exact(inner) for name, inner in value.items()}
        case list():
            return [_exact(inner) for inner in value]
        case bool() | None:
            return value
        case int() | float() | Decimal():
            number = Decimal(str(value))
            return f"number {number.normalize() if number else 0}"
        case _:
            return value


@settings(max_examples=200, deadline=None, derandomize=True)
@given(record=_values(TABLES["cyclesoftware.customers"].columns, 0), number=st.integers(1, 99))
def test_strict_and_lenient_reading_agree(record: dict[str, Any], number: int) -> None:
    """A record that the fast path takes gives the row that reading field by field gives."""
    parser = Parser(TABLES["cyclesoftware.customers"], ZONE)
    whole = {column.name: None for column in parser.table.columns} | record
    whole |= {
        "customer_id": number,
        "phone_numbers": [{"phone_number_id": "tel", "customer_id": 6, "phone_number": "", "name": ""}],
    }
    whole = {
        name: value
        for name, value in whole.items()
        if name in {c.name for c in parser.table.columns} or name == "phone_numbers"
    }
    raw = _sent(whole)
    strict = parser._strict.read(raw) if parser._strict else None
    slow = parser._slow_row(raw, ())
    assert isinstance(slow, Row)
    if strict is not None:
        assert (strict.key, strict.values, strict.extra) == (slow.key, slow.values, slow.extra)
        for one, other in zip(strict.children, slow.children, strict=True):
            assert [(r.key, r.values, r.extra) for r in one or ()] == [(r.key, r.values, r.extra) for r in other or ()]


gappy_numbers = st.lists(
    st.fixed_dictionaries(
        {"phone_number_id": st.sampled_from(["mob", "tel", "714253"])},
        optional={"customer_id": st.integers(1, 3), "phone_number": texts, "name": texts},
    ),
    max_size=3,
    unique_by=lambda number: number["phone_number_id"],
)


times = st.builds(
    lambda day, minute, second, between: f"{day:%Y-%m-%d}{between}{minute // 60:02d}:{minute % 60:02d}{second}",
    st.sampled_from([date(2024, 3, 31), date(2024, 10, 27), date(2024, 6, 1), date(1800, 1, 1), date(1, 1, 1)]),
    st.integers(0, 3) | st.integers(118, 182) | st.integers(0, 1439),
    st.sampled_from([":00", ":59", "+01", ":30.5", ":07Z", ":07+02:00"]),
    st.sampled_from(" T"),
)


@pytest.mark.parametrize("day", ["2024-06-01", "2024-03-31", "2024-10-27", "1969-12-31", "2000-01-01", "1800-01-01"])
def test_instants_counted_together_are_those_read_alone(day: str) -> None:
    """Each minute of a day, of which most are put together from what was read before; on two of them clocks change."""
    parser = Parser(TABLES["cyclesoftware.customers"], ZONE)
    place = parser.names.index("datetime_created")
    told = [f"{day}{' T'[at % 2]}{at // 60:02d}:{at % 60:02d}:{at * 7 % 60:02d}" for at in range(24 * 60)]
    records = [_sent({"customer_id": at, "datetime_created": text}) for at, text in enumerate(told, 1)]
    columns, places = parser.columns(records, list(range(len(records))))
    assert columns
    assert len(places) > 1_300
    alone = [parser._slow_row(records[at], ()) for at in places]
    assert list(columns.values[place]) == [microseconds(row.values[place]) for row in alone if isinstance(row, Row)]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_records_read_together_and_alone_agree(data: st.DataObject) -> None:
    """Fields missing here and there, and elements that name another parent, let a record be read with others."""
    table = TABLES["cyclesoftware.customers"]
    parser = Parser(table, ZONE)
    names = [column.name for column in table.columns if column.kind is Kind.TEXT]
    records = [
        _sent({"customer_id": number} | dict.fromkeys(present, "x") | told)
        for number, (present, told) in enumerate(
            data.draw(
                st.lists(
                    st.tuples(
                        st.lists(st.sampled_from(names)),
                        st.fixed_dictionaries(
                            {"datetime_created": times},
                            optional={"phone_numbers": gappy_numbers, "email": st.just("\0")},
                        ),
                    ),
                    min_size=1,
                    max_size=6,
                )
            ),
            1,
        )
    ]
    columns, places = parser.columns(records, list(range(len(records))))
    assert set(places) <= {place for place, record in enumerate(records) if b"\\u0000" not in record}
    slow = [parser._slow_row(records[place], ()) for place in places]
    if columns is None:
        assert not slow
        return
    ((child, counts),) = columns.children
    numbers = iter(zip(zip(*child.values, strict=True), child.extras or itertools.repeat(None), strict=False))
    extras = columns.extras or itertools.repeat(None)
    for place, (row, values, extra, count) in enumerate(
        zip(slow, zip(*columns.values, strict=True), extras, counts, strict=False)
    ):
        assert isinstance(row, Row)
        counted = tuple(microseconds(value) if isinstance(value, datetime) else value for value in row.values)
        assert (values, extra) == (counted, row.extra)
        assert [next(numbers) for _ in range(count)] == [(r.values, r.extra) for r in row.children[0] or ()]
        assert Counter(note for at, note in columns.notes if at == place) == Counter(row.notes)
    assert len(slow) == len(counts)


@pytest.mark.parametrize(
    "record",
    [b"{}", b"null", b"[]", b'"x"', b"1", b'{"customer_id": null}', b'{"customer_id": ""}', b'{"customer_id": "x"}',
     b'{"customer_id": true}', b'{"customer_id": 1.5}', b'{"customer_id": 9223372036854775808}',
     b'{"customer_id": {}}'],
)  # fmt: skip
def test_records_without_a_usable_key_are_rejects(record: bytes) -> None:
    parser = Parser(TABLES["cyclesoftware.customers"], ZONE)
    found = parser.parse(record)
    assert isinstance(found, Reject)
    assert found.record == record.decode()
    assert parser.key(record) is None


@pytest.mark.parametrize("record", [b'{"customer_id": "8"}', b'{"customer_id": 8}', b'{"customer_id": 8.0}'])
def test_one_key_in_several_forms_is_one_key(record: bytes) -> None:
    assert Parser(TABLES["cyclesoftware.customers"], ZONE).key(record) == (8,)
