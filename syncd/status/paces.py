"""How often streams with `every = "auto"` are asked now, by their runs of the last day: for a start, and to be told."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from syncd.config import Config, StreamConfig
from syncd.engine.pace import DAY_S, Look, Paces
from syncd.status.model import Pair
from syncd.storage.postgres.database import Database

LOOKS_MOST: Final = 3_000
"""Runs of one stream that are read; a day of looks every 30 s has 2,880."""
STREAMS_AT_ONCE: Final = 50
"""Streams whose runs are read at once: at most 150,000 of them."""

_LOOKS: Final = """
SELECT w.source, w.stream, r.* FROM unnest($1::text[], $2::text[]) AS w(source, stream)
CROSS JOIN LATERAL (
  SELECT run_id, started_at, rows_inserted + rows_updated + rows_deleted AS found, requests FROM syncd.runs
  WHERE source = w.source AND stream = w.stream AND kind = 'live' AND outcome = 'ok' AND started_at >= $3
  ORDER BY run_id DESC LIMIT $4
) AS r ORDER BY r.run_id
"""


def wanted_of(config: Config) -> dict[Pair, StreamConfig]:
    """Return the auto streams that are on."""
    return {
        (source.name, stream.name): stream
        for source in config.sources.values()
        for stream in source.streams.values()
        if stream.auto is not None and stream.enabled
    }


async def read_paces(database: Database, config: Config, *, now: datetime) -> dict[str, Paces]:
    """Return the paces of the sources that have auto streams, as their runs made them."""
    wanted, paces = wanted_of(config), dict[str, Paces]()
    if not wanted:
        return paces
    for name in {source for source, _ in wanted}:
        paces[name] = Paces()
        streams = config.sources[name].streams.values()
        paces[name].plan((each.name, each.auto) for each in streams if each.auto and (name, each.name) in wanted)
    async with database.connection() as conn:
        pairs = list(wanted)
        for at in range(0, len(pairs), STREAMS_AT_ONCE):
            names = map(list, zip(*pairs[at : at + STREAMS_AT_ONCE], strict=True))
            for row in await conn.fetch(_LOOKS, *names, now - timedelta(seconds=DAY_S), LOOKS_MOST):
                look = Look(at_s=row["started_at"].timestamp(), found=row["found"], requests=row["requests"])
                paces[row["source"]].look(row["stream"], look)
    return paces


def in_force(paces: Mapping[str, Paces], config: Config, *, now: datetime) -> dict[Pair, float]:
    """Return the interval in seconds that each auto stream has now."""
    return {(source, name): paces[source].interval_s(name, now.timestamp()) for source, name in wanted_of(config)}
