"""A lookup walks key by key: caps, whose turn it is, keys of the mirror, and keys whose answers are odd."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.contract import Cursor, Due, Feed, Page, Walk
from syncd.contract.early import Early
from syncd.contract.errors import BadPayload, BadRequest
from syncd.contract.lookups import one_by_one
from tests.support.sources.cyclesoftware import NOW, walk_of

FEED = Feed(option="ids", query="", reads=("things",), in_turn=False, per_day=5)
TURNS = replace(FEED, in_turn=True)


class Asked:
    """Answers every key, but for those that are odd or refused."""

    def __init__(self, odd: Sequence[str] = (), refused: Sequence[str] = ()) -> None:
        self.keys: list[str] = []
        self.odd, self.refused = odd, refused

    async def __call__(self, walk: Walk, _option: str, key: str) -> Page:
        self.keys.append(key)
        if key in self.odd:
            raise BadPayload(f"{key} is odd")
        if key in self.refused:
            raise BadRequest(f"{key} is refused")
        return Page(records=[key.encode()], cursor=None, requested_at=walk.now())


def fed(walk: Walk, keys: str, feed: Feed) -> Walk:
    """Return a walk whose mirror gives these keys, each of which moved a second after the one before."""
    dues = [Due(key=key, at=None if feed.in_turn else NOW + timedelta(seconds=at)) for at, key in enumerate(keys)]

    async def due(after: Due | None, most: int) -> Sequence[Due]:
        start = next((at for at, each in enumerate(dues, 1) if after and each == after), 0)
        return dues[start : start + most]

    return replace(walk, due=due)


async def run(ask: Asked, walk: Walk, *, per_run: int, feed: Feed | None = None) -> Cursor | None:
    """Walk to the end, and return the last cursor; errors of the end do not count."""
    cursor = walk.cursor
    try:
        async for page in one_by_one(ask, per_run=per_run, feed=feed)(walk):
            cursor = page.cursor
    except (BadRequest, BadPayload):
        pass
    return cursor


def named(keys: str, cursor: Cursor | None = None) -> Walk:
    return walk_of(None, lookup={"ids": list(keys)}, cursor=cursor)


async def test_named_keys_take_turns_within_the_cap() -> None:
    ask, cursor = Asked(), None
    for expected in ("ab", "abcd", "abcdea"):
        cursor = await run(ask, named("abcde", cursor), per_run=2)
        assert "".join(ask.keys) == expected
    assert cursor == {"after": ["ids", "a"]}
    await run(ask, named("xyz", cursor), per_run=9)
    assert "".join(ask.keys[6:]) == "xyz", "a key that is no longer named is no place to go on from"


async def test_a_refused_key_is_told_after_all_others_were_asked_for() -> None:
    ask, pages = Asked(refused="a", odd="c"), list[Page]()
    told = "2 of 4 keys gave no record, the first: a is refused"
    with pytest.raises(BadRequest, match=told):  # noqa: PT012  (the pages come before the error)
        async for page in one_by_one(ask, per_run=9)(named("abcd")):
            pages.append(page)
    assert [list(page.records) for page in pages] == [[], [b"b"], [], [b"d"]]


async def test_without_keys_nothing_is_asked_for() -> None:
    ask = Asked()
    assert await run(ask, named("", {"after": ["ids", "a"]}), per_run=3) == {"after": ["ids", "a"]}
    assert ask.keys == []


async def test_keys_of_the_mirror_come_once_within_the_caps_of_run_and_day() -> None:
    ask, walk = Asked(), fed(named(""), "abcdefgh", FEED)
    cursor: Cursor | None = None
    for expected in ("ab", "abcd", "abcde", "abcde"):
        cursor = await run(ask, replace(walk, cursor=cursor), per_run=2, feed=FEED)
        assert "".join(ask.keys) == expected
    assert cursor == {"fed": {"key": "e", "at": (NOW + timedelta(seconds=4)).isoformat()}, "day": "2026-03-10",
                      "asked": 5}  # fmt: skip
    tomorrow = replace(walk, now=lambda: datetime(2026, 3, 11, tzinfo=UTC))
    for expected in ("fg", "fgh", "fgh"):
        cursor = await run(ask, replace(tomorrow, cursor=cursor), per_run=2, feed=FEED)
        assert "".join(ask.keys[5:]) == expected
    for expected in ("ab", "ab"):
        cursor = await run(ask, replace(tomorrow, cursor=cursor, whole=True), per_run=2, feed=FEED)
        assert "".join(ask.keys[8:]) == expected, "whoever orders everything gets all again, within the cap of the day"
    day_after = replace(walk, now=lambda: datetime(2026, 3, 12, tzinfo=UTC))
    for expected in ("abcd", "abcdef"):
        cursor = await run(ask, replace(day_after, cursor=cursor), per_run=2, feed=FEED)
        assert "".join(ask.keys[8:]) == expected, "the next runs ask for the others"


async def test_what_is_new_comes_before_all_others_when_everything_is_ordered() -> None:
    ask, cursor = Asked(), None
    for whole, keys, expected in ((False, "ab", "ab"), (True, "abc", "abca"), (False, "abc", "abcab")):
        cursor = await run(ask, replace(fed(named("", cursor), keys, FEED), whole=whole), per_run=2, feed=FEED)
        assert "".join(ask.keys) == expected


async def test_keys_that_come_again_and_again_take_turns() -> None:
    ask, cursor = Asked(), None
    for expected in ("ab", "abca"):
        cursor = await run(ask, fed(named("", cursor), "abc", TURNS), per_run=2, feed=TURNS)
        assert "".join(ask.keys) == expected
    await run(ask, fed(named("", cursor), "a", TURNS), per_run=2, feed=TURNS)
    assert "".join(ask.keys) == "abcaa"


async def test_named_keys_come_in_the_place_of_the_mirrors() -> None:
    ask = Asked()
    await run(ask, fed(named("xy"), "abc", FEED), per_run=9, feed=FEED)
    assert ask.keys == ["x", "y"]


async def test_an_odd_answer_is_asked_for_again_and_keeps_no_other_waiting() -> None:
    ask = Asked(odd="b")
    cursor = await run(ask, fed(named(""), "abc", FEED), per_run=9, feed=FEED)
    assert (ask.keys, (cursor or {})["aside"]) == (["a", "b", "c"], ["b"])
    ask.odd = ()
    cursor = await run(ask, fed(named("", cursor), "abcd", FEED), per_run=9, feed=FEED)
    assert (ask.keys[3:], "aside" in (cursor or {})) == (["d", "b"], False)
    assert (cursor or {})["fed"]["key"] == "d"


async def test_an_upstream_that_answers_oddly_throughout_moves_nothing_on() -> None:
    ask = Asked(odd="abcdefgh")
    cursor: Any = await run(ask, fed(named(""), "abcdefgh", FEED), per_run=9, feed=FEED)
    assert ask.keys == ["a", "b", "c"]
    assert (cursor["fed"]["key"], cursor["aside"]) == ("b", ["a", "b"]), "all three are asked for again"


async def test_keys_that_are_asked_for_at_once_give_the_same_pages_in_the_same_order() -> None:
    """Refused and odd keys among them; the answers come the later the earlier they were asked for."""

    async def slowly(walk: Walk, option: str, key: str) -> Page:
        for _ in range(30 - ord(key) % 30):
            await asyncio.sleep(0)
        return await ask(walk, option, key)

    found: list[list[tuple[Sequence[bytes], Cursor | None]]] = []
    for in_flight in (1, 4):
        ask, pages = Asked(refused="c", odd="eh"), list[Page]()
        walk = replace(fed(named(""), "abcdefghij", replace(FEED, per_day=99)), early=Early(in_flight=in_flight))
        with pytest.raises(BadRequest, match="3 of 10 keys gave no record, the first: c is refused"):  # noqa: PT012
            async for page in one_by_one(slowly, per_run=99, feed=replace(FEED, per_day=99))(walk):
                pages.append(page)
        assert sorted(ask.keys) == list("abcdefghij")
        found.append([(page.records, page.cursor) for page in pages])
    assert found[0] == found[1]
    assert len(found[0]) == 10


async def test_an_upstream_that_gives_odd_answers_is_soon_left_alone() -> None:
    ask = Asked(odd="abcdefghij")
    walk = replace(named("abcdefghij"), early=Early(in_flight=4))
    await run(ask, walk, per_run=99)
    assert len(ask.keys) <= 3 + 4
