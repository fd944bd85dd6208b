"""One attempt at a run: what keeps a run from opening becomes a value, and is told once."""

from collections.abc import Callable
from enum import Enum, auto

from syncd import log
from syncd.engine.order import Order, Result
from syncd.engine.syncer import Syncer
from syncd.errors import DatabaseError, DatabaseUnavailable, LockHeld, RunFenced
from syncd.log import counters
from syncd.status import Pair

_log = log.get(__name__)


class NotRun(Enum):
    """Why an attempt has no result that says anything of the stream."""

    LOCKED = auto()
    """Another process runs the stream."""
    FENCED = auto()
    """Another process took the run over; `run_finished` tells of it."""
    DATABASE_AWAY = auto()


class Attempts:
    """Runs streams by the syncer; `on_outage` hears that the database is away."""

    def __init__(self, syncer: Syncer, on_outage: Callable[[DatabaseUnavailable], None]) -> None:
        self._syncer = syncer
        self._on_outage = on_outage
        self._locked_out: set[Pair] = set()

    async def attempt(self, pair: Pair, order: Order) -> Result | NotRun:
        """Run a stream once. A database that refuses to open the run makes a failed run of it."""
        try:
            result = await self._syncer.run(*pair, order)
        except LockHeld as error:
            self._note_locked(pair, order, error)
            return NotRun.LOCKED
        except RunFenced:
            return NotRun.FENCED
        except DatabaseUnavailable as error:
            self._on_outage(error)
            return NotRun.DATABASE_AWAY
        except DatabaseError as error:
            kind = order.kind
            _log.warning("run_refused", source=pair[0], stream=pair[1], kind=kind, error=str(error), hint=error.hint)
            result = Result(*pair, kind, outcome="failed", error=error)
        self._locked_out.discard(pair)
        return result

    def _note_locked(self, pair: Pair, order: Order, error: LockHeld) -> None:
        """Tell once that another process holds a stream, however long it does."""
        counters.skipped[pair] += 1
        if pair not in self._locked_out:
            self._locked_out.add(pair)
            _log.info("run_skipped", source=pair[0], stream=pair[1], kind=order.kind, reason=str(error))
