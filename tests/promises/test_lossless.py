"""Whatever JSON an upstream sends for a record, its typed columns and `_extra` together give it back."""

import itertools
import json
from collections import Counter
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncd.contract import Kind
from syncd.records.parser import Parser
from syncd.records.rows import Reject, Row
from syncd.records.values.pg_instant import microseconds
from syncd.storage.mirror import writer
from syncd.storage.postgres.database import Database
from tests.support import truth
from tests.support.search import examples, sampled, search
from tests.support.strategies import (
    NOW,
    TABLES,
    ZONE,
    anything,
    ids,
    keyed,
    sent_as,
    target_of,
    texts,
    values_of,
)


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


@search
@pytest.mark.parametrize("name", sampled(TABLES, every=2))
@settings(max_examples=examples(40, part=8), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
async def test_every_record_can_be_given_back(db: Database, name: str, data: st.DataObject) -> None:
    table = TABLES[name]
    told = [column for column in table.columns if column.kind is not Kind.SHA256]  # a secret is not given back
    some = data.draw(st.lists(st.sampled_from(told), max_size=8, unique=True))
    record = keyed(table, data.draw(values_of(tuple(some), 0)))
    target = target_of(name)
    async with db.transaction() as conn:
        written = await writer.write_page(conn, target, "s", target.intake.read([sent_as(record)]), now=NOW)
        assert written.counts.inserted == 1, written.rejects
        key = written.keys[0]
        rows = await conn.fetch(target.statements.select_rows, "s", *([part] for part in key))
    rebuilt = truth._rebuilt(rows[0], table)
    sent = json.loads(sent_as(record), parse_float=Decimal)
    assert not truth._differing(name, _without_surrogates(rebuilt), _without_surrogates(sent), ZONE)


CHILDREN = {child.table.name: (table, place) for table in TABLES.values() for place, child in enumerate(table.children)}


@search
@pytest.mark.parametrize("name", CHILDREN)
@settings(max_examples=examples(60, part=12), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_every_element_of_a_child_table_can_be_given_back(name: str, data: st.DataObject) -> None:
    parent, place = CHILDREN[name]
    child = parent.children[place]
    inherited = {str(column.path[0]) for column in child.table.columns if column.name in parent.key}
    some = data.draw(st.lists(st.sampled_from(child.table.columns), max_size=8, unique=True))
    element = keyed(child.table, data.draw(values_of(tuple(some), 0)))
    element = {field: value for field, value in element.items() if field not in inherited}
    record = keyed(parent, {})
    holder = record
    for step in child.at[:-1]:
        holder = holder.setdefault(step, {})
    holder[child.at[-1]] = [element]
    row = Parser(parent, ZONE).parse(sent_as(record))
    assert isinstance(row, Row)
    (found,) = row.children[place] or []
    columns = zip((column.name for column in child.table.columns), found.values, strict=True)
    rebuilt = truth._rebuilt({**dict(columns), "_extra": found.extra}, child.table)
    rebuilt = {field: value for field, value in rebuilt.items() if field not in inherited}
    sent = json.loads(sent_as(element), parse_float=Decimal)
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


@search
@settings(max_examples=examples(150, part=12), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(numbers=phone_numbers | anything)
async def test_every_child_element_can_be_given_back(db: Database, numbers: Any) -> None:
    table = TABLES["cyclesoftware.customers"]
    child = table.children[0].table
    record = {"customer_id": next(ids), "phone_numbers": numbers}
    target = target_of("cyclesoftware.customers")
    async with db.transaction() as conn:
        await writer.write_page(conn, target, "s", target.intake.read([sent_as(record)]), now=NOW)
        parent = await conn.fetchrow(target.statements.select_rows, "s", [record["customer_id"]])
        rows = await conn.fetch(
            f"SELECT * FROM {target.children[0].name} WHERE customer_id = $1", record["customer_id"]
        )
    kept = truth._unwrapped(json.loads(parent["_extra"] or "{}")).get("phone_numbers", [])
    sent = json.loads(sent_as(record))["phone_numbers"]
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


@search
@settings(max_examples=examples(200, part=50), deadline=None, derandomize=True)
@given(record=values_of(TABLES["cyclesoftware.customers"].columns, 0), number=st.integers(1, 99))
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
    raw = sent_as(whole)
    strict = parser._strict.read(raw) if parser._strict else None
    slow = parser.lenient.read(raw)
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
    records = [sent_as({"customer_id": at, "datetime_created": text}) for at, text in enumerate(told, 1)]
    columns, places = parser.columns(records, list(range(len(records))))
    assert columns
    assert len(places) > 1_300
    alone = [parser.lenient.read(records[at]) for at in places]
    assert list(columns.values[place]) == [microseconds(row.values[place]) for row in alone if isinstance(row, Row)]


@search
@settings(max_examples=examples(300, part=60), deadline=None, derandomize=True)
@given(data=st.data())
def test_records_read_together_and_alone_agree(data: st.DataObject) -> None:
    """Fields missing here and there, and elements that name another parent, let a record be read with others."""
    table = TABLES["cyclesoftware.customers"]
    parser = Parser(table, ZONE)
    names = [column.name for column in table.columns if column.kind is Kind.TEXT]
    records = [
        sent_as({"customer_id": number} | dict.fromkeys(present, "x") | told)
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
    slow = [parser.lenient.read(records[place]) for place in places]
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
