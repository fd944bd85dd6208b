"""Times and days as upstreams write them: the year or the day first, with and without seconds."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from syncd.records.values import read_date, read_timestamp

ZONE = ZoneInfo("Europe/Amsterdam")
AT = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
NIGHT = datetime(2026, 11, 27, 23, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment", "fits"),
    [
        ("2026-11-28 10:00:00", AT, True),
        ("2026-11-28 10:00", AT, True),
        ("28-11-2026 10:00:00", AT, True),
        ("28-11-2026 10:00", AT, True),
        ("28-11-2026", NIGHT, False),
        ("2026-11-28", NIGHT, False),
        ("29-03-2026 02:30:00", datetime(2026, 3, 29, 1, 30, tzinfo=UTC), False),  # a time that never comes
    ],
)
def test_a_time_is_read_in_each_of_its_forms(text: str, moment: datetime, fits: bool) -> None:
    assert read_timestamp(text, ZONE) == (moment, fits)


@pytest.mark.parametrize(
    ("text", "fits"),
    [("2026-11-28", True), ("28-11-2026", True), ("28-11-2026 10:00:00", False), ("2026-11-28 10:00", False)],
)
def test_a_day_is_read_in_each_of_its_forms(text: str, fits: bool) -> None:
    assert read_date(text, ZONE) == (date(2026, 11, 28), fits)


@pytest.mark.parametrize(
    "text",
    ["11-28-2026", "31-02-2026", "28-11-26", "8-11-2026", "28/11/2026", "28-11-2026 24:00", "28-11-2026 10",
     "00-00-0000", "2021-01-01T12:00:99", "28-11-2026T10:00:00", "２８-11-2026", "28-11-2026 10:00:00+01:00"],
)  # fmt: skip
def test_what_is_no_time_is_none(text: str) -> None:
    assert read_timestamp(text, ZONE) == (None, False)
    assert read_date(text, ZONE) == (None, False)
