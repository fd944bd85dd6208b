"""Collects the whole status of every stream of a configuration, once."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import msgspec

from syncd import __version__
from syncd.config import Config, SourceConfig
from syncd.contract import Source, Stream
from syncd.frozen import dataclass
from syncd.status.cache import Cache
from syncd.status.counts import count_rows, tables_there
from syncd.status.facts import Facts, StoredBudget, budget_status, purse_of
from syncd.status.forecast import Forecast
from syncd.status.model import Notice, Pair, Rows, SourceStatus, State, Status, StreamStatus
from syncd.status.needs import STREAMS_MOST, read_forecasts
from syncd.status.owners import Counted, Owner, orphans_of, owners_of, stored_names, tables_of
from syncd.status.paces import in_force, read_paces
from syncd.status.standing import zone_of
from syncd.storage.postgres.database import Database

SOURCES_AT_ONCE: Final = 25
"""Put together before others have their turn: a few milliseconds."""


async def collect(
    database: Database,
    config: Config,
    registry: Mapping[str, Source],
    *,
    now: datetime,
    counts: Cache[Counted] | None = None,
    next_runs: Mapping[Pair, datetime] | None = None,
    next_sweeps: Mapping[Pair, datetime] | None = None,
    counts_rows: bool = True,
    notices: Sequence[Notice] = (),
    paces: Cache[Mapping[Pair, float]] | None = None,
    forecasts: Cache[Mapping[str, Forecast]] | None = None,
    is_part: bool = False,
) -> Status:
    """Collect the status of every configured stream; secrets may be unresolved.

    `next_runs` and `next_sweeps` are the plans of a running scheduler; without them the next run is computed from the
    last one.
    Counting rows reads the whole mirror, unless `counts` remembers them; `paces` remembers intervals of auto streams,
    `forecasts` what was forecast. `is_part` says that the configuration is a part of the whole one: then nothing is
    read of other sources.
    Raises DatabaseError if the database does not answer or is not migrated.
    """
    scope = _Scope(database=database, config=config, registry=registry, now=now, is_part=is_part)
    facts = await Facts.read(database, [(s.name, name) for s in config.sources.values() for name in s.streams],
                             of=scope.names)  # fmt: skip
    intervals = await (paces.get(scope.intervals) if paces and not is_part else scope.intervals())
    counted = await count_mirror(database, config, registry, counts, facts.names, of=scope.names) if counts_rows else {}
    owners = {one.source: one for one in owners_of(config, registry, facts.names, facts.identities, counted)}
    known = _Known(
        scope=scope, facts=facts, intervals=intervals, counted=counted, owners=owners, next_runs=next_runs or {},
        next_sweeps=next_sweeps or {},
    )  # fmt: skip
    streams, sources, purses = list[StreamStatus](), list[SourceStatus](), dict[str, StoredBudget]()
    async for source in _each(config):
        if purse := known.purse(source):
            purses[source.name] = purse
        sources.append(known.source(source, purse))
        streams += [known.stream(source, name) for name in source.streams]
    rows = {(one.source, one.stream): one.rows for one in streams}
    if counts_rows and not is_part and len(streams) <= STREAMS_MOST:
        sources = await _forecast(scope, sources, rows, forecasts)
    summary: dict[str, int] = dict.fromkeys(State.__args__, 0)  # type: ignore[attr-defined]  # a Literal's own
    for stream in streams:
        summary[stream.state] += 1
    return Status(
        at=now, version=__version__, database=database.shown, summary=summary, sources=sources, streams=streams,
        backfills=facts.backfills(rows, purses, now), orphans=orphans_of(owners.values()),
        notices=[*notices, *left_out(config, now)],
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Scope:
    """Of what a status is collected."""

    database: Database
    config: Config
    registry: Mapping[str, Source]
    now: datetime
    is_part: bool

    @property
    def names(self) -> list[str] | None:
        """The sources that anything is read of; None: all, whoever has them."""
        return list(self.config.sources) if self.is_part else None

    def table(self, source: SourceConfig, name: str) -> str:
        """Return the table of a stream."""
        return table_of(self.registry[source.type].stream(name))

    async def intervals(self) -> Mapping[Pair, float]:
        """Return how often each auto stream is asked now."""
        return in_force(await read_paces(self.database, self.config, now=self.now), self.config, now=self.now)


async def count_mirror(
    database: Database,
    config: Config,
    registry: Mapping[str, Source],
    counts: Cache[Counted] | None,
    names: Collection[str] | None = None,
    *,
    of: Sequence[str] | None = None,
) -> Counted:
    """Count the rows of every table, unless `counts` remembers them; also in tables of sources of nobody.

    `names` are the sources of which anything is stored; None: they are read.
    """
    one_of_each = {source.type: source for source in config.sources.values()}.values()
    mine = [table_of(registry[source.type].stream(name)) for source in one_of_each for name in source.streams]

    async def count() -> Counted:
        stored = await stored_names(database) if names is None else names
        mirrored = tables_of(registry) if set(stored) - config.sources.keys() else []
        others = await tables_there(database, mirrored) if mirrored else []
        return await count_rows(database, list(dict.fromkeys([*mine, *others])), of=of)

    return await (counts.get(count) if counts else count())


async def _each(config: Config) -> AsyncIterator[SourceConfig]:
    """Yield every source; others have their turn meanwhile."""
    for place, source in enumerate(config.sources.values(), 1):
        yield source
        if place % SOURCES_AT_ONCE == 0:
            await asyncio.sleep(0)


@dataclass(frozen=True, kw_only=True)
class _Known:
    """All that was read of some sources, and how a source and a stream stand by it."""

    scope: _Scope
    facts: Facts
    intervals: Mapping[Pair, float]
    counted: Counted
    owners: Mapping[str, Owner]
    next_runs: Mapping[Pair, datetime]
    next_sweeps: Mapping[Pair, datetime]

    def source(self, source: SourceConfig, purse: StoredBudget | None) -> SourceStatus:
        """Return how a source stands, with its `purse`."""
        stored = self.facts.budgets.get(source.name)
        budget = budget_status(purse, stored["updated_at"], self.scope.now) if purse and stored else None
        return SourceStatus(
            source=source.name, type=source.type, base_url=source.base_url, budget=budget,
            refused=self.owners[source.name].why or None,
        )  # fmt: skip

    def stream(self, source: SourceConfig, name: str) -> StreamStatus:
        """Return how one of its streams stands."""
        settings, pair, table = source.streams[name], (source.name, name), self.scope.table(source, name)
        declared = self.scope.registry[source.type].stream(name)
        tables = [table, *(f"{child.table.schema}.{child.table.name}" for child in declared.table.children)]
        rows: Rows | None = self.counted.get((table, source.name), self.counted.get((table, "")))
        if settings.auto:
            settings = replace(settings, every_s=self.intervals.get(pair, settings.every_s))
        return self.facts.stream(
            pair, settings, tables, rows, self.next_runs.get(pair), self.next_sweeps.get(pair),
            zone_of(source, self.scope.registry), self.scope.now, by_listing=is_listed(declared),
        )  # fmt: skip

    def purse(self, source: SourceConfig) -> StoredBudget | None:
        """Return the budget of a source, None if nothing was requested yet."""
        zone = self.scope.registry[source.type].zone
        return purse_of(self.facts.budgets.get(source.name), source.budget, zone)


async def _forecast(
    scope: _Scope,
    sources: Sequence[SourceStatus],
    rows: Mapping[Pair, Rows | None],
    forecasts: Cache[Mapping[str, Forecast]] | None,
) -> list[SourceStatus]:
    """Add to each source how many requests a day it will need."""
    alive = {pair: held.alive for pair, held in rows.items() if held}

    async def read() -> Mapping[str, Forecast]:
        found = await read_forecasts(scope.database, scope.config, scope.registry, now=scope.now, rows=alive)
        return {one.source: one for one in found}

    ahead = await (forecasts.get(read) if forecasts else read())
    return [msgspec.structs.replace(one, forecast=ahead.get(one.source)) for one in sources]


def left_out(config: Config, now: datetime) -> list[Notice]:
    """Return a notice for each source whose type cannot be used."""
    return [
        Notice(at=now, what="plugin_refused", text=f"source {name} is left out: {why}", hint="See: syncd check")
        for name, why in config.left_out.items()
    ]


def is_listed(stream: Stream) -> bool:
    """Say whether a run with --full asks for all that a stream holds; else only a backfill does."""
    return stream.sweep_s is not None or not stream.backfills or bool(stream.lookup)


def table_of(stream: Stream) -> str:
    """Return the table of a stream with its schema."""
    return f"{stream.table.schema}.{stream.table.name}"
