"""What the tests of the ghs source share: samples, scripts of answers, and walks over them."""

import json
from typing import Any
from zoneinfo import ZoneInfo

from syncd.records.parser import Parser
from syncd.records.rows import Row
from syncd.sources.ghs import SOURCE
from tests.support.bench import Bench
from tests.support.sources.rows import RowsOf

UTC_ZONE = ZoneInfo("UTC")


ROWS = RowsOf(source=SOURCE, zone=UTC_ZONE)
table, parsed, values = ROWS.table, ROWS.parsed, ROWS.values


async def assert_mirrors(bench: Bench, stream: str, truth: list[dict[str, Any]]) -> None:
    """Assert that the live rows of the stream are exactly these records, field by field."""
    parser = Parser(table(stream), UTC_ZONE)
    jsons = {each.name for each in table(stream).columns if each.kind == "jsonb"}
    expected, found = {}, {}
    for record in map(_stored, truth):
        row = parser.parse(json.dumps(record).encode())
        assert isinstance(row, Row)
        expected[row.key] = readable(dict(zip(parser.names, row.values, strict=True)), row.extra, jsons)
    for mirrored in await bench.rows(f"ghs.{stream}"):
        key = tuple(mirrored[name] for name in table(stream).key)
        found[key] = readable({name: mirrored[name] for name in parser.names}, mirrored["_extra"], jsons)
    assert found.keys() == expected.keys()
    assert [key for key, content in expected.items() if found[key] != content] == []


def _stored(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without what tells of an identity document, which is never stored."""
    if "userSettings" not in record:
        return record
    return {**record, "userSettings": {"language": record["userSettings"]["language"]}}


def readable(row: dict[str, Any], extra: str | None, jsons: set[str]) -> dict[str, Any]:
    """Return a row with its jsonb read, so that blanks do not count."""
    read = {name: json.loads(row[name]) for name in jsons if row[name] is not None}
    return {**row, **read, "_extra": json.loads(extra or "null")}


async def synced(bench: Bench, stream: str, kind: Any = "live", **order: Any) -> Any:
    result = await bench.sync(f"parts.{stream}", kind, **order)
    assert result.outcome == "ok", result.error
    return result
