"""The backfills that this process walks, because the service was asked for them: those of its sources, one of each.

One of each source, because all of a source share its budget. They have seats of their own, so that no live run waits
for one. Knows no worker: what it may walk, `holds` says.
"""

from collections.abc import Callable

from syncd import log
from syncd.engine.order import Order, Result
from syncd.engine.syncer import Syncer
from syncd.errors import DatabaseError
from syncd.service.timetable.attempts import Attempts
from syncd.service.timetable.seats import Seats
from syncd.service.timetable.tasks import Tasks, Work
from syncd.status import Pair
from syncd.storage.state import backfills
from syncd.storage.state.backfills import Part

_log = log.get(__name__)


class Backfills:
    """The parts under way; `may_begin` says whether a run of a stream may start now."""

    def __init__(self, syncer: Syncer, attempts: Attempts, *, may_begin: Callable[[Pair], bool]) -> None:
        self._syncer, self._attempts, self._may_begin = syncer, attempts, may_begin
        self._seats = Seats()
        self._tasks = Tasks(self._work)
        self._parts: dict[Pair, Part] = {}
        self.drain = self._tasks.drain

    async def look(self) -> None:
        """Begin what is asked for and may begin, and end at a page what was withdrawn. Raises DatabaseError.

        An earlier part of a stream that is asked for meanwhile goes first; the one under way is walked on after it.
        """
        async with self._syncer.database.connection() as conn:
            asked = await backfills.unfinished(conn)
        numbers = {part.part_id for part in asked}
        for pair, part in self._parts.items():
            if part.part_id not in numbers:
                self._tasks.stop(pair)
        for part in asked:
            if not self._tasks.any_of(part.source) and self._may_begin(part.pair):
                self._parts[part.pair] = part
                self._tasks.begin(part.pair)

    async def _work(self, pair: Pair, work: Work) -> None:
        part = self._parts[pair]
        try:
            async with self._seats.taken(pair[0]) as work.seat:
                work.is_seated = True
                await self._walk(part, work)
        except DatabaseError:
            pass  # the part is still asked for, and the timetable tells of the outage
        except Exception:  # noqa: BLE001  a bug of ours must not end the service, and must be told
            _log.exception("run_crashed", source=pair[0], stream=pair[1])
        finally:
            self._parts.pop(pair, None)
            self._tasks.ended(pair, work)

    async def _walk(self, part: Part, work: Work) -> None:
        """Walk a part, and note how it ended; one that was stopped at a page is still asked for."""
        order = Order(kind="backfill", since=part.since, until=part.until, stop=work.stop, seat=work.seat)
        async with self._syncer.database.connection() as conn:
            stands = await backfills.stands(conn, *part.pair, order.cursor_kind)
        outcome, error = "ok", None
        if stands.walked != "wholly":
            match await self._attempts.attempt(part.pair, order):
                case Result(outcome="ok" | "failed" | "throttled") as result:
                    outcome, error = result.outcome, str(result.error) if result.error else None
                case _:
                    return
        async with self._syncer.database.connection() as conn:
            await backfills.end(conn, part, outcome, error)
