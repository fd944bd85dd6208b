"""Which streams count as late or failing: a table of cases, without a database."""

from datetime import UTC, datetime, timedelta

import pytest

from syncd.config import BudgetConfig, Config, DatabaseConfig, Secret, SourceConfig, StreamConfig
from syncd.status import State, Status, StreamStatus, is_young, troubles

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
EVERY_S = 300.0


def config() -> Config:
    from pathlib import Path

    stream = StreamConfig(name="orders", every_s=EVERY_S)
    source = SourceConfig(
        name="shop", type="cyclesoftware", base_url="", options={}, streams={"orders": stream}, budget=BudgetConfig()
    )
    database = DatabaseConfig(url=Secret("embedded"), data_dir=Path())
    return Config(path=Path(), database=database, http=None, sources={"shop": source})


def status(state: State, age_s: float | None) -> Status:
    stream = StreamStatus(
        source="shop", stream="orders", state=state, why="HTTP 500", schedule="", table="", cursor=None,
        cursor_words="", rows=None, last_run=None, running=None, last_sweep=None,
        last_ok_at=None if age_s is None else NOW - timedelta(seconds=age_s), freshness_s=age_s, next_run_at=None,
        rejects=0, drift_count=0, drift=[],
    )  # fmt: skip
    return Status(at=NOW, version="", database="", summary={}, sources=[], streams=[stream], backfills=[])


@pytest.mark.parametrize(
    ("state", "age_s", "max_age_s", "told"),
    [
        ("fresh", 10.0, None, ""),
        ("late", 700.0, None, "shop.orders is late: the last good run started 11.7 min ago"),
        ("late", 700.0, 3600.0, ""),  # an age that was asked for counts alone
        ("fresh", 200.0, 60.0, "shop.orders is late: the last good run started 3.3 min ago, more than 60 s"),
        ("running", 700.0, None, "shop.orders is late: the last good run started 11.7 min ago"),
        ("running", 10.0, None, ""),
        ("running", None, None, "shop.orders is late: no run has succeeded yet"),
        ("never", None, 3600.0, "shop.orders is late: no run has succeeded yet"),
        ("failing", 10.0, 3600.0, "shop.orders is failing: HTTP 500"),
        ("paused", 10.0, None, "shop.orders is paused: HTTP 500"),
    ],
)
def test_a_stream_is_late_by_its_schedule_or_by_an_age_and_failing_whatever_its_age(
    state: State, age_s: float | None, max_age_s: float | None, told: str
) -> None:
    found = troubles(status(state, age_s), config(), [("shop", "orders")], max_age_s=max_age_s)
    assert [trouble.words for trouble in found] == ([told] if told else [])


def test_a_stream_that_was_not_asked_for_is_not_judged() -> None:
    assert troubles(status("failing", None), config(), [("shop", "customers")]) == []


def test_a_stream_is_young_until_its_interval_is_over() -> None:
    settings = StreamConfig(name="orders", every_s=EVERY_S)
    ages = {age_s: is_young(settings, NOW - timedelta(seconds=age_s), NOW) for age_s in (0, 299, 300)}
    assert ages == {0: True, 299: True, 300: False}
    assert not is_young(settings, None, NOW)
