"""A long answer is put together from parts; it is the same as one that is encoded at once."""

import asyncio

import msgspec
import pytest

from syncd.service.web.answers import ITEMS_AT_ONCE, as_long_json


class One(msgspec.Struct, frozen=True):
    name: str
    at: float | None = None


class Whole(msgspec.Struct, frozen=True):
    title: str
    streams: list[One]
    notes: dict[str, int]
    orphans: list[str] = []


@pytest.mark.parametrize("many", [0, 1, ITEMS_AT_ONCE - 1, ITEMS_AT_ONCE, ITEMS_AT_ONCE + 1, 2 * ITEMS_AT_ONCE + 1])
async def test_a_long_answer_is_what_is_encoded_at_once(many: int) -> None:
    whole = Whole(title="é", streams=[One(f"s{number}", number / 2) for number in range(many)], notes={"a": 1})
    answer = await as_long_json(whole)
    assert answer.body == msgspec.json.encode(whole)
    assert (answer.status, answer.content_type) == (200, "application/json")


async def test_others_have_their_turn_between_parts() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await as_long_json(Whole(title="", streams=[One("s")] * (5 * ITEMS_AT_ONCE), notes={}))
    task.cancel()
    assert turns >= 5
