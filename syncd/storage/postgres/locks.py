"""Advisory locks: their numbers, and the one connection that holds those of this process.

A lock lasts as long as the connection that took it. A process whose connection was lost has lost its locks, too, and
is not told; runs are therefore fenced by their row in `syncd.runs` as well.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any

import asyncpg
import msgspec

from syncd.storage.postgres import driver

_SEPARATOR = "\x1f"
KEY = "syncd.lock_key({})"
"""The number under which a lock is taken: made with a secret of the database, so that only its owner can name it."""
TRY_LOCK = f"SELECT pg_try_advisory_lock({KEY.format('$1')}) AS taken"
_UNLOCK = f"SELECT pg_advisory_unlock({KEY.format('$1')})"


def lock_number(*words: str) -> int:
    """Return the number of the advisory lock for these words: the same in every process and every version."""
    digest = hashlib.blake2b(_SEPARATOR.join(words).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


_HELD = """
WITH held AS (
  SELECT a.pid, a.usename AS role, a.application_name AS program,
         a.usename IS DISTINCT FROM current_user AS is_stranger, (l.classid::bigint << 32) | l.objid::bigint AS key
  FROM pg_locks l JOIN pg_stat_activity a USING (pid)
  WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.database = a.datid
    AND a.datname = current_database())
"""
_HOLDER = _HELD + "SELECT pid, role, program, is_stranger FROM held WHERE key = {} LIMIT 1"
_STRANGERS = f"""{_HELD}
SELECT number, pid, role, program, is_stranger
FROM held JOIN unnest($1::bigint[]) WITH ORDINALITY AS ours(number, place) ON key = {KEY.format("number")}
WHERE is_stranger ORDER BY place
"""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A session of PostgreSQL that holds an advisory lock; `is_stranger` says that its role is not ours."""

    pid: int
    role: str
    program: str
    is_stranger: bool

    @property
    def words(self) -> str:
        """Who it is."""
        program = f", {self.program}" if self.program else ""
        return f"role {self.role} (session {self.pid} of PostgreSQL{program})"

    @property
    def hint(self) -> str:
        """How to make it let go."""
        return f"If it is none of yours: SELECT pg_terminate_backend({self.pid}); and see deploy/roles.sql."


async def holder(conn: asyncpg.Connection, number: int, *, is_plain: bool = False) -> Holder | None:
    """Return who holds an advisory lock, None if nobody does; a plain number is not made with the secret."""
    row = await conn.fetchrow(_HOLDER.format("$1::bigint" if is_plain else KEY.format("$1")), number)
    return Holder(**row) if row else None


async def strangers(conn: asyncpg.Connection, numbers: Collection[int]) -> list[tuple[int, Holder]]:
    """Return which of these locks others than our role hold, in the order of the numbers, and who it is."""
    rows = await conn.fetch(_STRANGERS, list(numbers))
    names = Holder.__struct_fields__
    return [(row["number"], Holder(**{name: row[name] for name in names})) for row in rows]


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await work that must not stop half-way: a cancellation meanwhile is raised once the work is done."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


class Locks:
    """The advisory locks that this process holds, all on one connection; `open_session` gives that connection."""

    def __init__(self, open_session: Callable[[], Awaitable[asyncpg.Connection]]) -> None:
        self._open_session = open_session
        self._conn: asyncpg.Connection | None = None
        self._gate = asyncio.Lock()
        self._held: set[int] = set()

    @property
    def are_held(self) -> bool:
        """Whether this process holds any lock."""
        return bool(self._held)

    async def try_take(self, number: int, query: str = TRY_LOCK, *values: Any) -> asyncpg.Record | None:
        """Take a lock; None if somebody (maybe this process itself) holds it.

        `query` takes the lock, whose number is its first parameter, says in `taken` whether it did, and may do more in
        the same statement; its row is returned. A caller that is cancelled meanwhile leaves no lock behind.
        """
        row: asyncpg.Record | None = None

        async def take() -> None:
            nonlocal row
            row = await self._take_unless_held(query, number, *values)

        try:
            await to_the_end(take())
        except asyncio.CancelledError:
            if row:
                await self.give_back(number)
            raise
        return row

    async def _take_unless_held(self, query: str, number: int, *values: Any) -> asyncpg.Record | None:
        async with self._gate:
            if number in self._held:
                return None
            try:
                row = await self._take(query, number, *values)
            except driver.LOST:  # the server was restarted since; the next connection is a new one
                self.drop()
                row = await self._take(query, number, *values)
            if row["taken"]:
                self._held.add(number)
                return row
            return None

    async def _take(self, query: str, number: int, *values: Any) -> asyncpg.Record:
        if self._conn is None or self._conn.is_closed():
            self.drop()
            self._conn = await self._open_session()
        conn = self._conn  # meanwhile somebody may drop it
        try:
            row: asyncpg.Record = await conn.fetchrow(query, number, *values)
        except asyncpg.PostgresError:
            with contextlib.suppress(*driver.LOST):  # a statement that fails keeps the lock that it took
                await conn.execute(_UNLOCK, number)
            raise
        return row

    async def give_back(self, number: int) -> None:
        """Give a lock back; harmless if the connection that held it is gone, because the lock is free then."""
        async with self._gate:
            self._held.discard(number)
            if self._conn and not self._conn.is_closed():
                with contextlib.suppress(*driver.LOST):
                    await self._conn.execute(_UNLOCK, number)

    def drop(self) -> None:
        """End the connection at once, and with it every lock."""
        conn, self._conn = self._conn, None
        self._held.clear()
        if conn:
            conn.terminate()

    async def close(self) -> None:
        """End the connection in good order, and with it every lock."""
        if self._conn:
            await self._conn.close()
        self.drop()
