"""What is told, when, and in which words: pure decisions, without a database."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from syncd.clock import utc_now
from syncd.config import Notify, Secret
from syncd.config.address import secret_parts
from syncd.config.hours import Hours, parse_hours, parse_time
from syncd.service.house import House
from syncd.service.notify.plan import Plan, Told, beat_due, digest_due, plan
from syncd.service.notify.words import DayTotals, compose, digest
from syncd.status.causes import Cause
from syncd.storage.state.operators import Acknowledgement

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)  # 13:00 in Amsterdam
NIGHT = datetime(2026, 11, 28, 22, tzinfo=UTC)
WISHES = Notify(urls=(Secret("json://localhost"),), quiet=parse_hours("22:00-07:00"), after_s=60.0)
DOWN = Cause(key="shop Unreachable", title="shop: host unreachable", step="Wait.", streams=("orders", "stores"))


def at(now: datetime, stored: Sequence[Told] = (), *causes: Cause, wishes: Notify = WISHES, host: str = "a") -> Plan:
    return plan(stored, causes, wishes, host, now)


def row(began_at: datetime, **values: object) -> Told:
    told = Told(key=DOWN.key, began_at=began_at, headline=DOWN.headline, details=DOWN.details)
    return replace(told, **values)  # type: ignore[arg-type]


def keys(rows: Sequence[Told]) -> list[str]:
    return [one.key for one in rows]


def test_a_cause_is_told_once_it_has_lasted_and_then_never_again_until_it_is_over() -> None:
    first = at(NOON, [], DOWN)
    assert ([cause.key for cause in first.begun], keys(first.tell), first.is_well) == ([DOWN.key], [], True)
    minute = NOON + timedelta(seconds=60)
    second = at(minute, [row(NOON)], DOWN)
    assert (second.begun, keys(second.tell), second.is_well) == ([], [DOWN.key], False)
    third = at(minute, [row(NOON, told_at=minute)], DOWN)
    assert (third.begun, third.tell, third.tell_over, third.is_well) == ([], [], [], False)
    last = at(minute, [row(NOON, told_at=minute)])
    assert (keys(last.ended), keys(last.tell_over), last.is_well) == ([DOWN.key], [DOWN.key], True)


def test_what_was_over_before_it_was_told_is_told_to_nobody() -> None:
    found = at(NOON + timedelta(seconds=30), [row(NOON)])
    assert (keys(found.ended), found.tell, found.tell_over) == ([DOWN.key], [], [])


def test_quiet_hours_hold_back_what_lasts_and_drop_what_does_not() -> None:
    found = at(NIGHT, [row(NOON)], DOWN)
    assert (list(found.tell), found.is_well) == ([], False), "the heartbeat stops also at night"
    morning = NIGHT + timedelta(hours=8)  # 07:00 in Amsterdam
    assert keys(at(morning, [row(NIGHT)], DOWN).tell) == [DOWN.key]
    ended = row(NOON, told_at=NOON, ended_at=NIGHT)
    assert list(at(NIGHT, [ended]).tell_over) == []
    assert keys(at(morning, [ended]).tell_over) == [DOWN.key]


def test_an_event_is_told_once_at_once_and_has_no_end() -> None:
    ended = Cause(
        key="backfill 7", title="shop.orders: the backfill is complete", step="", is_grave=False, is_event=True
    )
    first = at(NOON, [], ended)
    assert (keys(first.tell), first.is_well) == (["backfill 7"], True)
    told = Told(key="backfill 7", began_at=NOON, headline="", details="", is_event=True, ended_at=NOON)
    assert keys(at(NOON, [told], ended).tell) == ["backfill 7"], "it could not be sent before"
    later = at(NOON, [replace(told, told_at=NOON)], ended)
    assert (later.begun, later.tell, later.tell_over) == ([], [], [])


def test_only_a_daemon_of_the_same_host_ends_what_it_alone_sees() -> None:
    mine = row(NOON, scope="a", told_at=NOON)
    assert at(NOON, [mine], host="b").ended == []
    assert keys(at(NOON, [mine], host="a").ended) == [DOWN.key]


def test_nobody_is_told_of_what_an_operator_knows_and_a_mute_lets_the_heartbeat_go_on() -> None:
    known = Acknowledgement(cause=DOWN.key, acknowledged_at=NOON, muted_until=None, actor="anna")
    minute, begun = NOON + timedelta(seconds=60), [row(NOON)]
    plain = plan(begun, [DOWN], WISHES, "a", minute)
    acknowledged = plan(begun, [DOWN], WISHES, "a", minute, {DOWN.key: known})
    muted = plan(begun, [DOWN], WISHES, "a", minute, {DOWN.key: replace(known, muted_until=minute)})
    assert [keys(found.tell) for found in (plain, acknowledged, muted)] == [[DOWN.key], [], []]
    assert [found.is_well for found in (plain, acknowledged, muted)] == [False, False, True]


def test_a_message_names_the_cause_the_streams_since_when_and_its_end() -> None:
    begun = compose([row(NOON)], [], host="server1", zone="Europe/Amsterdam", now=NOON + timedelta(minutes=5))
    assert begun.title == "syncd: shop: host unreachable, 2 streams, since 13:00"
    assert begun.body == "orders, stores\nWait.\n\nserver1, 13:05"
    assert begun.tone == "failure"
    ended = row(NOON - timedelta(days=1), ended_at=NOON)
    over = compose([], [ended], host="server1", zone="Europe/Amsterdam", now=NOON)
    assert over.title == "syncd: over: shop: host unreachable, 2 streams, Fri 27 Nov 13:00 to 13:00"
    assert over.tone == "success"
    both = compose([row(NOON)], [ended], host="server1", zone="Europe/Amsterdam", now=NOON)
    assert both.title.startswith("syncd: 2 messages, the first: shop: host unreachable")
    assert "over: shop" in both.body


def test_a_digest_is_due_once_a_day_from_its_hour_on() -> None:
    wishes = replace(WISHES, digest=time(8))
    due = {hour: digest_due(wishes, datetime(2026, 11, 28, hour, tzinfo=UTC)) for hour in (6, 7, 12, 13)}
    assert due == {6: None, 7: "digest 2026-11-28", 12: "digest 2026-11-28", 13: None}
    assert digest_due(WISHES, NOON) is None
    totals = DayTotals(runs=1200, failed=3, changed=4, requests=5)
    told = digest("2 streams: 2 fresh", totals, [row(NOON)], host="server1", zone="UTC", now=NOON)
    assert told.title == "syncd: the day until 12:00, 1 to look at"
    assert "1,200 runs, of which 3 failed" in told.body


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("22:00-07:00", {21: False, 22: True, 23: True, 0: True, 6: True, 7: False, 12: False}),
        ("09:00 - 17:00", {8: False, 9: True, 16: True, 17: False, 0: False}),
    ],
)
def test_hours_reach_over_midnight(text: str, hours: dict[int, bool]) -> None:
    read = parse_hours(text)
    assert {hour: read.hold(datetime(2026, 7, 1, hour, tzinfo=UTC), "UTC") for hour in hours} == hours


@pytest.mark.parametrize("text", ["22-7", "22:00-", "25:00-07:00", "07:00-07:00", ""])
def test_hours_of_a_wrong_form_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected hours"):
        parse_hours(text)
    with pytest.raises(ValueError, match="expected a time of day"):
        parse_time(text)
    assert Hours(begin=time(22), end=time(7)) == parse_hours("22:00-07:00")


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("mailtos://user:pa%3Ass@example.com?to=a@b.c", ["pa:ss"]),
        ("tgram://123456789:abcdefg_hijk1mnop/12315544/", ["abcdefg_hijk1mnop"]),
        ("https://hc-ping.com/6c1f8d8e-1111-2222-3333-444455556666", ["6c1f8d8e-1111-2222-3333-444455556666"]),
        ("json://127.0.0.1:8080/hook", []),
    ],
)
def test_passwords_and_tokens_of_an_address_are_secrets_by_themselves(url: str, parts: list[str]) -> None:
    assert secret_parts(url) == parts


@pytest.mark.parametrize("every_s", [5, 7, 10, 15, 20, 60, 100, 3600])
def test_beats_come_as_often_as_the_configuration_says_whatever_it_says(every_s: int) -> None:
    wishes = Notify(heartbeat_url=Secret("http://localhost/x"), heartbeat_every_s=float(every_s))
    parts: Any = SimpleNamespace(watchdog_s=None, line=None)
    scheduler = AsyncIOScheduler(timezone=UTC)
    House(
        scheduler, parts, parts, parts, config=lambda: cast("Any", SimpleNamespace(notify=wishes)),
        database=lambda: parts,
        on_outage=parts, stop=parts, follow=parts,
    ).keep()  # fmt: skip
    rhythm, luck = scheduler.get_job("notify").trigger, Random(every_s)  # noqa: S311  no secret
    due, beats = utc_now(), list[datetime]()
    end = due + timedelta(seconds=99.5 * every_s)
    while due < end:
        looked_at = due + timedelta(seconds=luck.uniform(0, 0.4))  # a look begins a little late, and never equally so
        if beat_due(wishes, beats[-1] if beats else None, looked_at):
            beats.append(looked_at)
        due = rhythm.get_next_fire_time(due, looked_at)
    assert len(beats) == 100
    gaps = [(after - before).total_seconds() for before, after in pairwise(beats)]
    assert max(gaps) < every_s + 0.5
