"""Looks again and again at what stands, stores it, and tells of it: one daemon of all that share a database."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from syncd import log
from syncd.clock import Clock
from syncd.config import Config, Notify
from syncd.errors import DatabaseError
from syncd.service.notify import outbox
from syncd.service.notify.plan import Plan, Told, beat_due, digest_due, plan
from syncd.service.notify.words import DayTotals, Message, compose, digest
from syncd.status import Status, StatusReader
from syncd.status.causes import MISFIT, Extras, causes_of, misfit, misfit_of
from syncd.status.happened import read_extras
from syncd.storage.postgres import migrations
from syncd.storage.postgres.database import Database
from syncd.storage.state import notifications, operators

EVENTS_FOR: Final = timedelta(days=2)
"""Events are remembered for this, which is longer than anything that happened is told of."""
DAY: Final = timedelta(days=1)
RETRY_S: Final = (60.0, 3600.0)
"""First and longest wait after nothing could be sent; doubled each time. Ours."""

_log = log.get(__name__)


class Watch:
    """The notifications of one life of the service. Holds no state that matters: that is in the database."""

    def __init__(
        self,
        reader: StatusReader,
        *,
        config: Callable[[], Config],
        database: Callable[[], Database],
        clock: Clock,
        host: str = "",
    ) -> None:
        self._reader = reader
        self._config = config
        self._database = database
        self._clock = clock
        self._host = host or socket.gethostname()
        self._outage: Told | None = None
        self._failures = 0
        self._not_before: datetime | None = None
        self._beat_at: datetime | None = None

    async def look(self) -> None:
        """Look once. Raises DatabaseError, after telling of an outage that lasts."""
        wishes, http = self._config().notify, self._config().http
        if wishes is None and not (http and http.operator_token and await self._anything_known()):
            return
        try:
            if await self._database().try_lock(notifications.LOCK) is None:
                return  # another daemon is at it
            try:
                await self._look(wishes)
            finally:
                await self._database().unlock(notifications.LOCK)
        except DatabaseError:
            if wishes is not None:
                await self._tell_outage(wishes)
            raise

    async def _anything_known(self) -> bool:
        """Say whether operators acknowledged anything whose end must be noticed."""
        async with self._database().connection() as conn:
            return await operators.knows_any(conn)

    async def tell_misfit(self, opened: Database) -> None:
        """Tell, before the service ends for it, that the database does not fit: once, however often it is started.

        Tells nobody where the database is too old to remember that. The first look after a migration tells the end.
        """
        wishes = self._config().notify
        if wishes is None or not wishes.urls:
            return
        try:
            async with opened.connection() as conn:
                if not await notifications.is_there(conn):
                    return
            if await opened.try_lock(notifications.LOCK) is None:
                return
            try:
                await self._tell_misfit(opened, replace(wishes, after_s=0.0))
            finally:
                await opened.unlock(notifications.LOCK)
        except DatabaseError as error:
            _log.warning("notifications_failed", error=str(error), hint=error.hint)

    async def _tell_misfit(self, opened: Database, wishes: Notify) -> None:
        now, step = self._clock(), misfit_of(await migrations.find_standing(opened))
        async with opened.connection() as conn:
            rows = await notifications.unsettled(conn, events_since=now)
        stored = [_row(row) for row in rows if row["cause"] == MISFIT]
        planned = plan(stored, [misfit(step)], wishes, self._host, now)
        await self._store(opened, planned, now)
        if planned.tell:
            message = compose(planned.tell, [], host=self._host, zone=wishes.zone, now=now)
            if await self._send(wishes, message, now):
                await self._settle(opened, planned, now)

    async def _look(self, wishes: Notify | None) -> None:
        now = self._clock()
        looked = await self._reader.look()
        status = looked.status
        stored, extras = await self._read(now)
        causes = causes_of(status, replace(extras, late=looked.late))
        async with self._database().transaction() as conn:
            await operators.settle(conn, [cause.key for cause in causes], now)
            known = await operators.acknowledgements(conn, now)
        if wishes is None:
            return
        planned = plan(stored, causes, wishes, self._host, now, known)
        await self._store(self._database(), planned, now)
        over_here = [self._outage] if self._outage and self._outage.told_at else []
        self._outage = self._outage if over_here else None
        if (planned.tell or planned.tell_over or over_here) and wishes.urls:
            message = compose(
                planned.tell, [*planned.tell_over, *over_here], host=self._host, zone=wishes.zone, now=now
            )
            if await self._send(wishes, message, now):
                self._outage = None
                await self._settle(self._database(), planned, now)
        await self._tell_digest(wishes, status, planned, stored, now)
        if planned.is_well:
            await self._beat(wishes, now)

    async def _read(self, now: datetime) -> tuple[list[Told], Extras]:
        step = misfit_of(await migrations.find_standing(self._database()))
        async with self._database().connection() as conn:
            rows = await notifications.unsettled(conn, events_since=now - EVENTS_FOR)
        return [_row(row) for row in rows], await read_extras(self._database(), now=now, misfit=step, host=self._host)

    async def _store(self, opened: Database, planned: Plan, now: datetime) -> None:
        async with opened.transaction() as conn:
            for cause in planned.begun:
                await notifications.begin(
                    conn, cause.key, now, cause.headline, cause.details, scope=cause.scope, is_event=cause.is_event
                )
            for row in planned.ended:
                await notifications.end(conn, row.key, row.began_at, now)
            await notifications.prune(conn, now)

    async def _settle(self, opened: Database, planned: Plan, now: datetime) -> None:
        """Store what was told, after it went out: a crash in between tells twice rather than never."""
        async with opened.transaction() as conn:
            for row in planned.tell:
                await notifications.mark_told(conn, row.key, row.began_at, now, (row.headline, row.details))
            for row in planned.tell_over:
                await notifications.mark_over_told(conn, row.key, row.began_at, now)

    async def _tell_digest(
        self, wishes: Notify, status: Status, planned: Plan, stored: Sequence[Told], now: datetime
    ) -> None:
        day = digest_due(wishes, now)
        if day is None or not wishes.urls or any(row.key == day for row in stored):
            return
        async with self._database().connection() as conn:
            totals = DayTotals(**dict(await notifications.totals(conn, now - DAY)))
        message = digest(status.counts, totals, planned.standing, host=self._host, zone=wishes.zone, now=now)
        if await self._send(wishes, message, now):
            async with self._database().transaction() as conn:
                await notifications.begin(conn, day, now, message.title, "", scope="", is_event=True)
                await notifications.mark_told(conn, day, now, now, (message.title, ""))

    async def _send(self, wishes: Notify, message: Message, now: datetime) -> bool:
        """Send a message to all addresses; return whether any took it. After a failure it is left alone for a while."""
        if self._not_before is not None and now < self._not_before:
            return False
        deliveries = await outbox.send(wishes.urls, message)
        for one in deliveries:
            if one.problem:
                _log.warning("notification_failed", place=one.place, service=one.service, reason=one.problem)
        if all(one.problem for one in deliveries):
            first, longest = RETRY_S
            self._not_before = now + timedelta(seconds=min(longest, first * 2.0**self._failures))
            self._failures = min(self._failures + 1, 20)
            return False
        self._failures, self._not_before = 0, None
        _log.info("notification_sent", title=message.title)
        return True

    async def _tell_outage(self, wishes: Notify) -> None:
        """Tell that the database is away, once it has been for long enough: only this process can know it was told."""
        now = self._clock()
        title = f"{self._host}: the database cannot be reached"
        details = "No run is made until it is back. syncd check says what is wrong."
        self._outage = self._outage or Told(key="database", began_at=now, headline=title, details=details)
        ripe = now - self._outage.began_at >= timedelta(seconds=wishes.after_s)
        is_quiet = wishes.quiet is not None and wishes.quiet.hold(now, wishes.zone)
        if self._outage.told_at is not None or not ripe or is_quiet or not wishes.urls:
            return
        message = compose([self._outage], [], host=self._host, zone=wishes.zone, now=now)
        if await self._send(wishes, message, now):
            self._outage = Told(
                key="database", began_at=self._outage.began_at, headline=title, details=details, told_at=now
            )

    async def _beat(self, wishes: Notify, now: datetime) -> None:
        if wishes.heartbeat_url is None or not beat_due(wishes, self._beat_at, now):
            return
        self._beat_at = now
        if problem := await outbox.beat(wishes.heartbeat_url):
            _log.warning("heartbeat_failed", reason=problem)


def _row(row: asyncpg.Record) -> Told:
    return Told(
        key=row["cause"], began_at=row["began_at"], headline=row["headline"], details=row["details"],
        scope=row["scope"], is_event=row["is_event"], told_at=row["told_at"], ended_at=row["ended_at"],
    )  # fmt: skip
