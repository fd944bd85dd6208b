"""What the tests of the autengo source share: samples, scripts of answers, and walks over them."""

import json
from typing import Any
from zoneinfo import ZoneInfo

from syncd.records.parser import Parser
from syncd.records.rows import Row
from syncd.sandbox.world import samples
from syncd.sources.autengo import SOURCE
from tests.support.bench import Bench
from tests.support.sources.rows import RowsOf

ZONE = ZoneInfo("Europe/Berlin")

SAMPLES = samples("syncd.sandbox.apis.autengo")


ROWS = RowsOf(source=SOURCE, zone=ZONE)
table, parsed, values = ROWS.table, ROWS.parsed, ROWS.values


async def assert_mirrors(bench: Bench, stream: str, truth: list[dict[str, Any]]) -> None:
    """Assert that the live rows of the stream are exactly these records, field by field."""
    parser = Parser(table(stream), ZONE)
    expected = {}
    for record in truth:
        row = parser.parse(json.dumps(record).encode())
        assert isinstance(row, Row)
        expected[row.key] = (plain(dict(zip(parser.names, row.values, strict=True))), json.loads(row.extra or "null"))
    found = {}
    for mirrored in await bench.rows(f"autengo.{stream}"):
        key = tuple(mirrored[name] for name in table(stream).key)
        found[key] = (plain({name: mirrored[name] for name in parser.names}), json.loads(mirrored["_extra"] or "null"))
    assert found.keys() == expected.keys()
    assert [key for key, content in expected.items() if found[key] != content] == []


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its jsonb read, so that blanks do not count."""
    arrays = {name: json.loads(row[name]) for name in ("equipment", "damages", "documents", "ads") if row.get(name)}
    return {**row, **arrays}


async def synced(bench: Bench, stream: str, kind: str = "live", **order: Any) -> Any:
    result = await bench.sync(f"cars.{stream}", kind, **order)
    assert result.outcome == "ok", result.error
    return result
