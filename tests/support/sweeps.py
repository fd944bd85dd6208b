"""Runs that must end well, and the keys that a table holds after them."""

from typing import Any

from syncd.engine.order import Result
from tests.support.bench import Bench

GONE = "_deleted_at IS NOT NULL"


async def synced(bench: Bench, *selectors: str, kind: str = "live", **order: Any) -> Result:
    """Run streams one after the other; each must be ok. Return the last result."""
    for selector in selectors:
        result = await bench.sync(selector, kind, **order)
        assert result.outcome == "ok", (selector, result.error)
    return result


async def keys(bench: Bench, table: str, column: str, where: str = "_deleted_at IS NULL") -> set[Any]:
    return {row[column] for row in await bench.rows(table, where)}
