"""Durations and crontabs, as a configuration writes them and as syncd tells them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.config.crontab import parse_cron
from syncd.config.duration import LONGEST_DURATION_S, format_duration, parse_duration, spoken


@given(seconds=st.integers(min_value=1, max_value=int(LONGEST_DURATION_S)))
def test_a_written_duration_reads_as_itself(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("6h", 21_600), ("7d", 604_800), ("1h30m", 5400), ("90m", 5400), ("007d", 604_800)],
)
def test_a_duration_reads_as_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@given(text=st.text())
def test_any_text_is_a_positive_duration_or_refused(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert re.fullmatch(r"([0-9]+[dhms])+", text)
    assert 0 < seconds <= LONGEST_DURATION_S


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "5M", "1.5h", "-5m", "30m1h", "5m5m", "٣m", "5w", "1e3s", "0s0"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""), (0.0, "0 s"), (0.25, "0.2 s"), (9.94, "9.9 s"), (9.96, "10 s"), (44.7, "45 s"), (119.0, "119 s"),
        (120.0, "2 min"), (5400.0, "90 min"), (7199.0, "120 min"), (12_600.0, "3.5 h"), (8 * 86_400.0, "8 days"),
    ],
)  # fmt: skip
def test_a_duration_is_told_in_one_unit(seconds: float | None, words: str) -> None:
    assert spoken(seconds) == words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*/5 6-22 * * *", "*/5 6-22 * * *"),
        ("0 6 * * 0", "0 6 * * sun"),
        ("0 6 * * 7", "0 6 * * sun"),
        ("0 6 * * 1-5", "0 6 * * mon,tue,wed,thu,fri"),
        ("0 6 * * 5-7", "0 6 * * sun,fri,sat"),
        ("0 6 * * FRI-mon", "0 6 * * sun,mon,fri,sat"),
        ("0 6 * * */2", "0 6 * * sun,tue,thu,sat"),
        ("0 6 * * 1/2", "0 6 * * mon,wed,fri"),
        ("0 6 * * 1,sun", "0 6 * * sun,mon"),
        ("0 6 * * 7-2", "0 6 * * sun,mon,tue"),
        ("  0  6 1 JAN * ", "0 6 1 jan *"),
    ],
)
def test_weekdays_mean_what_cron_means(text: str, expected: str) -> None:
    assert parse_cron(text) == expected
