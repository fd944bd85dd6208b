"""A list that never ends looks like progress: when it is told, and where it is stopped.

Compares what a run has seen with the most that a good run of the stream ever saw. Asks the database once a run at most,
and not before a run is large.
"""

from typing import Final

from syncd import log
from syncd.engine.route import Pass
from syncd.errors import BadPayload
from syncd.storage.state import runs

LOOK_ROWS: Final = 100_000
"""A run that has seen fewer rows is not looked at; our choice."""
TOLD_TIMES: Final = 10
"""So many times the usual number of rows is told."""
MOST_ROWS: Final = 3_000_000
MOST_TIMES: Final = 20
"""A run is stopped at MOST_ROWS, or at so many times the usual number if that is more; `max_records` says otherwise."""

_log: Final = log.get(__name__)


def most_rows(max_records: int | None, usual: int) -> int:
    """Return how many rows a run may see; `usual` is the most that a good one ever saw, 0 for none."""
    return max_records or max(MOST_ROWS, MOST_TIMES * usual)


def is_told(before: int, seen: int, usual: int) -> bool:
    """Say whether the page that brought the rows from `before` to `seen` makes the list remarkably long."""
    return usual > 0 and before < TOLD_TIMES * usual <= seen


class Growth:
    """How the number of rows of one run grows."""

    def __init__(self, max_records: int | None) -> None:
        self._max_records = max_records
        self._usual: int | None = None
        self._before = 0

    async def look(self, work: Pass) -> None:
        """Tell of a list that outgrows what was ever seen. Raises BadPayload where it is stopped.

        What was committed stays, so that a list which really is that long goes on from there.
        """
        before, seen = self._before, work.result.counts.seen
        self._before = seen
        if seen < LOOK_ROWS and (self._max_records is None or seen <= self._max_records):
            return
        route = work.route
        if self._usual is None:
            self._usual = await runs.most_seen(route.database, route.source, route.stream.name)
            before = 0
        if is_told(before, seen, self._usual):
            times = seen // self._usual
            work.upstream.note(f"{seen:,} rows and no end: {times} times as many as the stream ever had")
            _log.warning("list_outgrown", source=route.source, stream=route.stream.name, seen=seen, times=times)
        most = most_rows(self._max_records, self._usual)
        if seen > most:
            raise BadPayload(
                f"the list has no end: it gave {seen:,} rows, and the most that a good run ever saw is {self._usual:,}",
                hint=f"If it really is that long, set max_records for the stream (now {most:,}).",
            )
