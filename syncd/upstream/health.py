"""Whether a source answers: tells the log once of an outage, of a stream or an account that is refused, and of its end.

Decides nothing about requests or schedules; a run only asks `is_failing`.
"""

from datetime import datetime

from syncd import log
from syncd.clock import Clock
from syncd.errors import AnotherAccount, BadCredentials, ScopeMissing, Unreachable
from syncd.upstream.faults import OUTAGES

_log = log.get(__name__)


class Health:
    """How the last runs of one source's streams ended, as this process saw them."""

    def __init__(self, source: str, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._down_since: datetime | None = None
        self._failing: set[str] = set()
        self._paused: set[str] = set()
        self._is_refused = False

    def is_failing(self, stream: str) -> bool:
        """Say whether the last run of a stream failed for a reason that lasts."""
        return stream in self._failing or stream in self._paused

    def run_ended(self, stream: str, error: Exception | None) -> None:
        """Note how a run ended. An outage is over when every stream that failed gets its answers again."""
        if isinstance(error, AnotherAccount):
            self._note_refusal(error)
            return
        self._is_refused = False
        if isinstance(error, OUTAGES):
            self._note_outage(stream, error)
            return
        self._failing.discard(stream)
        self._note_recovery()
        if isinstance(error, ScopeMissing):
            self._note_pause(stream, error)
        elif stream in self._paused:
            self._paused.remove(stream)
            _log.info("stream_resumed", source=self._source, stream=stream)

    def _note_refusal(self, error: AnotherAccount) -> None:
        if not self._is_refused:
            self._is_refused = True
            _log.warning("account_refused", source=self._source, error=str(error), hint=error.hint)

    def _note_outage(self, stream: str, error: Unreachable | BadCredentials) -> None:
        self._failing.add(stream)
        if self._down_since is None:
            self._down_since = self._clock()
            _log.warning("source_failing", source=self._source, error=str(error), hint=error.hint)

    def _note_recovery(self) -> None:
        if self._down_since and not self._failing:
            down_s = (self._clock() - self._down_since).total_seconds()
            _log.info("source_recovered", source=self._source, down_s=round(down_s, 1))
            self._down_since = None

    def _note_pause(self, stream: str, error: ScopeMissing) -> None:
        if stream not in self._paused:
            self._paused.add(stream)
            _log.warning("stream_paused", source=self._source, stream=stream, error=str(error), hint=error.hint)
