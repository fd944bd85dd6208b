"""Seats: a run lends its own out while it waits, and sources that answered last time have seats of their own."""

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from syncd.service.timetable import seats as module
from syncd.service.timetable.seats import OF_SOURCE, OTHER_SEATS, SEATS, Seats


class Hall:
    """Runs that hang until they are let go, and those that got so far."""

    def __init__(self, seats: Seats) -> None:
        self.seats = seats
        self.answers = asyncio.Event()
        self.seated: list[str] = []
        self.ended: list[str] = []

    async def hang(self, source: str) -> None:
        async with self.seats.taken(source) as seat:
            self.seated.append(source)
            async with seat.waiting(at_once=True):
                await self.answers.wait()
            self.ended.append(source)

    async def work(self, source: str, *, until: asyncio.Event) -> None:
        async with self.seats.taken(source):
            self.seated.append(source)
            await until.wait()
        self.ended.append(source)


async def settled(until: Callable[[], bool]) -> None:
    """Let the tasks go on until that is so."""
    for _ in range(10_000):
        if until():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never became so")


async def test_hanging_runs_hold_no_seats() -> None:
    hall, now = Hall(Seats()), asyncio.Event()
    now.set()
    async with asyncio.TaskGroup() as group:
        for number in range(500):
            group.create_task(hall.hang(f"silent{number}"))
        await settled(lambda: len(hall.seated) == 500)
        await asyncio.wait_for(hall.work("new", until=now), timeout=1)
        assert hall.ended == ["new"]
        hall.answers.set()
    assert len(hall.ended) == 501


async def test_sources_that_answered_have_seats_of_their_own() -> None:
    hall, let_go, now = Hall(Seats(["well"])), asyncio.Event(), asyncio.Event()
    now.set()
    async with asyncio.TaskGroup() as group:
        for number in range(OTHER_SEATS + 5):
            group.create_task(hall.work(f"new{number}", until=let_go))
        await settled(lambda: len(hall.seated) == OTHER_SEATS)
        await asyncio.wait_for(hall.work("well", until=now), timeout=1)
        assert hall.ended == ["well"]
        let_go.set()
    assert len(hall.ended) == OTHER_SEATS + 6


async def test_a_source_that_answers_gets_a_seat_among_those_that_do() -> None:
    hall, let_go = Hall(Seats()), asyncio.Event()
    async with asyncio.TaskGroup() as group, hall.seats.taken("heard") as seat:
        for number in range(OTHER_SEATS - 1):
            group.create_task(hall.work(f"new{number}", until=let_go))
        await settled(lambda: len(hall.seated) == OTHER_SEATS - 1)
        async with seat.waiting(at_once=True):
            group.create_task(hall.work("another", until=let_go))
            await settled(lambda: "another" in hall.seated)  # on the seat that was lent
            assert seat.is_lent
            seat.heard(is_answering=True)
        assert not seat.is_lent
        let_go.set()


async def test_of_a_silent_source_one_run_is_under_way_and_of_another_some() -> None:
    hall = Hall(Seats())
    hall.seats.heard("silent", is_answering=False)
    async with asyncio.TaskGroup() as group:
        for source in ("silent", "new"):
            for _ in range(OF_SOURCE + 1):
                group.create_task(hall.hang(source))
        await settled(lambda: len(hall.seated) == OF_SOURCE + 1)
        await asyncio.sleep(0)
        assert sorted(hall.seated) == ["new"] * OF_SOURCE + ["silent"]
        hall.seats.heard("silent", is_answering=True)
        await settled(lambda: hall.seated.count("silent") == OF_SOURCE)
        hall.answers.set()
    assert len(hall.ended) == 2 * (OF_SOURCE + 1)


async def test_a_seat_is_lent_late_once_the_source_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LENT_AFTER_S", 0.01)
    async with Seats().taken("shop") as seat:
        seat.heard(is_answering=True)
        async with seat.waiting(at_once=True):
            assert not seat.is_lent
            await asyncio.wait_for(lent(seat), timeout=1)
        assert not seat.is_lent
        async with seat.waiting(), seat.waiting():
            await asyncio.wait_for(lent(seat), timeout=1)
        assert not seat.is_lent


async def lent(seat: module.RunSeat) -> None:
    while not seat.is_lent:  # noqa: ASYNC110  (a timer of the loop lends it)
        await asyncio.sleep(0.001)


async def test_runs_that_are_cancelled_leave_every_seat_free() -> None:
    hall, let_go = Hall(Seats(["well"])), asyncio.Event()
    tasks = [asyncio.create_task(hall.hang(f"silent{number}")) for number in range(30)]
    tasks += [asyncio.create_task(hall.work(source, until=let_go)) for source in ("well", "new") * 20]
    await settled(lambda: hall.seated.count("new") == OF_SOURCE and hall.seated.count("well") == OF_SOURCE)
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
    hall.seated.clear()
    async with asyncio.TaskGroup() as group:
        for number in range(SEATS):
            hall.seats.heard(f"well{number}", is_answering=True)
            group.create_task(hall.work(f"well{number}", until=let_go))
        for number in range(OTHER_SEATS):
            group.create_task(hall.work(f"new{number}", until=let_go))
        await settled(lambda: len(hall.seated) == SEATS + OTHER_SEATS)
        let_go.set()


async def test_more_runs_than_may_wait_without_a_seat_keep_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LENT_MOST", 3)
    hall = Hall(Seats())
    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(hall.hang(f"silent{number}"))
        await settled(lambda: len(hall.seated) == 3 + OTHER_SEATS)
        await asyncio.sleep(0)
        assert len(hall.seated) == 3 + OTHER_SEATS
        hall.answers.set()
    assert len(hall.ended) == 50
