"""What is wrong with the service itself and lasts: told once in the log, and shown until it is mended."""

from datetime import datetime

from syncd import log
from syncd.clock import utc_now
from syncd.errors import SyncdError
from syncd.status import Notice


class Notices:
    """The notices of one life of the service, by the event that told of each."""

    def __init__(self) -> None:
        self._standing: dict[str, Notice] = {}

    def put(self, what: str, error: SyncdError, *, at: datetime | None = None) -> None:
        """Show what is wrong, in the place of an earlier notice of the same kind."""
        text, hint = log.mask(str(error)), log.mask(error.hint)
        self._standing[what] = Notice(at=at or utc_now(), what=what, text=text, hint=hint)

    def settle(self, what: str) -> None:
        """Show it no longer; harmless if it was not shown."""
        self._standing.pop(what, None)

    def all(self) -> list[Notice]:
        """Return what stands, oldest first."""
        return list(self._standing.values())
