"""How very many streams stand: a list of them costs what has changed since, and details are read of what is shown.

A status of 200,000 streams takes half a minute of CPU. So where there are that many, a list is made of a look
(`lookout`), which knows little of the streams that are well, and only those on the page that is asked for are read as
a whole.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

import msgspec

from syncd.config import Config, SourceConfig, is_off
from syncd.contract import Source
from syncd.frozen import dataclass
from syncd.status.facts import Facts
from syncd.status.lookout import Looked
from syncd.status.model import Orphan, Pair, State, Status, StreamStatus
from syncd.status.standing import Standing
from syncd.status.words import state_off
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
    """The streams of a configuration that are off: no look tells of them, because nothing of them ever changes.

    `counts` says how many streams of one name are in which of these states.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.counts: Counter[tuple[str, State]] = Counter()
        self._of: dict[int, Mapping[str, State]] = {}  # accounts that configure their streams alike share them
        alike = Counter(id(source.streams) for source in config.sources.values())
        for source in config.sources.values():
            if id(source.streams) not in self._of:
                off = {name: state_off(settings) for name, settings in source.streams.items() if is_off(settings)}
                self._of[id(source.streams)] = off
                self.counts.update({item: alike[id(source.streams)] for item in off.items()})

    def states(self, source: SourceConfig) -> Mapping[str, State]:
        """Return the streams of a source that are off, each with its state."""
        return self._of[id(source.streams)]

    def stream(self, registry: Mapping[str, Source], pair: Pair, now: datetime) -> StreamStatus:
        """Return how one of these streams stands."""
        source = self.config.sources[pair[0]]
        table = registry[source.type].stream(pair[1]).table
        return Facts().stream(
            pair, source.streams[pair[1]], [f"{table.schema}.{table.name}"], None, None, None, "UTC", now,
            by_listing=True,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Slim:
    """What is known of the streams that a status leaves out, because they are well or off."""

    registry: Mapping[str, Source]
    standing: Standing
    idle: Idle

    def stream(self, pair: Pair, now: datetime) -> StreamStatus | None:
        """Return how one of them stands; None if it is neither."""
        if pair not in self.standing:
            return self.idle.stream(self.registry, pair, now)
        return self.standing.stream(pair, now) if self.standing.is_well(pair) else None


class Overview:
    """How every stream stands, as far as a list of them tells it.

    Of very many streams, `status` has those that are not well, and `slim` says how the others stand. Else `status` has
    all of them. Its summary counts all.
    """

    def __init__(self, config: Config, status: Status, slim: Slim | None = None) -> None:
        self.config = config
        self.status = status
        self.slim = slim
        self._told = {(one.source, one.stream): one for one in status.streams}
        self._sources = {source for source, _ in self._told}
        self._well: dict[int, Mapping[str, State]] = {}

    @property
    def count(self) -> int:
        """How many streams there are."""
        return sum(self.status.summary.values())

    def states(self, source: SourceConfig) -> Mapping[str, State]:
        """Return the state of each stream of a source, in the order of the configuration."""
        key = id(source.streams)  # accounts that configure their streams alike share them
        if key not in self._well:
            off = self.slim.idle.states(source) if self.slim else {}
            self._well[key] = {name: off.get(name, "fresh") for name in source.streams}
        if source.name not in self._sources:
            return self._well[key]
        told = {name: one.state for name in source.streams if (one := self._told.get((source.name, name)))}
        return {**self._well[key], **told}

    def told(self, pair: Pair) -> StreamStatus | None:
        """Return how one stream stands if the status has it."""
        return self._told.get(pair)

    def whole(self) -> Status:
        """Return the status with every stream, those that are well and off too."""
        pairs = [(source.name, name) for source in self.config.sources.values() for name in source.streams]
        return msgspec.structs.replace(self.status, streams=[one for pair in pairs if (one := self.stream(pair))])

    def stream(self, pair: Pair) -> StreamStatus | None:
        """Return how one stream stands, None if it is not configured."""
        source = self.config.sources.get(pair[0])
        if (told := self._told.get(pair)) is not None or self.slim is None or source is None:
            return told
        if pair[1] not in source.streams:
            return None
        return self.slim.stream(pair, self.status.at)

    @property
    def names(self) -> set[str]:
        """The names of the streams of all sources."""
        alike = {id(source.streams): source.streams for source in self.config.sources.values()}
        return {name for streams in alike.values() for name in streams}

    @property
    def first_next_at(self) -> datetime | None:
        """When the next run of any stream begins."""
        told = min((one.next_run_at for one in self.status.streams if one.next_run_at), default=None)
        well = self.slim.standing.next_run_at(self.status.at) if self.slim else None
        return min((at for at in (told, well) if at), default=None)

    def judged(self, max_age_s: float | None) -> Status:
        """Return the status with every stream that may be in trouble, where older than `max_age_s` is trouble."""
        if self.slim is None or max_age_s is None:
            return self.status
        old = self.slim.standing.older_than(self.status.at.timestamp() - max_age_s)
        streams = [self.slim.standing.stream(pair, self.status.at) for pair in old if pair not in self._told]
        return msgspec.structs.replace(self.status, streams=[*self.status.streams, *streams])


def overview(
    config: Config, looked: Looked, registry: Mapping[str, Source], idle: Idle, found: list[Orphan]
) -> Overview:
    """Return a look as an overview: what is late says so, and what is off is counted."""
    status = looked.status
    streams = [
        msgspec.structs.replace(stream, state="late", why="no run has succeeded for two intervals")
        if stream.state == "fresh" and (stream.source, stream.stream) in looked.late
        else stream
        for stream in status.streams
    ]
    summary = Counter(status.summary)
    for (_, state), count in idle.counts.items():
        summary[state] += count
    told = msgspec.structs.replace(status, summary=dict(summary), streams=streams, orphans=found)
    return Overview(config, told, Slim(registry=registry, standing=looked.standing, idle=idle))
