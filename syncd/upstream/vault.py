"""What an upstream hands out to one account and what must outlive the process: stored before it is used.

Owns the order of things: one process at a time exchanges the secret of an account; that it can be stored is tried
before it is sent; what came in exchange is stored before the login goes on. How to log in comes from the source.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from syncd import log
from syncd.clock import Clock, Sleep
from syncd.contract import Answer, Send
from syncd.contract.options import Secret
from syncd.errors import DatabaseError, Unreachable
from syncd.storage.postgres.database import Database
from syncd.storage.postgres.locks import lock_number
from syncd.storage.state import kept

POLL_S: Final = 0.5
"""Between two looks whether another process has logged in; our choice."""
PATIENCE_S: Final = 120.0
"""A login of another process is waited for so long: it may be tried again by it several times."""
STORE_TRIES: Final = 5
STORE_WAIT_S: Final = 1.0
"""Wait before storing is tried again, doubled each time: what was handed out exists nowhere else."""


class Vault:
    """What is kept for one account, for all processes that share the database."""

    def __init__(self, database: Database, source: str, *, clock: Clock, sleep: Sleep) -> None:
        self._database = database
        self._source = source
        self._clock = clock
        self._sleep = sleep
        self._lock = lock_number("login", source)
        self._unstored: tuple[str, str] | None = None

    @contextlib.asynccontextmanager
    async def opened(self, send: Send) -> AsyncIterator[Send]:
        """Give a login its way to send and to keep; it holds the account's lock from its first look until the end."""
        login = _Login(self, send)
        try:
            yield login
        finally:
            if login.is_locked:
                await self._database.unlock(self._lock)

    async def lock(self) -> None:
        """Wait until no other process logs in. Raises Unreachable if that takes too long."""
        waited_s = 0.0
        while await self._database.try_lock(self._lock) is None:
            if waited_s >= PATIENCE_S:
                raise Unreachable(f"another process has been logging in to {self._source} for {PATIENCE_S:.0f} s")
            await self._sleep(POLL_S)
            waited_s += POLL_S

    async def newest(self, first: str) -> str:
        """Return what is to be used now, after it was shown that its successor can be stored."""
        async with self._database.connection() as conn:
            sealed = await kept.read(conn, self._source)
        held = await asyncio.to_thread(kept.unseal, first, sealed) if sealed else None
        if self._unstored and self._unstored[0] == first:
            held = self._unstored[1]
        newest = held or first
        self.protect(newest)
        await self._write(first, newest)
        return newest

    async def store(self, first: str, secret: str) -> None:
        """Store durably. Raises DatabaseError after some tries; this process then remembers it for its next login."""
        self.protect(secret)
        self._unstored = (first, secret)
        for attempt in range(STORE_TRIES - 1):
            with contextlib.suppress(DatabaseError):
                await self._write(first, secret)
                return
            await self._sleep(STORE_WAIT_S * 2.0**attempt)
        await self._write(first, secret)

    async def _write(self, first: str, secret: str) -> None:
        sealed = await asyncio.to_thread(kept.seal, first, secret)
        async with self._database.transaction() as conn:
            await kept.store(conn, self._source, sealed, now=self._clock())
        if self._unstored == (first, secret):
            self._unstored = None

    def protect(self, secret: str) -> None:
        """Let the log mask it."""
        log.protect_held(secret, self, "kept secret")


class _Login:
    """What one login is given: a `Send` that is a `Keeper`, too."""

    def __init__(self, vault: Vault, send: Send) -> None:
        self._vault = vault
        self._send = send
        self.is_locked = False

    async def __call__(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, json: Any = None
    ) -> Answer:
        return await self._send(method, path, headers=headers or {}, json=json)

    async def kept(self, first: Secret) -> str:
        if not self.is_locked:
            await self._vault.lock()
            self.is_locked = True
        return await self._vault.newest(first.reveal())

    async def keep(self, first: Secret, secret: str) -> None:
        if not self.is_locked:
            raise AssertionError("keep comes after kept, in the same login: only then nobody else exchanges the secret")
        await self._vault.store(first.reveal(), secret)
