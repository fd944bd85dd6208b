"""The metrics of very many sources as those of one: 200,000 streams, each by its name, are half a gigabyte of text."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from syncd.service.web.family import Family
from syncd.status import Overview, Pair, SourceStatus, State, Status, StreamStatus, is_sweep_failing, is_sweep_refused
from syncd.storage.postgres.database import Database

SUM: Final = "*"
"""Stands for the name of a source where there are so many that their series are summed."""
TOLD_MOST: Final = 500
"""Streams in trouble that are told by name where the others are summed: some 40 kB; our choice."""


class Odd(NamedTuple):
    """Rejects and drifted fields of these sources, by stream."""

    rejects: Mapping[str, int]
    drift: Mapping[str, int]


async def read_odd(database: Database, of: Iterable[str] | None) -> Odd:
    """Count rejects and drifted fields of these sources (None: of all). Raises DatabaseError."""
    where = "WHERE $1::text[] IS NULL OR source = ANY($1) GROUP BY stream"
    names = None if of is None else list(of)
    async with database.connection() as conn:
        rejects = await conn.fetch(f"SELECT stream, count(*) AS n FROM syncd.rejects {where}", names)  # noqa: S608
        drift = await conn.fetch(f"SELECT stream, count(*) AS n FROM syncd.drift {where}", names)  # noqa: S608
    return Odd({row["stream"]: row["n"] for row in rejects}, {row["stream"]: row["n"] for row in drift})


class Summed(NamedTuple):
    """Sources that are told as one, SUM: 200,000 streams would be half a gigabyte of text."""

    overview: Overview
    odd: Odd

    @property
    def status(self) -> Status:
        """What is told one by one, and of the service itself."""
        return self.overview.status


class Well(NamedTuple):
    """What is summed of the streams that a status leaves out: by name the oldest instants, and how many there are."""

    ok_at: Mapping[str, float]
    swept_at: Mapping[str, float]
    states: Mapping[tuple[str, State], int]

    @classmethod
    def of(cls, seen: Overview, told: Collection[Pair]) -> "Well":
        """Sum them; `told` are the streams that the status has."""
        ok: dict[str, float] = {}
        swept: dict[str, float] = {}
        states: Counter[tuple[str, State]] = Counter()
        if seen.slim is not None:
            states.update(seen.slim.idle.counts)
            for pair, ok_at, swept_at in seen.slim.standing.each_well():
                if pair in told:
                    continue
                name = pair[1]
                states[name, "fresh"] += 1
                ok[name] = min(ok.get(name, ok_at), ok_at)
                if swept_at == swept_at:
                    swept[name] = min(swept.get(name, swept_at), swept_at)
        return cls(ok, swept, states)


def summed_gauges(summed: Summed) -> Iterator[Family]:
    """Yield how streams of one name stand, in all sources together: counts, and the worst of each.

    A stream in trouble is told by its own name, and not counted with the others.
    """
    seen, odd = summed
    status = seen.status
    troubled = [one for one in status.streams if one.state in ("failing", "paused", "late")][:TOLD_MOST]
    told = {id(one) for one in troubled}
    on = [one for one in status.streams if one.state not in ("off", "disabled")]
    states = Counter((one.stream, one.state) for one in status.streams if id(one) not in told)
    well = Well.of(seen, {(one.source, one.stream) for one in on})
    states.update(well.states)
    labels = ("source", "stream")

    def gauge(name: str, words: str, values: Mapping[str, float]) -> Family:
        return Family("gauge", f"syncd_{name}", words, labels, ((SUM, *item) for item in sorted(values.items())))

    def oldest(of: Callable[[StreamStatus], datetime | None], well: Mapping[str, float]) -> dict[str, float]:
        found = dict(well)
        for one in on:
            if at := of(one):
                found[one.stream] = min(found.get(one.stream, at.timestamp()), at.timestamp())
        return found

    def count(is_so: Callable[[StreamStatus], bool]) -> dict[str, float]:
        found = dict.fromkeys([*well.ok_at, *(one.stream for one in on)], 0.0)
        for one in on:
            found[one.stream] += is_so(one)
        return found

    now, oldest_ok = status.at, oldest(lambda one: one.last_ok_at, well.ok_at)
    yield gauge(
        "stream_freshness_seconds", "Age of the oldest of the last good live runs, by its start",
        {name: max(0.0, now.timestamp() - at) for name, at in oldest_ok.items()},
    )  # fmt: skip
    yield gauge(
        "stream_last_success_timestamp_seconds", "When the oldest of the last good live runs started", oldest_ok
    )
    yield Family(
        "gauge", "syncd_stream_state", "Streams in the state; those in trouble are told by name", (*labels, "state"),
        [
            *((one.source, one.stream, one.state, 1.0) for one in troubled),
            *((SUM, *pair, float(number)) for pair, number in sorted(states.items())),
        ],
    )  # fmt: skip
    yield gauge("rejects", "Records that could not become a row", odd.rejects)
    yield gauge("drift_fields", "Fields that are not as the vendor documents them", odd.drift)
    yield gauge("sweep_refused", "Streams whose last sweep was not believed", count(is_sweep_refused))
    yield gauge("sweep_failing", "Streams whose last sweep failed for another reason", count(is_sweep_failing))
    oldest_sweep = oldest(lambda one: one.swept_at, well.swept_at)
    yield gauge(
        "sweep_age_seconds", "Age of the oldest of the last good sweeps, by its start",
        {name: max(0.0, now.timestamp() - at) for name, at in oldest_sweep.items()},
    )  # fmt: skip


def summed_budgets(sources: list[SourceStatus]) -> Iterator[Family]:
    """Yield how the budgets of all sources stand together."""
    budgets = [one.budget for one in sources if one.budget]
    lefts = [(one.minute_remaining, one.day_remaining) for one in budgets]
    least = [(window, min((left for left in all_ if left is not None), default=None))
             for window, all_ in zip(("minute", "day"), zip(*lefts, strict=True), strict=False)]  # fmt: skip
    yield Family(
        "gauge", "syncd_budget_remaining", "Requests left in the window, of the source that has the least",
        ("source", "window"), ((SUM, window, left) for window, left in least if left is not None),
    )  # fmt: skip
    used = {
        ("minute", "live"): sum(one.minute_used_live for one in budgets),
        ("minute", "backfill"): sum(one.minute_used_backfill for one in budgets),
        ("day", "live"): sum(one.day_used_live for one in budgets),
        ("day", "backfill"): sum(one.day_used_backfill for one in budgets),
    }
    yield Family(
        "gauge", "syncd_budget_used", "Our own requests in the window, by lane", ("source", "window", "lane"),
        ((SUM, *names, number) for names, number in used.items()),
    )  # fmt: skip
    closed = sum(one.closed_until is not None for one in budgets)
    yield Family(
        "gauge", "syncd_budget_closed", "Sources that a 429 keeps from being asked", ("source",), [(SUM, closed)]
    )  # fmt: skip
