"""A key that is read without its record is the one that the record is read with, however it is spelt."""

import json
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from syncd.records.parser import LATE_RECORDS, Parser
from syncd.records.readers import Keys
from syncd.records.rows import Key, Row
from syncd.sources import registry

UUID = "0b6f7f2e-6f6b-4c44-9a57-0f6a4b1d2c3e"
SPELT: tuple[Any, ...] = (
    UUID, UUID.upper(), UUID.replace("-", ""), f"{{{UUID}}}", f"urn:uuid:{UUID}", UUID[:-1], f" {UUID}", "", None, 7,
    [], {"id": UUID},
)  # fmt: skip


def keys_of_rows(parser: Parser, records: Sequence[bytes]) -> list[Key | None]:
    rows = map(parser.parse, records)
    return [row.key if isinstance(row, Row) else None for row in rows]


@pytest.mark.parametrize("stream", ["orders", "companies", "cyclists", "dealers"])
def test_a_uuid_is_read_alone_as_with_its_record(stream: str) -> None:
    parser = Parser(registry()["cyclis"].stream(stream).table, ZoneInfo("UTC"))
    records = [json.dumps({"type": stream, "id": key, "attributes": {"a": 1}}).encode() for key in SPELT]
    records += [b"{}", b'{"id":"' + UUID.encode() + b'","id":"x"}', b'{"id":"x","id":"' + UUID.encode() + b'"}']
    expected = keys_of_rows(parser, records)
    assert sum(key is not None for key in expected) > 2
    assert [parser.key(record) for record in records] == expected
    assert parser.keys(records) == expected
    good = [record for record, key in zip(records, expected, strict=True) if key]
    assert parser.keys(good) == keys_of_rows(parser, good)


def test_a_nested_value_is_read_alone_as_with_its_record() -> None:
    table = registry()["cyclis"].stream("cyclists").table
    parser, place = Parser(table, ZoneInfo("UTC")), [column.name for column in table.columns].index("company_id")
    companies: list[Any] = [{"data": {"type": "companies", "id": key}} for key in SPELT]
    companies += [None, {"data": None}, {"data": []}, [], {}, {"data": {"id": UUID, "more": 1}}]
    records = [json.dumps({"id": UUID, "relationships": {"company": one}}).encode() for one in companies]
    records += [json.dumps({"id": "none", "relationships": {"company": companies[0]}}).encode(), b"[]", b"{}"]
    for record in records:
        row = parser.parse(record)
        expected = {row.values[place]} - {None} if isinstance(row, Row) else set()
        assert Keys(table).values("company_id", [record]) == expected, record
    assert Keys(table).values("company_id", records)


def test_the_keys_of_a_long_list_are_read_when_they_are_asked_for_and_are_the_same() -> None:
    parser = Parser(registry()["cyclis"].stream("orders").table, ZoneInfo("UTC"))
    ids: list[Any] = [f"{number:08x}-6f6b-4c44-9a57-0f6a4b1d2c3e" for number in range(LATE_RECORDS)]
    ids[-2] = None  # not as documented: no key
    records = [json.dumps({"type": "orders", "id": key}).encode() for key in ids]
    expected = keys_of_rows(parser, records)
    assert [at for at, key in enumerate(expected) if key is None] == [LATE_RECORDS - 2]
    for ask in (
        lambda keys: (keys[0], keys[-1], keys[-3:], keys[40:60], len(keys)),  # a few alone, many together
        lambda keys: (keys[40:60], keys[0], keys[-1], keys[-3:], len(keys)),
        lambda keys: (list(keys), None in keys, expected[7] in keys, ("none",) in keys),
    ):
        late = parser.keys(records)
        assert not isinstance(late, list)
        assert ask(late) == ask(expected)
    assert parser.keys(records[1:]) == expected[1:]
