"""A service gives memory back: what only a cycle keeps alive, and what lies free between blocks that are in use."""

import asyncio
import contextlib
import gc
import platform
import resource
import weakref
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from syncd.service.process import memory

BLOCK, BLOCKS = 8_000, 8_000


class _Held:
    """Something large in a frame of a failed request."""


@contextlib.asynccontextmanager
async def freeing(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Free memory without a wait, again and again; inside, cycles were searched at least once."""
    monkeypatch.setattr(memory, "EVERY_S", 0.0)
    monkeypatch.setattr(memory, "SHARE", 1_000_000.0)
    task = asyncio.create_task(memory.free_memory())
    try:
        for _ in range(4):  # turns of the loop: the task begins, waits for no time, looks
            await asyncio.sleep(0)
        yield
    finally:
        task.cancel()


async def test_a_failed_request_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    gc.disable()
    try:
        held = _failed()
        assert held() is not None
        async with freeing(monkeypatch):
            assert held() is None
    finally:
        gc.enable()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to give memory back")
async def test_free_memory_between_what_is_kept_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [bytes(BLOCK) for _ in range(BLOCKS)]
    kept = blocks[::100] + blocks[-1:]
    blocks.clear()
    before = _resident_bytes()
    async with freeing(monkeypatch), asyncio.timeout(60):  # a thread gives it back
        while _resident_bytes() >= before - BLOCK * BLOCKS / 2:  # noqa: ASYNC110  (it sets no event)
            await asyncio.sleep(0)
    assert len(kept) > BLOCKS // 100


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _failed() -> weakref.ref[_Held]:
    held = _Held()
    try:
        raise OSError
    except OSError as error:
        kept = error  # noqa: F841  the error holds this frame, and this frame the error
    return weakref.ref(held)
