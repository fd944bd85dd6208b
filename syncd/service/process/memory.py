"""Gives memory back that a service which runs for months would else keep.

Two kinds would stay. Cycles of objects: a failed request is one, its error holds the frames in which it was raised, and
they hold the answer; the command line lets Python look for cycles rarely (`YOUNG_OBJECTS` in `syncd.cli.session`),
because pages of rows hold none. And free memory between blocks that are in use: the C library keeps it once it was
filled.
"""

import asyncio
import contextlib
import ctypes
import gc
import time
from typing import Final, NoReturn

EVERY_S: Final = 60.0
SHARE: Final = 0.001
"""The part of the time that may be spent on it."""
PAUSE_S: Final = 0.1
"""After a search that took longer, what it has found alive is not searched again: it is the accounts."""


async def free_memory() -> NoReturn:
    """Free what only cycles keep, and give free memory back: every minute, or less often where that takes long."""
    wait_s = EVERY_S
    while True:
        await asyncio.sleep(wait_s)
        began = time.perf_counter()
        gc.collect()
        searched_s = time.perf_counter() - began
        if searched_s > PAUSE_S:
            gc.freeze()
        await asyncio.to_thread(give_back)  # others have their turn: it takes a tenth of a second for 200 MB
        wait_s = max(EVERY_S, (time.perf_counter() - began) / SHARE)


def settle() -> None:
    """Search what there is now for cycles, and never again: the accounts, before anything is served."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Give the free pages of the heap back to the system; nothing happens where the C library cannot do it."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
