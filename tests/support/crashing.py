"""`syncd`, but it kills itself at a chosen point: `python -m tests.support.crashing POINT TIMES sync …`.

Wraps one function of syncd or of the driver, counts its calls, and at the given one ends the process by SIGKILL (or
asks itself to stop by SIGTERM first). Nothing is replaced: up to that instant every line that runs is syncd's own.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import asyncpg

from syncd.engine import commit
from syncd.records.parser import Parser
from syncd.storage.mirror import erasure
from syncd.storage.state import runs
from syncd.upstream import account

_calls = 0


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _is_due(at: int) -> bool:
    global _calls  # noqa: PLW0603
    _calls += 1
    return _calls == at


def _before(owner: Any, name: str, at: int, deed: Callable[[], None] = _kill) -> None:
    original = getattr(owner, name)

    def wrapped(*args: Any, **options: Any) -> Any:
        if _is_due(at):
            deed()
        return original(*args, **options)

    setattr(owner, name, wrapped)


def _after(owner: Any, name: str, at: int, deed: Callable[[], None] = _kill) -> None:
    original = getattr(owner, name)

    async def wrapped(*args: Any, **options: Any) -> Any:
        result = await original(*args, **options)
        if _is_due(at):
            deed()
        return result

    setattr(owner, name, wrapped)


def _in_copy(at: int) -> None:
    """Die with half of the rows of a COPY handed over."""
    original = asyncpg.Connection.copy_records_to_table

    def half(records: list[Any]) -> Iterator[Any]:
        for place, record in enumerate(records):
            if place == len(records) // 2:
                _kill()
            yield record

    async def wrapped(conn: Any, table: str, *, records: Iterable[Any], **options: Any) -> Any:
        due = _is_due(at)
        return await original(conn, table, records=half(list(records)) if due else records, **options)

    asyncpg.Connection.copy_records_to_table = wrapped


def _before_merge(at: int) -> None:
    """Die before the statement that lays the changed rows of a page over the stored ones."""
    original = asyncpg.Connection.fetch

    async def wrapped(conn: Any, query: str, *args: Any, **options: Any) -> Any:
        if 'UPDATE "cyclesoftware".' in query and _is_due(at):
            _kill()
        return await original(conn, query, *args, **options)

    asyncpg.Connection.fetch = wrapped


def _in_erasing(at: int) -> None:
    """Die before a statement of a transaction that erases a person."""
    original = erasure.erase

    async def wrapped(conn: Any, *args: Any, **options: Any) -> Any:
        for name in ("execute", "executemany", "fetch", "fetchval"):
            _before(asyncpg.Connection, name, at)
        return await original(conn, *args, **options)

    erasure.erase = wrapped


def _term(at: int) -> None:
    _after(commit, "commit_once", at, lambda: os.kill(os.getpid(), signal.SIGTERM))


def _in_drain(at: int) -> None:
    """Ask for a stop at a page, and die when the run is about to be closed."""
    _term(at)
    original = runs.close_run

    async def wrapped(*args: Any, **options: Any) -> bool:
        _kill()
        return await original(*args, **options)

    runs.close_run = wrapped


def _before_the_commit(at: int) -> None:
    """Die when a page has been added to its run, whichever way."""
    _after(runs, "record_page", at)
    _after(runs, "record_page_if", at)


POINTS: dict[str, Callable[[int], None]] = {
    "before a request": lambda at: _before(account.Account, "send", at),
    "after a response": lambda at: _after(account.Account, "send", at),
    "while parsing": lambda at: _before(Parser, "parse", at),
    "in COPY": _in_copy,
    "before the merge": _before_merge,
    "before the commit": _before_the_commit,
    "after the commit": lambda at: _after(commit, "commit_once", at),
    "in the drain after SIGTERM": _in_drain,
    "SIGTERM": _term,
    "while erasing": _in_erasing,
    "before erasing is committed": lambda at: _after(erasure, "erase", at),
}


if __name__ == "__main__":
    point, times, *words = sys.argv[1:]
    POINTS[point](int(times))
    sys.argv = ["syncd", *words]
    from syncd.cli import main

    main()
