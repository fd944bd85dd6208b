"""What signed calls lead to: checked, known again if they are repeated, stored where nothing else brings a record.

Owns the order of these. A hint is passed on once; what is stored is committed before the caller is answered.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from syncd.config import SourceConfig
from syncd.contract import Told, Webhooks
from syncd.contract.options import WEBHOOK_ACCOUNTS, WEBHOOK_HASH, WEBHOOK_SECRET, WEBHOOK_SIGNATURE
from syncd.errors import SyncdError
from syncd.records.rows import Key
from syncd.service.callbacks import signature
from syncd.service.callbacks.refusal import RefusedError
from syncd.status import Pair
from syncd.storage.postgres.database import Database
from syncd.storage.state import webhooks as taken

ACCOUNTS_S: Final = 60.0
"""Which accounts are a source's own is read again after this: a first sync may just have told."""
RECENT: Final = 10_000
"""Numbers of calls that are known without asking the database; a flood of repetitions is mostly of these."""
BEST_FIRST: Final = ("accepted", "repeated", "left to poll", "ignored")
"""A call that names several streams is counted by the best that became of it."""


class Deliveries:
    """The signed calls of all sources; `hear` passes hints on, `push` stores, `values` reads a column of the mirror."""

    def __init__(
        self,
        *,
        hear: Callable[[Pair, Key | None], str],
        push: Callable[[Pair, Sequence[bytes]], Awaitable[None]],
        values: Callable[[Pair, str], Awaitable[list[Any]]],
        database: Callable[[], Database],
        clock: Callable[[], datetime],
    ) -> None:
        self._hear, self._push, self._values = hear, push, values
        self._database, self._clock = database, clock
        self._recent: dict[tuple[str, str], None] = {}
        self._accounts: dict[str, tuple[float, frozenset[int]]] = {}

    async def take(self, settings: SourceConfig, webhooks: Webhooks, headers: Callable[[str], str], body: bytes) -> str:
        """Take a call and return in words what became of it.

        Raises RefusedError for a wrong signature or if it cannot be stored now, BadPayload for a body of another form,
        DatabaseError if the database is away.
        """
        is_signed = WEBHOOK_SIGNATURE.of(settings.options) == "body"
        if is_signed:
            _require_signature(settings, webhooks, headers(webhooks.signature), body)
        told = webhooks.told(body)
        own = await self._own_accounts(settings, webhooks)
        if own and told.account is not None and told.account not in own:
            return "ignored: another account"
        if told.is_empty:
            return "ignored: unknown event"
        if told.records and not is_signed:
            return "ignored: not signed"
        return await self._take_once(settings.name, told)

    async def _take_once(self, source: str, told: Told) -> str:
        """Do what a call asks for, unless one of the same number was taken before."""
        number = (source, told.delivery)
        if number in self._recent:
            return "repeated"
        if told.records:
            if await taken.is_taken(self._database(), *number):
                return "repeated"
            await self._store(source, told)
        is_new = await taken.take(self._database(), *number, at=self._clock())
        self._remember(number)
        if not is_new:
            return "repeated"
        became = {self._hear((source, hint.stream), hint.key) for hint in told.hints}
        return "stored" if told.records else next((word for word in BEST_FIRST if word in became), "ignored")

    async def _store(self, source: str, told: Told) -> None:
        """Commit the records that a call brings; one that was stored twice is the same row."""
        try:
            for stream, records in told.records.items():
                await self._push((source, stream), records)
        except SyncdError:  # the run's own line in the log says why
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "not stored") from None

    def _remember(self, number: tuple[str, str]) -> None:
        self._recent[number] = None
        while len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]

    async def _own_accounts(self, settings: SourceConfig, webhooks: Webhooks) -> frozenset[int]:
        """Return the numbers of the source's own accounts; empty while they are not known."""
        if configured := WEBHOOK_ACCOUNTS.of(settings.options):
            return frozenset(configured)
        read_at, own = self._accounts.get(settings.name, (float("-inf"), frozenset[int]()))
        if time.monotonic() - read_at < ACCOUNTS_S and own:
            return own
        found: set[int] = set()
        for place in webhooks.accounts:
            if place.stream in settings.streams:
                values = await self._values((settings.name, place.stream), place.column)
                found.update(number for value in values if (number := place.number(value)) is not None)
        self._accounts[settings.name] = time.monotonic(), frozenset(found)
        return frozenset(found)


def _require_signature(settings: SourceConfig, webhooks: Webhooks, given: str, body: bytes) -> None:
    secret = WEBHOOK_SECRET.of(settings.options)
    if secret is None:
        raise AssertionError(f"{settings.name} is listened for without a webhook_secret")
    key, name = secret.reveal().encode("utf-8", "surrogatepass"), WEBHOOK_HASH.of(settings.options)
    verdict = signature.judge(key, name, given, webhooks.signed(body))
    if verdict != signature.RIGHT:
        raise RefusedError(HTTPStatus.UNAUTHORIZED, verdict)
