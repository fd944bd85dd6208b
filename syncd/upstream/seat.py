"""What a run holds while it works, and gives back while it waits for somebody else: one of few seats of the process.

The daemon hands them out (`service/timetable/seats.py`). A command has as many as it has runs.
"""

import contextlib
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol


class Seat(Protocol):
    """The seat of one run, which knows whether the run waits."""

    @property
    def is_lent(self) -> bool:
        """Whether the run waits, and others use its seat."""

    def waiting(self, *, at_once: bool = False) -> AbstractAsyncContextManager[None]:
        """Give the seat back if the block takes long, and take one again before what follows it.

        A block may contain another one, and several may be under way. `at_once` lends the seat without a delay if the
        run holds nothing in memory yet: its source has not answered it. A block that ends with an error ends without
        one, too, but may leave the run without a seat if it is cancelled.
        """

    def heard(self, *, is_answering: bool) -> None:
        """Hear whether the source answered a request: sources that do have seats of their own."""


class OwnSeat:
    """The seat of a run that competes with no other for it."""

    is_lent = False

    def waiting(self, *, at_once: bool = False) -> AbstractAsyncContextManager[None]:
        """Wait."""
        return contextlib.nullcontext()

    def heard(self, *, is_answering: bool) -> None:
        """Do nothing."""


OWN_SEAT: Final = OwnSeat()
