"""When a stream is due, as tables of cases."""

from datetime import UTC, datetime, timedelta

import pytest

from syncd.config import StreamConfig
from syncd.engine import schedule
from syncd.engine.schedule import History

NOW = datetime(2026, 11, 22, 9, 0, 0, tzinfo=UTC)  # a Sunday
EVERY_5M = StreamConfig(name="s", every_s=300.0)
DAILY = StreamConfig(name="s", every_s=86_400.0)
CRON = StreamConfig(name="s", cron="*/5 6-22 * * *")


def ago(**duration: float) -> datetime:
    return NOW - timedelta(**duration)


@pytest.mark.parametrize(
    ("settings", "history", "earliest_s", "latest_s"),
    [
        pytest.param(EVERY_5M, History(), 0, 30, id="never ran: at once, spread"),
        pytest.param(EVERY_5M, History(ok_at=ago(minutes=9)), 0, 30, id="overdue: at once, spread"),
        pytest.param(EVERY_5M, History(ok_at=ago(minutes=2)), 180, 180, id="due later"),
        pytest.param(EVERY_5M, History(ok_at=ago(minutes=-60)), 300, 300, id="clock set back: one interval at most"),
        pytest.param(StreamConfig(name="s", every_s=2.0), History(), 0, 2, id="short interval: spread within it"),
        pytest.param(CRON, History(), 0, 30, id="crontab, never ran"),
        pytest.param(CRON, History(ok_at=ago(minutes=3)), 0, 30, id="crontab, an instant was missed"),
        pytest.param(CRON, History(ok_at=NOW), 300, 300, id="crontab, due later"),
        pytest.param(DAILY, History(ok_at=ago(minutes=5), idle=1), 0, 30, id="idle: looks again soon"),
        pytest.param(DAILY, History(ok_at=ago(minutes=5), failures=3, failed_at=NOW), 86_100, 86_100, id="forgiven"),
    ],
)  # fmt: skip
def test_first_run(settings: StreamConfig, history: History, earliest_s: float, latest_s: float) -> None:
    found = (schedule.first_at(NOW, "shop.customers", settings, history) - NOW).total_seconds()
    assert earliest_s <= found <= latest_s


def test_first_runs_are_spread_and_the_same_each_time() -> None:
    offsets = {schedule.spread_s(f"shop{number}.customers", 300.0) for number in range(50)}
    assert len(offsets) == 50
    assert all(0 <= offset < 30 for offset in offsets)
    assert max(offsets) - min(offsets) > 20
    assert offsets == {schedule.spread_s(f"shop{number}.customers", 300.0) for number in range(50)}


def test_thousands_that_begin_together_begin_at_a_rate_that_one_core_can_do() -> None:
    names = [f"account{number}.orders" for number in range(4000)]
    begin = sorted((schedule.first_at(NOW, name, EVERY_5M, History(), 4000) - NOW).total_seconds() for name in names)
    assert 190 < begin[-1] < 200
    assert max(sum(second <= at < second + 5 for at in begin) for second in range(0, 200, 5)) <= 1.5 * 5 * 20
    # who has little time goes on sharing it, and who is due already on time keeps it
    assert schedule.spread_s(names[0], 60.0, 4000) < 60
    assert schedule.first_at(NOW, names[0], EVERY_5M, History(ok_at=ago(seconds=299)), 4000) == NOW + timedelta(
        seconds=1
    )


def test_what_another_process_ran_until_now_goes_on_as_it_was_there() -> None:
    def at(history: History, overdue: int) -> float:
        return (schedule.taken_over_at(NOW, "shop.customers", EVERY_5M, history, overdue) - NOW).total_seconds()

    assert at(History(ok_at=ago(seconds=100)), 1) == 200
    assert 0 <= at(History(ok_at=ago(seconds=303)), 1) < 0.1
    assert 0 <= at(History(ok_at=ago(seconds=303)), 40) < 2
    assert at(History(), 1) == (schedule.first_at(NOW, "shop.customers", EVERY_5M, History()) - NOW).total_seconds()


@pytest.mark.parametrize(("every_s", "jitter_s"), [(10.0, 1.0), (300.0, 30.0), (86_400.0, 30.0)])
def test_jitter(every_s: float, jitter_s: float) -> None:
    assert schedule.jitter_s(every_s) == jitter_s


@pytest.mark.parametrize(
    ("every_s", "failures", "error_kind", "wait_s"),
    [
        (60.0, 1, "Unreachable", 120.0),
        (60.0, 2, "Unreachable", 240.0),
        (60.0, 3, "Throttled", 480.0),
        (60.0, 4, "Unreachable", 900.0),
        (60.0, 4000, "Unreachable", 900.0),
        (60.0, 1, "BadCredentials", 900.0),
        (60.0, 9, "ScopeMissing", 900.0),
        (900.0, 1, None, 900.0),
        (3600.0, 1, None, 900.0),
        (3600.0, 2, None, 1800.0),
        (3600.0, 3, None, 3600.0),
        (3600.0, 50, None, 3600.0),
        (86_400.0, 1, "ScopeMissing", 900.0),
        (86_400.0, 60, "ScopeMissing", 3_300.0),
    ],
)
def test_wait_after_failures(every_s: float, failures: int, error_kind: str | None, wait_s: float) -> None:
    assert schedule.wait_s(every_s, failures, error_kind) == wait_s


@pytest.mark.parametrize(
    ("settings", "history", "expected_s"),
    [
        pytest.param(EVERY_5M, History(ok_at=NOW), None, id="all is well"),
        pytest.param(EVERY_5M, History(failures=1, failed_at=NOW), 600, id="failed once"),
        pytest.param(CRON, History(failures=1, failed_at=NOW), 600, id="a crontab's interval counts"),
        pytest.param(DAILY, History(ok_at=NOW, idle=1), 60, id="idle"),
        pytest.param(DAILY, History(ok_at=NOW, idle=4), 480, id="idle for long"),
        pytest.param(DAILY, History(ok_at=NOW, idle=400), 86_400, id="idle for ever"),
        pytest.param(StreamConfig(name="s", every_s=5.0), History(ok_at=NOW, idle=1), 5, id="idle and frequent"),
    ],
)
def test_next_run_out_of_rhythm(settings: StreamConfig, history: History, expected_s: float | None) -> None:
    found = schedule.again_at(settings, history)
    assert found == (None if expected_s is None else NOW + timedelta(seconds=expected_s))


def failed(minutes_ago: float, *, failures: int = 1, kind: str = "Unreachable", ok: float = 60) -> History:
    return History(ok_at=ago(minutes=ok), failures=failures, failed_at=ago(minutes=minutes_ago), error_kind=kind)


def well(minutes_ago: float) -> History:
    return History(ok_at=ago(minutes=minutes_ago))


@pytest.mark.parametrize(
    ("histories", "probe_s"),
    [
        pytest.param([History()], None, id="never ran"),
        pytest.param([well(1), well(2)], None, id="all is well"),
        pytest.param([failed(0)], 600, id="its only stream fails"),
        pytest.param([failed(0), well(30)], None, id="one stream of two fails: it may be the stream"),
        pytest.param([failed(0), failed(9), well(30)], 600, id="two fail: it is the source"),
        pytest.param([failed(0, failures=2), failed(9), well(30)], 900, id="the steps grow"),
        pytest.param([failed(0, failures=2), failed(9, failures=70)], 900, id="up to a quarter of an hour"),
        pytest.param([failed(0), failed(9), well(5)], None, id="another was answered since the second failed"),
        pytest.param([failed(0), failed(9), failed(5, kind="ScopeMissing")], None, id="a refusal is an answer too"),
        pytest.param([failed(0, kind="BadCredentials"), well(5)], 900, id="bad credentials are the source's"),
        pytest.param([failed(5, kind="BadCredentials"), well(0)], None, id="good again"),
        pytest.param([failed(0, kind="BadPayload"), failed(0, kind="NotFound")], None, id="answers that are wrong"),
    ],
)
def test_probe_of_a_source_that_is_down(histories: list[History], probe_s: float | None) -> None:
    found = schedule.probe_at([(EVERY_5M, history) for history in histories])
    assert found == (None if probe_s is None else NOW + timedelta(seconds=probe_s))


def test_probe_of_a_source_whose_streams_are_rare() -> None:
    assert schedule.probe_at([(DAILY, failed(0, failures=3)), (DAILY, failed(1))]) == NOW + timedelta(minutes=15)


WEEK_S = 7 * 86_400.0


@pytest.mark.parametrize(
    ("sweep_s", "history", "due"),
    [
        pytest.param(None, History(swept_at=ago(days=900)), False, id="no sweep of its own"),
        pytest.param(WEEK_S, History(), False, id="the first live run comes first"),
        pytest.param(WEEK_S, History(swept_at=ago(days=6.9)), False, id="not yet"),
        pytest.param(WEEK_S, History(swept_at=ago(days=7)), True, id="due"),
        pytest.param(WEEK_S, History(swept_at=ago(days=-6.9)), False, id="the clock was set back"),
        pytest.param(WEEK_S, History(swept_at=ago(days=-3650)), True, id="the clock was wrong"),
    ],
)
def test_sweep(sweep_s: float | None, history: History, due: bool) -> None:
    assert schedule.is_sweep_due(NOW, sweep_s, history) is due


@pytest.mark.parametrize(
    ("failures", "hours_ago", "error_kind", "due"),
    [
        pytest.param(1, 0.99, "BadPayload", False, id="rests"),
        pytest.param(1, 1, "BadPayload", True, id="rested"),
        pytest.param(2, 1, "BadPayload", False, id="doubled"),
        pytest.param(99, 7 * 24, "BadPayload", True, id="at most a sweep's interval"),
        pytest.param(1, 23, "SweepRefused", False, id="refused"),
        pytest.param(1, 24, "SweepRefused", True, id="refused, a day later"),
    ],
)
def test_sweep_that_failed(failures: int, hours_ago: float, error_kind: str, due: bool) -> None:
    history = History(
        swept_at=ago(days=99), sweep_failures=failures, sweep_tried_at=ago(hours=hours_ago), sweep_error_kind=error_kind
    )
    assert schedule.is_sweep_due(NOW, WEEK_S, history) is due


@pytest.mark.parametrize(
    ("settings", "ok_at", "late_at"),
    [
        (EVERY_5M, NOW, NOW + timedelta(minutes=11)),
        (CRON, NOW, NOW + timedelta(minutes=11)),
        # after the last instant of the evening the night is no delay
        (CRON, NOW.replace(hour=22, minute=55), NOW.replace(day=23, hour=6, minute=6)),
    ],
)
def test_late(settings: StreamConfig, ok_at: datetime, late_at: datetime) -> None:
    assert schedule.late_at(settings, ok_at) == late_at


@pytest.mark.parametrize(
    ("settings", "previous", "expected"),
    [
        pytest.param(EVERY_5M, NOW, NOW + timedelta(minutes=5), id="the next one"),
        pytest.param(EVERY_5M, ago(seconds=299), NOW + timedelta(seconds=1), id="it was late"),
        pytest.param(EVERY_5M, ago(seconds=601), NOW + timedelta(seconds=299), id="two were missed: the rhythm holds"),
        pytest.param(EVERY_5M, ago(days=15 * 365.25), NOW + timedelta(minutes=5), id="the clock jumped by 15 years"),
        pytest.param(CRON, ago(days=15 * 365.25), NOW + timedelta(minutes=5), id="crontab, 15 years"),
        pytest.param(CRON, ago(minutes=-30), NOW + timedelta(minutes=35), id="crontab, planned ahead"),
    ],
)
def test_what_was_missed_is_due_once(settings: StreamConfig, previous: datetime, expected: datetime) -> None:
    assert schedule.following(settings, previous, NOW) == expected


@pytest.mark.parametrize(
    ("settings", "waits_s", "expected_s"),
    [(EVERY_5M, 200, 200), (EVERY_5M, 900, 900), (CRON, 200, 300), (CRON, 900, 900)],
)
def test_a_clock_that_is_set_back_prolongs_no_wait(settings: StreamConfig, waits_s: float, expected_s: float) -> None:
    planned = NOW + timedelta(days=1, seconds=waits_s)  # a day before, now was a day later
    at = schedule.clock_set_back(settings, planned, 86_400.0, NOW)
    assert (at - NOW).total_seconds() == expected_s


@pytest.mark.parametrize(
    "history",
    [
        pytest.param(History(swept_at=ago(days=3)), id="swept lately"),
        pytest.param(History(swept_at=ago(days=9)), id="overdue"),
        pytest.param(History(swept_at=ago(days=9), sweep_failures=2, sweep_tried_at=ago(hours=1)), id="rests"),
        pytest.param(
            History(
                swept_at=ago(days=9), sweep_failures=1, sweep_tried_at=ago(hours=1), sweep_error_kind="SweepRefused"
            ),
            id="refused",
        ),
    ],
)
def test_the_next_sweep_is_told_for_the_instant_from_which_on_it_is_due(history: History) -> None:
    at = schedule.sweep_at(WEEK_S, history)
    assert at is not None
    assert schedule.is_sweep_due(at, WEEK_S, history)
    assert not schedule.is_sweep_due(at - timedelta(seconds=1), WEEK_S, history)


def test_no_sweep_is_told_where_there_is_none() -> None:
    assert schedule.sweep_at(None, History(swept_at=NOW)) is None
    assert schedule.sweep_at(WEEK_S, History()) is None
