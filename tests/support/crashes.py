"""Where runs are killed, and how `syncd` is run in a process that kills itself there."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from syncd.storage.state.runs import stream_lock
from tests.support import forks
from tests.support.bench import Bench, Time


class RealTime(Time):
    """The clock of this machine, which another process reads too."""

    def now(self) -> datetime:
        return datetime.now(UTC)


async def killed(
    bench: Bench, point: str, times: int, *words: str, stream: str = "customers", kind: str = "live"
) -> int:
    """Run `syncd` in a process that kills itself at a point; return its exit code once the server has noticed.

    `stream` and `kind` name the run whose lock the server then gives back. The stream is on, whatever its default.
    """
    path, header = bench.config_file(), f"[sources.shop.streams.{stream}]\n"
    path.write_text(path.read_text().replace(header, f"{header}enabled = true\n"))
    process = await forks.start(point, str(times), *words, "--config", str(path), module="tests.support.crashing")
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    if process.returncode >= 0:
        assert b"Traceback" not in errors, errors.decode()
    async with bench.db.connection() as conn:  # the dead process's lock goes when its connection does
        number = stream_lock("shop", stream, kind)
        await conn.execute("SELECT pg_advisory_lock(syncd.lock_key($1))", number)
        await conn.execute("SELECT pg_advisory_unlock(syncd.lock_key($1))", number)
    return process.returncode


@dataclass(frozen=True)
class Crash:
    """A point, at which of its calls, and how many customers are then committed."""

    point: str
    times: int
    pages: int


CRASHES = [
    Crash("before a request", 1, 0),
    Crash("before a request", 4, 2),
    Crash("after a response", 4, 2),
    Crash("while parsing", 15, 1),
    Crash("in COPY", 2, 3),
    Crash("before the merge", 2, 1),
    Crash("before the commit", 4, 3),
    Crash("after the commit", 4, 4),
    Crash("in the drain after SIGTERM", 2, 2),
]


@dataclass(frozen=True, kw_only=True)
class Paging:
    """A way of paging: a stream that is walked so, where its first load is killed, and a fault that forces the way."""

    way: str
    stream: str
    points: Sequence[tuple[str, int]]
    fault: str = ""


PAGINGS = (
    Paging(
        way="tokens, and children of three tables", stream="articles",
        points=[("in COPY", 2), ("before the commit", 2), ("after the commit", 1), ("in COPY", 4)],
    ),
    Paging(
        way="links by offset", stream="warehouse_stock_items",
        points=[("after a response", 2), ("before the commit", 2), ("in the drain after SIGTERM", 1)],
    ),
    Paging(
        way="numbers of pages", stream="warehouse_open_order_items",
        points=[("before a request", 2), ("in COPY", 2), ("after the commit", 2)],
    ),
    Paging(
        way="windows of half the width, each by tokens", stream="sales_transactions", fault="range-refused",
        points=[("after a response", 3), ("before the commit", 3), ("after the commit", 2), ("in COPY", 3)],
    ),
    Paging(
        way="offsets and links", stream="repair_objects",
        points=[("after a response", 2), ("before the commit", 2), ("after the commit", 2)],
    ),
)  # fmt: skip
