"""Lists that move while they are walked, and walks that are cut short."""

import asyncio
import contextlib
import random
from typing import Any, Final

from syncd.sandbox.answer import Ask
from syncd.testing.rig import Rig, listed, require

MOVES: Final = ("delete first", "delete last", "insert first", "insert last", "change first", "change last", "nothing")


async def walk(rig: Rig, stream: str, seed: int) -> None:
    """Move rows after each request of a live first run and of a sweep, as the seed says; then judge what was missed."""
    dice = random.Random(seed)  # noqa: S311  (no secret)
    sweeps = rig.source.stream(stream).sweep_s is not None
    for kind in ("live", "sweep") if sweeps else ("live", "live"):
        there = set(rig.keys(stream))
        touched: set[Any] = set()

        def move(ask: Ask, *, touched: set[Any] = touched) -> None:
            if ask.stream == stream:
                rig.time.pass_by(seconds=1)
                _move(rig, stream, dice.choice(MOVES), touched)

        rig.heard.append(move)
        result = await rig.run(stream, kind)
        rig.heard.remove(move)
        require(result.outcome in ("ok", "failed"), f"a {kind} run is {result.outcome}: {result.error!r}")
        buried = await rig.wrongly_buried(stream)
        require(not buried, f"rows were buried while the list moved:{listed(buried)}")
        if result.outcome == "ok":
            names = {str(key) for key in there - touched if key in rig.keys(stream)}
            found = [told for told in await rig.differences(stream, deletions=False) if _names(told) in names]
            require(not found, f"rows that stayed were missed while the list moved ({kind}):{listed(found)}")
        rig.time.pass_by(minutes=20)
        await rig.clean(stream)
        await rig.require_equal(stream, f"after a {kind} run of a list that moved", deletions=False)
    await rig.clean(stream, "sweep" if sweeps else "live")
    await rig.require_equal(stream, "after the list has come to rest")


def _names(told: str) -> str:
    """Return the key of which a difference tells, where it has one part."""
    return told.partition("('")[2].partition("'")[0]


def _move(rig: Rig, stream: str, move: str, touched: set[Any]) -> None:
    keys, api = rig.keys(stream), rig.source.type
    what, _, where = move.partition(" ")
    if not keys or (stream in rig.fixed and what != "change"):
        return
    key = keys[0 if where == "first" else -1]
    if what == "delete" and len(keys) > 5:
        touched.add(key)
        rig.sandbox.delete(api, stream, key)
    elif what == "insert":
        fresh = rig.sandbox.world.fresh(api, stream)
        touched.add(rig.sandbox.world.put(api, stream, fresh, first=where == "first"))
    elif what == "change":
        touched.add(key)
        rig.sandbox.world.change(api, stream, key)


async def cut(rig: Rig, stream: str, *, most: int) -> None:
    """Cut a first run, and then live runs, at each of their requests; what they leave must be made good."""
    sweeps = rig.source.stream(stream).sweep_s is not None
    for number in range(1, most + 1):
        rig.change(stream, records=9)
        rig.time.pass_by(minutes=20)
        if not await _cut_at(rig, stream, number, kills=number % 2 == 0):
            break
        buried = await rig.wrongly_buried(stream)
        require(not buried, f"rows were buried by a run that was cut at request {number}:{listed(buried)}")
        rig.change(stream, records=3)  # also what lies behind the place to go on from
        rig.delete(stream, place=0)
        rig.time.pass_by(minutes=20)
        await rig.clean(stream)
        await rig.clean(stream)
        await rig.require_equal(stream, f"after a run that was cut at request {number}", deletions=not sweeps)
    if sweeps:
        await _cut_sweep(rig, stream)
    await rig.clean(stream, "sweep" if sweeps else "live")
    await rig.require_equal(stream, "after runs that were cut short")


async def _cut_sweep(rig: Rig, stream: str) -> None:
    """Cut a sweep at its last request: so few rows are missing then that no breaker would notice."""
    before = len(rig.requests())
    await rig.clean(stream, "sweep")
    asked = sum(1 for entry in rig.requests()[before:] if entry.stream == stream)
    if asked < 2:
        return
    hits = rig.sandbox.faults.hits("error-500")
    rig.sandbox.faults.add("error-500", api=rig.source.type, stream=stream, after=asked - 1)
    result = await rig.run(stream, "sweep")
    rig.sandbox.faults.clear()
    buried = await rig.wrongly_buried(stream)
    require(not buried, f"rows were buried by a sweep that was cut at its last request:{listed(buried)}")
    if rig.sandbox.faults.hits("error-500") > hits:
        require(result.outcome != "ok", "a sweep that was cut at its last request says that it is ok")


async def _cut_at(rig: Rig, stream: str, number: int, *, kills: bool) -> bool:
    """Run, and end the run at one of its requests: by an error that lasts, or by cancelling it. False: it had fewer."""
    asked = 0
    await rig.fetch("DELETE FROM syncd.cursors WHERE stream = $1", stream)
    if not kills:
        before = rig.sandbox.faults.hits("error-500")
        rig.sandbox.faults.add("error-500", api=rig.source.type, stream=stream, after=number - 1)
        await rig.run(stream)
        rig.sandbox.faults.clear()
        return rig.sandbox.faults.hits("error-500") > before
    running = asyncio.ensure_future(rig.run(stream))

    def kill(ask: Ask) -> None:
        nonlocal asked
        asked += ask.stream == stream
        if asked == number:
            running.cancel()

    rig.heard.append(kill)
    with contextlib.suppress(asyncio.CancelledError):
        await running
    rig.heard.remove(kill)
    return asked >= number
