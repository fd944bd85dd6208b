"""What only a cycle keeps alive goes, though Python itself looks for cycles rarely."""

import asyncio
import gc
import weakref

import pytest

from syncd.service.process import cycles


class _Held:
    """Something large in a frame of a failed request."""


async def test_a_failed_request_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cycles, "EVERY_S", 0.0)
    monkeypatch.setattr(cycles, "SHARE", 1_000_000.0)
    gc.disable()
    task = asyncio.create_task(cycles.free_cycles())
    try:
        held = _failed()
        assert held() is not None
        for _ in range(4):  # turns of the loop: the task begins, waits for no time, looks
            await asyncio.sleep(0)
        assert held() is None
    finally:
        gc.enable()
        task.cancel()


def _failed() -> weakref.ref[_Held]:
    held = _Held()
    try:
        raise OSError
    except OSError as error:
        kept = error  # noqa: F841  the error holds this frame, and this frame the error
    return weakref.ref(held)
