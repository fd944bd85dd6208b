"""How every stream that is on stands, look after look: only what has changed since the look before is read again.

For the watch, which looks every few seconds however many accounts there are. Runs, losses, pauses and budgets say by
themselves that they are new; a run under way is read at each look, because its process may die without a word; being
late only takes the clock. All is read anew now and then, and whenever the configuration or the database is another one.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import msgspec

from syncd import __version__
from syncd.config import Config, StreamConfig, is_off
from syncd.contract import Source
from syncd.engine import schedule
from syncd.status.facts import Facts, Loss, batches, budget_status, losses_of, purse_of
from syncd.status.model import Notice, Pair, SourceStatus, State, Status, StreamStatus
from syncd.status.verdict import is_nearly_spent
from syncd.storage.postgres.database import Database
from syncd.storage.state import operators

WHOLE_EVERY: Final = timedelta(hours=1)
"""What no sign tells of, such as rows of syncd.runs that somebody deleted, is noticed within this; our choice."""
RUNS_AGAIN: Final = 100
"""Runs that are looked at twice after a whole look: a number may be given before and be seen after a higher one."""
BUDGETS_AGAIN: Final = timedelta(minutes=1)
"""Budgets are looked at twice within this: the clocks of their writers differ."""
STREAMS_AT_ONCE: Final = 100
"""Judged before others have their turn: a few milliseconds."""

_RUNS: Final = (
    "SELECT source, stream, max(run_id) AS run_id FROM syncd.runs WHERE run_id > $1 AND kind IN ('live', 'sweep')"
    " GROUP BY 1, 2"
)
_BUDGETS: Final = "SELECT source, state, updated_at FROM syncd.budgets WHERE updated_at > $1 OR source = ANY($2)"
_ALL_BUDGETS: Final = "SELECT source, state, updated_at FROM syncd.budgets"
_NEWEST: Final = "SELECT coalesce(max(run_id), 0) FROM syncd.runs"


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What one look gave: the status of what is on, without rows, cursors, rejects and drift; and what is late."""

    status: Status
    late: Collection[Pair]


class _Known:
    """What the looks so far have found of one configuration and one database."""

    def __init__(self, config: Config, database: Database, registry: Mapping[str, Source], now: datetime) -> None:
        self.config = config
        self.database = database
        self.registry = registry
        self.since = now
        self.settings: dict[Pair, StreamConfig] = {
            (source.name, name): settings
            for source in config.sources.values()
            for name, settings in source.streams.items()
            if not is_off(settings)
        }
        self.streams: dict[Pair, StreamStatus] = {}
        self.late_at: dict[Pair, datetime] = {}
        self.open: set[Pair] = set()
        self.losses: dict[str, dict[str, Loss]] = {}
        self.pauses: dict[Pair, datetime] = {}
        self.sources = {
            source.name: SourceStatus(source=source.name, type=source.type, base_url=source.base_url, budget=None)
            for source in config.sources.values()
        }
        self.nearly_spent: set[str] = set()
        self.texts: dict[str, str] = {}
        self.runs_seen = (0, 0)
        self.budgets_seen: datetime | None = None

    async def look(self, now: datetime) -> None:
        """Read what has changed."""
        is_first = not self.streams
        async with self.database.connection() as conn:
            if is_first:
                newest = await conn.fetchval(_NEWEST)
                self.runs_seen = (newest - RUNS_AGAIN, newest)
                changed = set(self.settings)
            else:
                rows = await conn.fetch(_RUNS, self.runs_seen[0])
                changed = {(row["source"], row["stream"]) for row in rows} & self.settings.keys() | self.open
                newest = max((row["run_id"] for row in rows), default=self.runs_seen[1])
                self.runs_seen = (self.runs_seen[1], max(newest, self.runs_seen[1]))
            losses, pauses = await losses_of(conn), await operators.pauses(conn)
            await self._read_budgets(conn, now)
        touched = {name for name in losses.keys() | self.losses.keys() if losses.get(name) != self.losses.get(name)}
        self.losses = losses
        changed |= {pair for pair, _ in self.pauses.items() ^ pauses.items()} & self.settings.keys()
        self.pauses = pauses
        changed |= {pair for pair in self.settings if pair[0] in touched} if touched else set()
        await self._read_streams([pair for pair in self.settings if pair in changed] if changed else [], now)

    async def _read_budgets(self, conn: asyncpg.Connection, now: datetime) -> None:
        """Read budgets that were written to since, and those of which little is left: a new day may have begun."""
        if self.budgets_seen is None:
            rows = await conn.fetch(_ALL_BUDGETS)
        else:
            rows = await conn.fetch(_BUDGETS, self.budgets_seen - BUDGETS_AGAIN, list(self.nearly_spent))
        for row in rows:
            settings = self.config.sources.get(row["source"])
            purse = purse_of(row, settings.budget, self.registry[settings.type].zone) if settings else None
            if settings is None or purse is None:
                continue
            status = budget_status(purse, row["updated_at"], now)
            self.sources[settings.name] = SourceStatus(
                source=settings.name, type=settings.type, base_url=settings.base_url, budget=status
            )
            (self.nearly_spent.add if is_nearly_spent(status) else self.nearly_spent.discard)(settings.name)
        self.budgets_seen = max([row["updated_at"] for row in rows] + [self.budgets_seen or now])

    async def _read_streams(self, pairs: Sequence[Pair], now: datetime) -> None:
        for some in batches(pairs):  # what is read of a batch is gone before the next one is read
            await self._judge(some, await Facts.read_standing(self.database, some, self.losses), now)

    async def _judge(self, pairs: Sequence[Pair], facts: Facts, now: datetime) -> None:
        for place, pair in enumerate(pairs, 1):
            if place % STREAMS_AT_ONCE == 0:
                await asyncio.sleep(0)
            source, settings = self.config.sources[pair[0]], self.settings[pair]
            kind = self.registry[source.type]
            stream = kind.stream(pair[1])
            tables = [stream.table, *(child.table for child in stream.table.children)]
            told = facts.stream(
                pair, settings, [f"{table.schema}.{table.name}" for table in tables], None, None, None,
                str(source.options.get("zone", kind.zone)), now, by_listing=True,
            )  # fmt: skip
            self.streams[pair] = self._slim(told)
            if told.last_ok_at:
                self.late_at[pair] = schedule.late_at(settings, told.last_ok_at)
            (self.open.add if facts.open_run(pair, "live", "sweep")[0] else self.open.discard)(pair)

    def _slim(self, told: StreamStatus) -> StreamStatus:
        """Return what is kept of a stream that is well: its runs are told by nobody, and there may be 200,000 of them.

        Texts that thousands of streams have in common are kept once.
        """
        schedule, table = (self.texts.setdefault(text, text) for text in (told.schedule, told.table))
        slim = msgspec.structs.replace(told, schedule=schedule, table=table)
        if told.state != "fresh" or (told.last_sweep and told.last_sweep.outcome != "ok"):
            return slim
        return msgspec.structs.replace(slim, last_run=None, last_live=None, last_sweep=None)


class Lookout:
    """Looks for one process, again and again."""

    def __init__(self, registry: Mapping[str, Source]) -> None:
        self._registry = registry
        self._known: _Known | None = None
        self._gate = asyncio.Lock()

    async def look(self, config: Config, database: Database, now: datetime, notices: Sequence[Notice]) -> Looked:
        """Return how everything stands now. Raises DatabaseError; the next look then reads all anew."""
        async with self._gate:
            return await self._look(config, database, now, notices)

    async def _look(self, config: Config, database: Database, now: datetime, notices: Sequence[Notice]) -> Looked:
        known, self._known = self._known, None
        if (
            known is None
            or (known.config is not config or known.database is not database)
            or not timedelta() <= now - known.since < WHOLE_EVERY
        ):
            known = _Known(config, database, self._registry, now)
        await known.look(now)
        self._known = known
        late = {pair for pair, late_at in known.late_at.items() if now >= late_at}
        return Looked(status=_status(known, late, notices, now), late=late)


def _status(known: _Known, late: Collection[Pair], notices: Iterable[Notice], now: datetime) -> Status:
    states = Counter(
        "late" if stream.state == "fresh" and pair in late else stream.state for pair, stream in known.streams.items()
    )
    return Status(
        at=now,
        version=__version__,
        database=known.database.shown,
        summary={state: states[state] for state in State.__args__},  # type: ignore[attr-defined]  # a Literal's own
        sources=list(known.sources.values()),
        streams=list(known.streams.values()),
        backfills=[],
        notices=list(notices),
    )
