"""Frees what only cycles of objects keep alive.

The command line lets Python look for cycles rarely (`YOUNG_OBJECTS` in `syncd.cli`), because pages of rows hold none.
In a service that runs for months a failed request is a cycle: its error holds the frames in which it was raised, and
they hold the answer. Such cycles would stay for hours.
"""

import asyncio
import gc
import time
from typing import Final, NoReturn

EVERY_S: Final = 60.0
SHARE: Final = 0.001
"""The part of the time that may be spent on it."""
PAUSE_S: Final = 0.1
"""After a search that took longer, what it has found alive is not searched again: it is the accounts."""


async def free_cycles() -> NoReturn:
    """Look for cycles every minute, or less often where a look takes long."""
    wait_s = EVERY_S
    while True:
        await asyncio.sleep(wait_s)
        began = time.perf_counter()
        gc.collect()
        took_s = time.perf_counter() - began
        if took_s > PAUSE_S:
            gc.freeze()
        wait_s = max(EVERY_S, took_s / SHARE)
