"""Records as an upstream might send them: Hypothesis strategies over every table of the registry."""

import functools
import itertools
import json
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from syncd.contract import Column, Kind, Table
from syncd.records.parser import Parser
from syncd.sources import registry
from syncd.storage.mirror.target import Target, make_target

ZONE = ZoneInfo("Europe/Amsterdam")
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
TABLES = {
    f"{source.type}.{stream.name}": stream.table
    for source in registry().values()
    for stream in source.streams
    if stream.name != "platform_keys"  # its key is kept as a digest only
}
FIRST, LAST = datetime.fromisoformat("1900-01-01"), datetime.fromisoformat("2100-01-01")
ids = itertools.count(1_000_000)
texts = st.one_of(
    st.text(max_size=12),
    st.text(st.characters(exclude_categories=()), max_size=6),  # lone surrogates, NUL
    st.sampled_from(["", "NO", "array", "01067", "8", "0000-00-00", "2026-10-25 02:30:00", "2026-03-29 02:30:00",
                     "2026-01-01T12:00:99", "/Date(-62135596800000)/", "/Date(1400000000000-0000)/", "2017-05-19",
                     "28-11-2026", "28-11-2026 10:00:00", "28-11-2026 10:00", "2026-11-28 10:00",
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
    Kind.SHA256: texts,
}
fitting_or_odd = {kind: st.one_of(fits, fits, fits, anything) for kind, fits in fitting.items()}
coordinates = st.one_of(*[st.lists(st.floats(-180, 180), min_size=2, max_size=2)] * 3, anything)
unknown_fields = st.dictionaries(texts, anything, max_size=2)


def values_of(columns: tuple[Column, ...], depth: int) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with the documented fields of some columns, each fitting, odd or missing, and some unknown fields.

    What it is made of is made once: Hypothesis looks at each new strategy before it draws from it.
    """
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for name in dict.fromkeys(str(column.path[depth]) for column in columns):
        below = tuple(column for column in columns if str(column.path[depth]) == name)
        nested = [column for column in below if len(column.path) > depth + 1]
        if nested and isinstance(nested[0].path[depth + 1], int):
            fields[name] = coordinates
        elif nested:
            fits = values_of(tuple(nested), depth + 1)
            fields[name] = st.one_of(fits, fits, fits, anything)
        else:
            fields[name] = fitting_or_odd[below[0].kind]
    known = st.fixed_dictionaries({}, optional=fields)
    return st.builds(lambda extra, given: extra | given, unknown_fields, known)


def keyed(table: Table, record: dict[str, Any]) -> dict[str, Any]:
    """Give the record a key of its own, of the documented type."""
    number = next(ids)
    for name in table.key:
        column = next(column for column in table.columns if column.name == name)
        uuid = f"00000000-0000-4000-8000-{number:012d}"
        day = str(date.fromordinal(number))
        keys = {Kind.BIGINT: number, Kind.UUID: uuid, Kind.DATE: day}
        record[str(column.path[0])] = keys.get(column.kind, f"k{number}")
    return record


def sent_as(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=True).encode()


@functools.cache
def target_of(name: str) -> Target:
    """Return what a table of TABLES is read and written with, made once."""
    return make_target(TABLES[name], Parser(TABLES[name], ZONE))
