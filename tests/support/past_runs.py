"""Runs that a test writes into syncd.runs, as if they had been."""

from typing import Any

from tests.support.bench import Bench


async def add_run(bench: Bench, selector: str, outcome: str, *, kind: str = "live", **columns: Any) -> None:
    """Add a run of a stream that began now; `columns` are others of its row."""
    source, _, stream = selector.partition(".")
    lane = "backfill" if kind == "backfill" else "live"
    values = {"source": source, "stream": stream, "kind": kind, "outcome": outcome, "started_at": bench.time.now()}
    values |= {"lane": lane, **columns}
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await bench.fetch(f"INSERT INTO syncd.runs ({', '.join(values)}) VALUES ({places})", *values.values())
