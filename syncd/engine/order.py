"""What a run is asked to do, and how it ended: plain values, which this room hands to commands and to the daemon.

Never decides and never does anything.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from syncd.contract import Lane, RunKind
from syncd.errors import ScopeMissing, SyncdError
from syncd.records.rows import Key
from syncd.storage.state.runs import Counts, Spent
from syncd.upstream.seat import OWN_SEAT, Seat


@dataclass(slots=True)
class Result:
    """How a run ended; while the run is under way, how far it is."""

    source: str
    stream: str
    kind: RunKind
    outcome: str = "running"
    error: SyncdError | None = None
    counts: Counts = field(default_factory=Counts)
    spent: Spent = field(default_factory=lambda: Spent(0, 0.0))
    pages: int = 0
    expected: int | None = None

    @property
    def name(self) -> str:
        """The selector of the stream."""
        return f"{self.source}.{self.stream}"

    @property
    def is_paused(self) -> bool:
        """Whether the account lacks the scope of the stream, which is then paused; nothing failed."""
        return isinstance(self.error, ScopeMissing)


Progress = Callable[[Result], None]


@dataclass(kw_only=True)
class Order:
    """What a run is asked to do beyond its stream: kind, range, keys or records, mass burials, its stop.

    `whole` asks for everything there is, though a run on schedule may ask for a part only. `stop` ends the run at the
    next page boundary; `progress` hears of every committed page; the `seat` is given back while the run waits.
    """

    kind: RunKind = "live"
    since: datetime | None = None
    until: datetime | None = None
    named: Sequence[Key] = ()
    pushed: Sequence[bytes] = ()
    accept_deletions: bool = False
    whole: bool = False
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    progress: Progress = lambda _result: None
    seat: Seat = OWN_SEAT

    @property
    def lane(self) -> Lane:
        """The lane whose patience the run has: only a backfill waits for tomorrow's budget."""
        return "backfill" if self.kind == "backfill" else "live"

    @property
    def cursor_kind(self) -> str:
        """The cursor's kind: a backfill has one for each range, so that the same order resumes it."""
        if self.kind != "backfill":
            return self.kind
        until = self.until.isoformat() if self.until else ""
        return f"backfill {self.since.isoformat() if self.since else ''}..{until}"
