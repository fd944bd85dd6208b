"""How every stream stands, in numbers, for the metrics: of what a look knows, and a few counts beside it.

A look costs what has changed since the one before, where a whole status is put together anew each time.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from syncd.config import SourceConfig
from syncd.contract import Source
from syncd.frozen import dataclass
from syncd.status.facts import budget_status, purse_of
from syncd.status.model import BudgetStatus, Pair, Rows, State, Status
from syncd.status.overview import Overview
from syncd.status.owners import Counted
from syncd.status.whole import table_of
from syncd.status.words import is_sweep_failing, is_sweep_refused
from syncd.storage.postgres.database import Database

SOURCES_AT_ONCE: Final = 100
"""Put into numbers before others have their turn: a few milliseconds."""

_REJECTS: Final = "SELECT source, stream, count(*) AS number FROM syncd.rejects GROUP BY 1, 2"
_DRIFT: Final = "SELECT source, stream, count(*) AS number FROM syncd.drift GROUP BY 1, 2"
_BUDGETS: Final = "SELECT source, state, updated_at FROM syncd.budgets"


Instants = tuple[float | None, float | None, float | None]


class Measure(NamedTuple):
    """How one stream stands. Instants are epoch seconds, None where there is none; `rows` None: not counted."""

    source: str
    stream: str
    state: State
    ok_at: float | None
    next_at: float | None
    swept_at: float | None
    is_sweep_refused: bool
    is_sweep_failing: bool
    rejects: int
    drift: int
    rows: Rows | None

    @property
    def is_on(self) -> bool:
        """Whether it runs at all."""
        return self.state not in ("off", "disabled")


@dataclass(frozen=True, kw_only=True)
class Measures:
    """How every stream stands, in the order of the configuration, and every budget, as of now.

    `status` has the streams that are not well; its summary counts all.
    """

    status: Status
    streams: list[Measure]
    budgets: list[tuple[str, BudgetStatus]]


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What a look does not know: records that became no row, fields that drifted, budgets as they are stored, rows."""

    rejects: Mapping[Pair, int]
    drift: Mapping[Pair, int]
    budgets: Mapping[str, asyncpg.Record]
    counted: Counted

    @classmethod
    async def read(cls, database: Database, counted: Counted) -> "Beside":
        """Read it. Raises DatabaseError."""
        async with database.connection() as conn:
            rejects, drift = await conn.fetch(_REJECTS), await conn.fetch(_DRIFT)
            budgets = await conn.fetch(_BUDGETS)
        return cls(
            rejects={(row["source"], row["stream"]): row["number"] for row in rejects},
            drift={(row["source"], row["stream"]): row["number"] for row in drift},
            budgets={row["source"]: row for row in budgets},
            counted=counted,
        )


async def measure(
    seen: Overview, beside: Beside, registry: Mapping[str, Source], next_runs: Mapping[Pair, datetime]
) -> Measures:
    """Put every stream in numbers; `next_runs` are the plans of a scheduler."""
    streams, budgets = list[Measure](), list[tuple[str, BudgetStatus]]()
    tables: dict[Pair, str] = {}
    now = seen.status.at
    for place, source in enumerate(seen.config.sources.values(), 1):
        if place % SOURCES_AT_ONCE == 0:
            await asyncio.sleep(0)
        name = source.name
        if (row := beside.budgets.get(name)) and (purse := purse_of(row, source.budget, registry[source.type].zone)):
            budgets.append((name, budget_status(purse, row["updated_at"], now)))
        for stream in source.streams:
            pair, kind = (name, stream), (source.type, stream)
            if (table := tables.get(kind)) is None:
                table = tables[kind] = table_of(registry[source.type].stream(stream))
            at = next_runs.get(pair)
            state, (ok_at, next_at, swept_at), sweeps = _standing(seen, source, stream)
            streams.append(
                Measure(
                    source=name,
                    stream=stream,
                    state=state,
                    ok_at=ok_at,
                    next_at=at.timestamp() if at else next_at,
                    swept_at=swept_at,
                    is_sweep_refused=sweeps == "refused",
                    is_sweep_failing=sweeps == "failing",
                    rejects=beside.rejects.get(pair, 0),
                    drift=beside.drift.get(pair, 0),
                    rows=beside.counted.get((table, name), beside.counted.get((table, ""))),
                )
            )
    return Measures(status=seen.status, streams=streams, budgets=budgets)


def _standing(seen: Overview, source: SourceConfig, stream: str) -> tuple[State, Instants, str]:
    """Return the state of a stream, when its good run, its next run and its sweep began, and what ails its sweeps."""
    pair, now = (source.name, stream), seen.status.at.timestamp()
    if (told := seen.told(pair)) is not None:
        sweeps = "refused" if is_sweep_refused(told) else "failing" if is_sweep_failing(told) else ""
        next_at = max(now, told.next_run_at.timestamp()) if told.next_run_at else None  # it may have been told long ago
        return told.state, (_seconds(told.last_ok_at), next_at, _seconds(told.swept_at)), sweeps
    assert seen.slim is not None  # noqa: S101  (it is made of a look)
    if (off := seen.slim.idle.states(source).get(stream)) is not None:
        return off, (None, None, None), ""
    ok_at, due_at, swept_at = seen.slim.standing.instants(pair)
    return "fresh", (ok_at, max(now, due_at), swept_at), ""


def _seconds(at: datetime | None) -> float | None:
    return at.timestamp() if at else None
