"""`every = "auto"` against fixed intervals, on simulated days: the same requests, and how old changes become."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.config import Auto
from syncd.engine.pace import DAY_S, Look, Paces, Pulse, level_of

EVERY_S = 300.0
AUTO = Auto(every_s=EVERY_S, min_s=60.0, max_s=1_800.0)
DAYS, WARM_DAYS = 5, 2


def poisson(dice: random.Random, per_hour: float, begin_s: float, end_s: float) -> Iterator[float]:
    at = begin_s + dice.expovariate(per_hour / 3_600)
    while at < end_s:
        yield at
        at += dice.expovariate(per_hour / 3_600)


def patterns() -> dict[str, list[float]]:
    """Return when records change: at work from 8 to 18, in four bursts a day, all day long, never."""
    dice = random.Random(1)  # noqa: S311  (guards nothing)
    begins = [day * DAY_S + dice.random() * DAY_S for day in range(DAYS) for _ in range(4)]
    office = [(day * DAY_S + 8 * 3_600, day * DAY_S + 18 * 3_600) for day in range(DAYS)]
    return {
        "office hours": [at for begin, end in office for at in poisson(dice, 20, begin, end)],
        "bursts": sorted(at for begin in begins for at in poisson(dice, 53, begin, begin + 2_700)),
        "constant": list(poisson(dice, 6, 0, DAYS * DAY_S)),
        "dead": [],
    }


@dataclass(frozen=True)
class Lived:
    """What came of the days after the warm ones: requests a day, mean age of a change when it was seen, longest gap."""

    per_day: float
    age_s: float
    gap_s: float


def live(changes: Mapping[str, Sequence[float]], *, auto: bool) -> dict[str, Lived]:
    """Let the streams of one source be looked at for some days."""
    paces = Paces()
    paces.plan((name, AUTO) for name in changes)
    due = {name: 1.0 + place for place, name in enumerate(changes)}
    seen, looks = dict.fromkeys(changes, 0), {name: list[float]() for name in changes}
    ages: dict[str, list[float]] = {name: [] for name in changes}
    while (name := min(due, key=lambda each: due[each])) and (now := due[name]) < DAYS * DAY_S:
        first = seen[name]
        while seen[name] < len(changes[name]) and changes[name][seen[name]] <= now:
            seen[name] += 1
        if now > WARM_DAYS * DAY_S:
            looks[name].append(now)
            ages[name] += [now - at for at in changes[name][first : seen[name]]]
        paces.look(name, Look(at_s=now, found=seen[name] - first, requests=1))
        due[name] = now + (paces.interval_s(name, now) if auto else EVERY_S)
    days = DAYS - WARM_DAYS
    return {
        name: Lived(
            per_day=len(looks[name]) / days,
            age_s=sum(ages[name]) / max(1, len(ages[name])),
            gap_s=max(b - a for a, b in zip(looks[name], looks[name][1:], strict=False)),
        )
        for name in changes
    }


@pytest.fixture(scope="module")
def fixed() -> dict[str, Lived]:
    return live(patterns(), auto=False)


def test_streams_of_one_source_are_a_third_fresher_with_the_same_requests(fixed: dict[str, Lived]) -> None:
    changes = patterns()
    lived = live(changes, auto=True)
    assert sum(one.per_day for one in lived.values()) < 1.03 * sum(one.per_day for one in fixed.values())
    counts = {name: len(times) for name, times in changes.items()}
    mean = {
        how: sum(one.age_s * counts[name] for name, one in each.items()) / sum(counts.values())
        for how, each in {"fixed": fixed, "auto": lived}.items()
    }
    assert mean["auto"] < mean["fixed"] * 2 / 3
    assert lived["office hours"].age_s < fixed["office hours"].age_s * 2 / 3
    assert lived["bursts"].age_s < fixed["bursts"].age_s * 2 / 3
    assert lived["constant"].age_s < fixed["constant"].age_s
    assert lived["dead"].per_day < fixed["dead"].per_day / 5


@pytest.mark.parametrize(
    ("pattern", "age"), [("office hours", 2 / 3), ("bursts", 2 / 3), ("constant", 1.05), ("dead", 0.0)]
)
def test_a_stream_alone_is_a_third_fresher_where_its_changes_leave_room(
    fixed: dict[str, Lived], pattern: str, age: float
) -> None:
    """Changes at a constant rate leave none: even intervals are the best that there is, and must not become worse."""
    lived = live({pattern: patterns()[pattern]}, auto=True)[pattern]
    assert lived.age_s <= fixed[pattern].age_s * age
    assert lived.per_day < 1.06 * fixed[pattern].per_day
    assert lived.gap_s <= AUTO.max_s


@given(
    looks=st.lists(st.tuples(st.floats(1, 90_000), st.integers(0, 10**6), st.integers(0, 500)), min_size=1, max_size=60)
)
def test_no_past_takes_a_stream_out_of_its_bounds(looks: list[tuple[float, int, int]]) -> None:
    paces, now = Paces(), 0.0
    paces.plan([("one", AUTO), ("other", AUTO)])
    for gap_s, found, requests in looks:
        now += gap_s
        paces.look("one", Look(at_s=now, found=found, requests=requests))
        assert AUTO.min_s <= paces.interval_s("one", now) <= AUTO.max_s
    assert paces.interval_s("other", now) == EVERY_S  # nothing is known of it yet


def test_a_dear_stream_is_asked_less_often_than_a_cheap_one_that_changes_as_much() -> None:
    paces = Paces()
    paces.plan([("dear", AUTO), ("cheap", AUTO)])
    for place in range(200):
        for name, requests in (("dear", 25), ("cheap", 1)):
            paces.look(name, Look(at_s=place * EVERY_S, found=1, requests=requests))
    now = 200 * EVERY_S
    assert paces.interval_s("cheap", now) < paces.interval_s("dear", now) / 2


def test_a_pool_of_nothing_known_costs_its_defaults() -> None:
    assert level_of([(AUTO, Pulse(EVERY_S))]) > 0
