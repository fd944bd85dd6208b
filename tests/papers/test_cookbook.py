"""Every question of the cookbook gets the answer that the upstreams' own records give."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from syncd.cookbook import questions
from syncd.storage.postgres import embedded
from tests.papers import cookbook, streams_page
from tests.support import answers
from tests.support.bench import Bench

QUESTIONS = questions()


@pytest.fixture(scope="module")
async def mirror(server: embedded.Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with cookbook.opened_mirror(server, tmp_path_factory.mktemp("mirror")) as bench:
        yield bench


def plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


def test_there_are_questions_enough_on_everything() -> None:
    assert len(QUESTIONS) >= 25
    assert len({question.about for question in QUESTIONS.values()}) == 6


@pytest.mark.parametrize("name", QUESTIONS)
async def test_the_answer_is_what_the_upstreams_records_say(mirror: Bench, name: str) -> None:
    _, rows = await cookbook.answered(mirror, QUESTIONS[name])
    expected = answers.of(name)(answers.Truth(mirror.sandbox, mirror.time.now(), past=mirror.past))
    assert expected, "a question without an answer proves nothing"
    assert [tuple(map(plain, row)) for row in rows] == expected


async def test_the_page_is_current(mirror: Bench) -> None:
    assert await cookbook.page(mirror) == cookbook.PAGE.read_text(), "write it anew: python -m tests.papers.cookbook"


async def test_the_page_of_streams_is_current(mirror: Bench) -> None:
    text = await streams_page.page(mirror)
    assert text == streams_page.PAGE.read_text(), "write it anew: python -m tests.papers.streams_page"


async def test_every_view_shows_something_of_the_seed(mirror: Bench) -> None:
    views = await mirror.fetch("SELECT viewname FROM pg_views WHERE schemaname = 'reporting' ORDER BY 1")
    assert len(views) >= 20
    empty = [view for (view,) in views if not await mirror.fetch(f"SELECT FROM reporting.{view} LIMIT 1")]
    assert empty == []


def test_every_file_is_a_question_of_the_page() -> None:
    files = Path(cookbook.__file__).parents[2].joinpath("syncd", "cookbook").glob("*.sql")
    assert sorted(file.stem for file in files) == sorted(QUESTIONS)
