"""Questions of the cookbook that are asked of some rows only, or of another day."""

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from syncd.cli.instant import parse_instant
from syncd.cookbook import narrowing, questions
from syncd.cookbook.narrowing import Condition, parse_condition
from syncd.errors import UsageError

QUESTIONS = questions()
AMSTERDAM = ZoneInfo("Europe/Amsterdam")


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_view_of_a_question_is_found(name: str) -> None:
    query = QUESTIONS[name].query
    used = set(re.findall(r"reporting\.(\w+)", query)) - {"now"}
    assert {re.split(r"[.(]", view)[1] for view in narrowing.views_of(query)} == used != set()


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_counts_back_from_now_ends_at_the_instant_that_is_asked_for(name: str) -> None:
    query = QUESTIONS[name].query
    counted = set(re.findall(r"(\w+) >= [^\n]*reporting\.now\(\)\)? - interval", query))
    columns = {view: dict.fromkeys(counted, "date") for view in narrowing.views_of(query)}
    asked = narrowing.dated(query, "2026-01-01", columns)
    assert all(f'"{column}" <= reporting.now()' in asked for column in counted)
    assert asked.count("<= reporting.now()") >= len(counted)
    assert (narrowing.instant_of(asked) or "'2026-01-01'") == "'2026-01-01'"


def test_a_condition_stands_within_the_view_that_has_the_column() -> None:
    query = "SELECT * FROM reporting.a JOIN reporting.b AS other USING (id) WHERE true"
    columns = {"reporting.a": {"id": "int8", "make": "text"}, "reporting.b": {"id": "int8"}}
    asked = [parse_condition(text) for text in ("make=BMW", "make = O'Neill", "id>=3")]
    makes = """(lower("make") = lower('BMW') OR lower("make") = lower('O''Neill'))"""
    assert narrowing.narrowed(query, asked, columns) == (
        f"""SELECT * FROM (SELECT * FROM reporting.a WHERE {makes} AND ("id" >= '3')) AS a"""
        """ JOIN (SELECT * FROM reporting.b WHERE ("id" >= '3')) AS other USING (id) WHERE true"""
    )


@pytest.mark.parametrize(
    ("join", "able"), [("JOIN", ["id", "a", "b"]), ("LEFT JOIN", ["id", "a"]), ("FULL JOIN", ["id"])]
)
def test_a_joined_view_is_narrowed_only_where_that_narrows_the_answer(join: str, able: list[str]) -> None:
    columns = {"reporting.x": {"id": "int8", "a": "text"}, "reporting.y": {"id": "int8", "b": "text"}}
    assert narrowing.answerable(f"SELECT * FROM reporting.x {join} reporting.y USING (id)", columns) == able


@pytest.mark.parametrize("text", ["", "make", "=x", "make~x", "a b=c", "a;b=c"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected COLUMN=VALUE"):
        parse_condition(text)


def test_a_value_may_hold_anything() -> None:
    assert parse_condition("a != b=c ") == Condition(column="a", operator="!=", value="b=c")
    assert parse_condition("a=") == Condition(column="a", operator="=", value="")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024", datetime(2023, 12, 31, 23, tzinfo=UTC)),
        ("2024-7", datetime(2024, 6, 30, 22, tzinfo=UTC)),
        ("2024-01-31", datetime(2024, 1, 30, 23, tzinfo=UTC)),
        ("2024-01-31T08:00", datetime(2024, 1, 31, 7, tzinfo=UTC)),
        ("2024-01-31T08:00Z", datetime(2024, 1, 31, 8, tzinfo=UTC)),
    ],
)
def test_an_instant_may_be_a_year_a_month_a_day_or_a_time(text: str, expected: datetime) -> None:
    assert parse_instant(text, AMSTERDAM, "--since") == expected


@pytest.mark.parametrize("text", ["", "soon", "24", "2024-13", "0000", "2024-", "20240"])
def test_what_is_no_instant_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(UsageError, match=r"--since .*no date or time") as raised:
        parse_instant(text, AMSTERDAM, "--since")
    assert "2026-01-31T08:00" in raised.value.hint
