"""How many requests a day a source will need, what is left for backfills, what to change if it is too much. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from syncd.config import SourceConfig, StreamConfig, is_off
from syncd.config.duration import format_duration
from syncd.contract import Source, Stream

DAY_S: Final = 86_400.0
ROOM: Final = 0.8
"""Share of the day that live runs may need before changes are proposed: retries and busy days want room; our choice."""
DEAR: Final = 0.25
"""Share of the day that no stream should take by itself."""
STEPS_S: Final = tuple(60.0 * minutes for minutes in (5, 10, 15, 30, 60, 120, 240, 360, 720, 1_440))
"""Intervals that are proposed."""
RUNS_TELL: Final = 5
"""So many good runs tell more than a declaration."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What good runs of a stream and a kind have shown: how many there were, and their requests on the average."""

    runs: int
    requests: float


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What one stream needs: requests of a run and of a sweep, how often each is, and what that is a day.

    `known_by` is "runs" if earlier runs tell what a run costs, else "declaration".
    """

    stream: str
    every_s: float
    run: float
    sweep_s: float | None
    sweep: float
    a_day: float
    known_by: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A longer interval, or "off", that would save so many requests a day."""

    stream: str
    every: str
    instead_of: str
    saves: float


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a source needs in a day; `limit` None: no limit is known. `changes` are proposed if that is too much."""

    source: str
    a_day: float
    limit: int | None
    left_for_backfills: float | None
    needs: list[Need]
    changes: list[Change]

    @property
    def fits(self) -> bool:
        """Whether the day is long enough for all live runs."""
        return self.limit is None or self.a_day <= self.limit

    @property
    def words(self) -> str:
        """The forecast in a sentence."""
        needs = f"about {self.a_day:,.0f} requests a day are needed"
        if self.limit is None or self.left_for_backfills is None:
            return f"{needs}; no limit of the day is known"
        return (
            f"{needs}, {self.a_day / max(1, self.limit):.0%} of the {self.limit:,} that are allowed;"
            f" {self.left_for_backfills:,.0f} are left for backfills"
        )


def need_of(
    stream: Stream,
    settings: StreamConfig,
    *,
    every_s: float,
    rows: int,
    keys: int,
    live: Shown | None,
    swept: Shown | None,
) -> Need:
    """Return what a stream needs; `rows` are those of the mirror, `keys` those that the configuration gives."""
    is_shown = live is not None and live.runs >= RUNS_TELL
    run = live.requests if live and is_shown else _declared(stream, rows, keys)
    sweep = 0.0
    if settings.sweep_s:
        sweep = swept.requests if swept and swept.runs else _whole(stream, rows)
    runs_a_day = run * DAY_S / every_s
    if stream.feed:
        runs_a_day = min(runs_a_day, float(stream.feed.per_day))
    return Need(
        stream=stream.name,
        every_s=every_s,
        run=run,
        sweep_s=settings.sweep_s,
        sweep=sweep,
        a_day=runs_a_day + stream.cost.beside + (sweep * DAY_S / settings.sweep_s if settings.sweep_s else 0.0),
        known_by="runs" if is_shown else "declaration",
    )


def _declared(stream: Stream, rows: int, keys: int) -> float:
    cost = stream.cost
    if cost.live is not None:
        return cost.live
    if stream.lookup:
        most = cost.keys_a_run or keys
        asked = min(keys, most) if keys or not stream.feed else most
        return float(math.ceil(asked / cost.at_once))
    return _whole(stream, rows) if stream.sweep_s is None and not stream.backfills else 1.0


def _whole(stream: Stream, rows: int) -> float:
    """Return what a whole listing costs, where one is declared or by its rows."""
    cost = stream.cost
    return cost.sweep if cost.sweep is not None else float(max(1, math.ceil(rows / cost.page_rows)))


def forecast_of(
    kind: Source,
    settings: SourceConfig,
    *,
    limit: int | None,
    rows: Mapping[str, int],
    shown: Mapping[tuple[str, str], Shown],
    intervals: Mapping[str, float],
    keys: Mapping[str, int] | None = None,
) -> Forecast:
    """Forecast a source from its declarations, and from what the mirror and its runs have shown.

    `limit` is that of the day. `intervals` are the seconds between two runs of each stream. `keys` says how many keys a
    query gives; without it only the keys that stand in the file count.
    """
    needs = []
    for name, stream_settings in settings.streams.items():
        if is_off(stream_settings) is not None:
            continue
        written = sum(map(len, stream_settings.lookup.values()))
        needs.append(
            need_of(
                kind.stream(name), stream_settings, every_s=max(1.0, intervals[name]), rows=rows.get(name, 0),
                keys=(keys or {}).get(name, written), live=shown.get((name, "live")), swept=shown.get((name, "sweep")),
            )
        )  # fmt: skip
    a_day = sum(need.a_day for need in needs)
    left = None if limit is None else max(0.0, limit - max(a_day, settings.budget.live_reserve * limit))
    return Forecast(
        source=settings.name,
        a_day=round(a_day, 1),
        limit=limit,
        left_for_backfills=None if left is None else round(left, 1),
        needs=sorted(needs, key=lambda need: -need.a_day),
        changes=changes_for(needs, limit),
    )


def changes_for(needs: Sequence[Need], limit: int | None) -> list[Change]:
    """Return what would make the needs fit into the day with room to spare; nothing if they do already.

    A stream that asks for as many keys as it may, whatever its interval, is switched off if it takes DEAR of the day.
    Then the dearest stream is asked less often first, step by step.
    """
    if limit is None:
        return []
    total = sum(need.a_day for need in needs)
    off = set[str]()
    for need in sorted(needs, key=lambda each: -each.a_day):
        if total > ROOM * limit and _is_capped(need) and need.a_day > DEAR * limit:
            off.add(need.stream)
            total -= need.a_day
    every = {need.stream: need.every_s for need in needs if not _is_capped(need)}
    cost = {need.stream: need.run * DAY_S for need in needs if not _is_capped(need)}  # over the interval: a day
    while total > ROOM * limit:
        able = [name for name in every if every[name] < STEPS_S[-1]]
        if not able:
            break
        dearest = max(able, key=lambda name: cost[name] / every[name])
        longer = next(step for step in STEPS_S if step > every[dearest])
        total -= cost[dearest] / every[dearest] - cost[dearest] / longer
        every[dearest] = longer
    return [_change(need, None if need.stream in off else every.get(need.stream, need.every_s)) for need in needs
            if need.stream in off or every.get(need.stream, need.every_s) != need.every_s]  # fmt: skip


def _is_capped(need: Need) -> bool:
    """Say whether a stream needs less than its runs would, because it keeps to a number of keys a day."""
    return need.a_day < need.run * DAY_S / need.every_s - 0.5


def _change(need: Need, every_s: float | None) -> Change:
    before = format_duration(need.every_s)
    if every_s is None:
        return Change(stream=need.stream, every="off", instead_of=before, saves=round(need.a_day, 1))
    saves = need.run * DAY_S * (1 / need.every_s - 1 / every_s)
    return Change(stream=need.stream, every=format_duration(every_s), instead_of=before, saves=round(saves, 1))
