"""What keeps runs from starting, and which streams wait for the end of it."""

import contextlib
from collections.abc import Collection, Iterator
from enum import Enum, auto

from syncd.status import Pair


class Door(Enum):
    """Whether runs may start."""

    OPEN = auto()
    PAUSED = auto()
    """The database is away: what falls due is remembered."""
    CLOSED = auto()
    """The service ends, or the source is being configured anew: nothing is remembered."""


class Gate:
    """The door of this process and of each source.

    missed  streams that fell due, or could not go on, while the database was away
    held    streams that wait for their source, which is down
    paused  streams that an operator paused; what falls due of them is not remembered
    """

    def __init__(self) -> None:
        self.missed: set[Pair] = set()
        self.paused: frozenset[Pair] = frozenset()
        self.held: set[Pair] = set()
        self._door = Door.OPEN
        self._closed_sources: set[str] = set()

    @property
    def is_closed(self) -> bool:
        """Whether the service ends."""
        return self._door is Door.CLOSED

    def of(self, source: str) -> Door:
        """Return the door that a run of a source meets."""
        return Door.CLOSED if source in self._closed_sources else self._door

    def pause(self) -> None:
        """Hold runs back until `resume`."""
        if not self.is_closed:
            self._door = Door.PAUSED

    def resume(self) -> set[Pair]:
        """Let runs start again; return what was missed."""
        if not self.is_closed:
            self._door = Door.OPEN
        missed, self.missed = self.missed, set()
        return missed

    def close(self) -> None:
        """Let nothing start any more."""
        self._door = Door.CLOSED

    def let_go(self, source: str) -> list[Pair]:
        """Return the streams that waited for a source, which is no longer down."""
        free = [pair for pair in self.held if pair[0] == source]
        self.held.difference_update(free)
        return free

    @contextlib.contextmanager
    def closing(self, sources: Collection[str]) -> Iterator[None]:
        """Let no run of these sources start meanwhile."""
        self._closed_sources.update(sources)
        try:
            yield
        finally:
            self._closed_sources.difference_update(sources)
