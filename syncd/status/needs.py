"""What earlier runs have shown of their cost, and the forecast of every source that follows. Reads only."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from syncd.config import Config, is_off
from syncd.contract import Source
from syncd.engine import schedule
from syncd.status.counts import count_rows
from syncd.status.facts import columns, purse_of
from syncd.status.forecast import Forecast, Shown, forecast_of
from syncd.status.model import Pair
from syncd.storage.postgres.database import Database
from syncd.upstream import budget

SHOWN_FOR: Final = timedelta(days=7)
RUNS_READ: Final = 50
"""Good runs of a stream that are read; an hour of them for the most frequent."""
STREAMS_MOST: Final = 1_000
"""Of more streams the status page shows no forecast, because it would read too many runs; the command does."""

_SHOWN: Final = """
SELECT w.source, w.stream, k.kind, count(*) AS runs, avg(r.requests)::float8 AS requests
FROM unnest($1::text[], $2::text[]) AS w (source, stream)
CROSS JOIN (VALUES ('live'), ('sweep')) AS k (kind)
CROSS JOIN LATERAL (
  SELECT requests FROM syncd.runs WHERE source = w.source AND stream = w.stream AND kind = k.kind AND outcome = 'ok'
    AND started_at >= $3 ORDER BY run_id DESC LIMIT $4
) AS r
GROUP BY 1, 2, 3
"""


async def read_forecasts(
    database: Database | None,
    config: Config,
    registry: Mapping[str, Source],
    *,
    now: datetime,
    keys: Mapping[Pair, int] | None = None,
    rows: Mapping[Pair, int] | None = None,
) -> list[Forecast]:
    """Forecast every source; without a database by declarations alone.

    `keys`: how many each query gives. `rows`: how many rows there are, if they were counted already.
    """
    pairs = [(source.name, name) for source in config.sources.values() for name in source.streams]
    shown = await _read_shown(database, pairs, now) if database else {}
    if rows is None:
        rows = await _read_rows(database, config, registry) if database else {}
    limits = await _read_limits(database, config, registry, now) if database else {}
    found = []
    for source in config.sources.values():
        kind, name = registry[source.type], source.name
        allowed = [limits.get(name), source.budget.per_day, kind.per_day]
        intervals = {
            stream.name: schedule.interval_s(stream, now) for stream in source.streams.values() if not is_off(stream)
        }
        found.append(
            forecast_of(
                kind, source, limit=min((each for each in allowed if each is not None), default=None),
                rows={stream: count for (of, stream), count in rows.items() if of == name},
                shown={(stream, of): value for (owner, stream, of), value in shown.items() if owner == name},
                intervals=intervals,
                keys={stream: count for (of, stream), count in (keys or {}).items() if of == name},
            )
        )  # fmt: skip
    return found


async def _read_shown(database: Database, pairs: Sequence[Pair], now: datetime) -> dict[tuple[str, str, str], Shown]:
    async with database.connection() as conn:
        rows = await conn.fetch(_SHOWN, *columns(pairs), now - SHOWN_FOR, RUNS_READ)
    return {
        (row["source"], row["stream"], row["kind"]): Shown(runs=row["runs"], requests=row["requests"]) for row in rows
    }


async def _read_rows(database: Database, config: Config, registry: Mapping[str, Source]) -> dict[Pair, int]:
    tables: dict[Pair, str] = {}
    for source in config.sources.values():
        for name in source.streams:
            table = registry[source.type].stream(name).table
            tables[source.name, name] = f"{table.schema}.{table.name}"
    counted = await count_rows(database, list(dict.fromkeys(tables.values())))
    return {pair: counted[table, pair[0]].alive for pair, table in tables.items() if (table, pair[0]) in counted}


async def _read_limits(
    database: Database, config: Config, registry: Mapping[str, Source], now: datetime
) -> dict[str, int | None]:
    """Return what the servers said of the day."""
    async with database.connection() as conn:
        rows = await conn.fetch("SELECT source, state FROM syncd.budgets")
    found: dict[str, int | None] = {}
    for row in rows:
        if source := config.sources.get(row["source"]):
            purse = purse_of(row, source.budget, registry[source.type].zone)
            found[source.name] = budget.summary(*purse, now.timestamp()).day_limit if purse else None
    return found
