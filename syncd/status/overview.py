"""How very many streams stand: a list of them costs what has changed since, and details are read of what is shown.

A status of 200,000 streams takes half a minute of CPU. So where there are that many, a list is made of a look
(`lookout`), and only the streams on the page that is asked for are read as a whole.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

import msgspec

from syncd.config import Config, is_off
from syncd.contract import Source
from syncd.status.facts import Facts
from syncd.status.lookout import Looked
from syncd.status.model import Orphan, Pair, State, Status, StreamStatus
from syncd.storage.postgres.database import Database

LARGE_STREAMS: Final = 4_000
"""From so many streams on a list reads only what it shows, and the metrics sum; our choice."""

_ORPHANS: Final = (
    "SELECT source, type, address FROM syncd.sources WHERE NOT source = ANY($1::text[]) ORDER BY source LIMIT 100"
)
_BACKFILLS: Final = "SELECT DISTINCT source, stream FROM syncd.runs WHERE outcome = 'running' AND kind = 'backfill'"


def is_large(config: Config) -> bool:
    """Say whether there are so many streams that a list reads only what it shows."""
    return sum(len(source.streams) for source in config.sources.values()) > LARGE_STREAMS


def narrowed(config: Config, names: frozenset[str]) -> Config:
    """Return the configuration of these sources alone, in their order."""
    return replace(config, sources={name: each for name, each in config.sources.items() if name in names})


async def orphans(database: Database, config: Config) -> list[Orphan]:
    """Return sources of which anything is stored and that nobody configures, without their rows."""
    known = [*config.sources, *config.left_out]
    async with database.connection() as conn:
        rows = await conn.fetch(_ORPHANS, known)
    hint = "syncd sources list says what they hold."
    return [
        Orphan(source=row["source"], type=row["type"], address=row["address"], account=None, rows=None, hint=hint)
        for row in rows
    ]


async def backfilling(database: Database) -> list[Pair]:
    """Return the streams of which a backfill is under way."""
    async with database.connection() as conn:
        return [(row["source"], row["stream"]) for row in await conn.fetch(_BACKFILLS)]


class Idle:
    """The streams of a configuration that are off: no look tells of them, because nothing of them ever changes."""

    def __init__(self, registry: Mapping[str, Source]) -> None:
        self._registry = registry
        self._of: tuple[Config, list[StreamStatus]] | None = None

    def streams(self, config: Config, now: datetime) -> list[StreamStatus]:
        """Return how they stand; made once for each configuration."""
        if self._of is None or self._of[0] is not config:
            self._of = config, self._made(config, now)
        return self._of[1]

    def _made(self, config: Config, now: datetime) -> list[StreamStatus]:
        nothing, found = Facts(), []
        for source in config.sources.values():
            for name, settings in source.streams.items():
                if is_off(settings):
                    table = self._registry[source.type].stream(name).table
                    found.append(
                        nothing.stream(
                            (source.name, name), settings, [f"{table.schema}.{table.name}"], None, None, None, "UTC",
                            now, by_listing=True,
                        )
                    )  # fmt: skip
        return found


def overview(looked: Looked, idle: list[StreamStatus], found: list[Orphan]) -> Status:
    """Return a look as a status: what is late says so, what is off is there; rows and cursors are not told."""
    status = looked.status
    streams = [
        msgspec.structs.replace(stream, state="late", why="no run has succeeded for two intervals")
        if stream.state == "fresh" and (stream.source, stream.stream) in looked.late
        else stream
        for stream in status.streams
    ]
    streams += idle
    summary: dict[str, int] = dict.fromkeys(State.__args__, 0)  # type: ignore[attr-defined]  # a Literal's own
    for stream in streams:
        summary[stream.state] += 1
    return msgspec.structs.replace(status, summary=summary, streams=streams, orphans=found)
