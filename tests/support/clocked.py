"""syncd in a process whose wall clock a test moves: `python -m tests.support.clocked FILE WORD…`.

FILE holds by how many seconds the clock is wrong, and is read at each look. The monotonic clock stays right, as it does
where somebody sets the clock of a machine.
"""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import apscheduler.schedulers.base

from syncd import clock

right_time: Callable[[], float] = time.time


def wrong_by(path: Path) -> timedelta:
    return timedelta(seconds=float(path.read_text() or 0))


def main(path: Path, words: list[str]) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + wrong_by(path)

    clock.utc_now = lambda: Wrong.now(UTC)
    time.time = lambda: right_time() + wrong_by(path).total_seconds()
    apscheduler.schedulers.base.datetime = Wrong
    sys.argv = ["syncd", *words]
    from syncd.cli import main as run

    run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
