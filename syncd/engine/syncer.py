"""THE path: one run of one stream, from the lock to the last page; shared by the daemon, `sync` and `backfill`.

    take the stream's lock, load the cursor, open the run
    for each page: rows, what was seen, rejects, drift, cursor and counts commit in one transaction
    at the end of a full listing: bury what is gone
    close the run

While one page is committed the next is already on the wire, in order, never more than one ahead.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import asyncpg

from syncd import log
from syncd.clock import Clock, Sleep, utc_now
from syncd.config import Config, SourceConfig, StreamConfig
from syncd.contract import Lane, Page, RunKind, Scope, Source, Stream, Walk
from syncd.errors import (
    DatabaseBusy,
    DatabaseError,
    NotFound,
    RunFenced,
    ScopeMissing,
    SyncdError,
    Throttled,
)
from syncd.records.page import Read
from syncd.records.parser import Parser
from syncd.records.privacy import Forgotten, Guard
from syncd.records.rows import Key
from syncd.storage.mirror import listing, writer
from syncd.storage.mirror.history import Kept
from syncd.storage.mirror.table_locks import lock_tables
from syncd.storage.mirror.target import Target, make_target
from syncd.storage.mirror.turns import Turns
from syncd.storage.mirror.writer import Written
from syncd.storage.postgres.database import Database
from syncd.storage.postgres.locks import to_the_end
from syncd.storage.state import forgotten, rejects, runs
from syncd.storage.state.forgotten import MarkersChanged
from syncd.storage.state.runs import Counts, PageRecord, Run, Spent
from syncd.upstream.account import Account
from syncd.upstream.faults import OUTAGES
from syncd.upstream.purse import Purse
from syncd.upstream.request import RunUpstream

BREAKER_SHARE = 0.2
BREAKER_ROWS = 10
"""A listing that would bury more than this share and more than so many rows buries nothing (DESIGN section 5)."""
CONFIRM_ROWS = 100
"""At most so many rows are asked for one by one before they are buried; of more, this many at random."""
LOOKUP_TIMEOUT_S = 60.0

_log = log.get(__name__)


class SweepRefused(SyncdError):
    """A listing was complete, but what it would bury is not believed."""


@dataclass(slots=True)
class Result:
    """How a run ended."""

    source: str
    stream: str
    kind: RunKind
    outcome: str = "running"
    error: SyncdError | None = None
    counts: Counts = field(default_factory=Counts)
    spent: Spent = field(default_factory=lambda: Spent(0, 0.0))
    pages: int = 0
    expected: int | None = None

    @property
    def name(self) -> str:
        """The selector of the stream."""
        return f"{self.source}.{self.stream}"


Progress = Callable[[Result], None]


@dataclass(kw_only=True)
class Order:
    """What a run is asked to do beyond its stream: kind, range or keys, whether mass burials are accepted, its stop.

    `stop` ends the run at the next page boundary; `progress` hears of every committed page.
    """

    kind: RunKind = "live"
    since: datetime | None = None
    until: datetime | None = None
    named: Sequence[Key] = ()
    accept_deletions: bool = False
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    progress: Progress = lambda _result: None

    @property
    def lane(self) -> Lane:
        """The budget lane: only a backfill leaves the live lane alone."""
        return "backfill" if self.kind == "backfill" else "live"

    @property
    def cursor_kind(self) -> str:
        """The cursor's kind: a backfill has one for each range, so that the same order resumes it."""
        if self.kind != "backfill":
            return self.kind
        until = self.until.isoformat() if self.until else ""
        return f"backfill {self.since.isoformat() if self.since else ''}..{until}"


class Syncer:
    """What the runs of one process share: the database, one Account per source, one Target per table."""

    def __init__(
        self,
        config: Config,
        registry: Mapping[str, Source],
        database: Database,
        http: aiohttp.ClientSession | None,
        *,
        clock: Clock = utc_now,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.config = config
        self.database = database
        self.clock = clock
        self._registry = registry
        self._http = http
        self._sleep = sleep
        self._jitter = jitter
        self._accounts: dict[str, Account] = {}
        self._targets: dict[tuple[str, str], Target] = {}
        self._forgotten: dict[str, Forgotten] = {}

    def reconfigure(self, config: Config) -> None:
        """Take a new configuration: sources that did not change keep their session and budget."""
        changed = {name for name in self._accounts if config.sources.get(name) != self.config.sources.get(name)}
        for name in changed:
            del self._accounts[name]
            self._targets = {key: target for key, target in self._targets.items() if key[0] != name}
        if config.privacy != self.config.privacy:
            self._targets.clear()
        self.config = config

    def source(self, name: str) -> tuple[Source, SourceConfig]:
        """Return a configured source and what the configuration says of it."""
        settings = self.config.sources[name]
        return self._registry[settings.type], settings

    def account(self, name: str) -> Account:
        """Return the account of a source, made on first use."""
        if name not in self._accounts:
            source, settings = self.source(name)
            for secret in source.secrets(settings.options):
                log.protect(secret.reveal())
            if self._http is None:
                raise AssertionError("this command was opened without a way to the upstreams")
            purse = Purse(self.database, name, settings.budget, zone=source.zone, clock=self.clock, sleep=self._sleep)
            self._accounts[name] = Account(
                source, settings, purse, self._http, clock=self.clock, sleep=self._sleep, jitter=self._jitter
            )
        return self._accounts[name]

    def target(self, source: str, stream: str) -> Target:
        """Return where the rows of a stream go, with its parser."""
        if (source, stream) not in self._targets:
            kind, settings = self.source(source)
            zone = ZoneInfo(str(settings.options.get("zone", "UTC")))
            table, wanted = kind.stream(stream).table, settings.streams[stream]
            kept = Kept(stream=stream, history=wanted.history, changes=wanted.changes)
            guard = Guard(
                table, stream, exclude=wanted.exclude, hashed=wanted.hash,
                hash_key=self.config.privacy.key() if wanted.hash else b"",
                forgotten=self._forgotten.setdefault(source, Forgotten()),
            )  # fmt: skip
            self._targets[source, stream] = make_target(table, Parser(table, zone), kept, guard)
        return self._targets[source, stream]

    async def learn_forgotten(self, source: str, conn: asyncpg.Connection | None = None) -> str:
        """Read anew who of a source was forgotten, for all its records from now on; return the generation."""
        async with contextlib.AsyncExitStack() as stack:
            conn = conn or await stack.enter_async_context(self.database.connection())
            held = self._forgotten.setdefault(source, Forgotten())
            held.markers = await forgotten.read_markers(conn, source)
        return held.markers.generation

    async def run(self, source: str, stream: str, order: Order) -> Result:
        """Run one stream once and return how it ended; every end is also in `syncd.runs` and in the log.

        Raises LockHeld if the stream is under way elsewhere, and DatabaseError if the database is the problem.
        """
        run = await runs.open_run(
            self.database, source, stream,
            kind=order.kind, lane=order.lane, cursor_kind=order.cursor_kind, now=self.clock(),
        )  # fmt: skip
        result = Result(source, stream, order.kind)
        upstream = RunUpstream(self.account(source), stream, order.lane)
        try:
            await _Pass(self, run, order, upstream, result).go()
        except Throttled as error:
            result.outcome, result.error = "throttled", error.at(result.name)
        except DatabaseBusy as error:
            result.outcome, result.error = "failed", error.at(result.name)
        except (DatabaseError, RunFenced) as error:
            result.outcome, result.error = "aborted", error
            raise
        except asyncio.CancelledError:
            hint = "The next run goes on from the last committed page."
            result.outcome, result.error = "aborted", SyncdError("ended before its next page boundary", hint=hint)
            raise
        except SyncdError as error:
            result.outcome, result.error = "failed", error.at(result.name)
        except Exception as error:  # noqa: BLE001  a bug of ours must end this run only, and be told
            _log.exception("run_crashed", source=source, stream=stream)
            result.outcome = "failed"
            result.error = SyncdError(f"internal error: {type(error).__name__}", hint="Please report it with the log.")
        finally:
            result.spent = upstream.spent
            with contextlib.suppress(DatabaseError):
                await to_the_end(self._close(run, result, upstream))
        return result

    async def _close(self, run: Run, result: Result, upstream: RunUpstream) -> None:
        """Close the run's row unless its last page did, save the budget, give the lock back, tell the log."""
        error = result.error
        now = self.clock()
        try:
            if result.outcome != "ok":
                await runs.close_run(
                    self.database, run, outcome=result.outcome, spent=result.spent, now=now,
                    error=error.whole if error else None,
                    error_kind=type(error).__name__ if error else None, notes=upstream.notes,
                )  # fmt: skip
            await self.account(run.source).purse.flush()
        finally:
            with contextlib.suppress(DatabaseError):
                await self.database.unlock(runs.stream_lock(run.source, run.stream, run.kind))
            if result.outcome != "aborted" and upstream.requests:
                self.account(run.source).health.run_ended(run.stream, error)
            counts = result.counts
            is_told = isinstance(error, (*OUTAGES, ScopeMissing))  # once, by the account, however long it lasts
            tell = _log.info if result.outcome in ("ok", "aborted") or is_told else _log.warning
            tell(
                "run_finished", source=run.source, stream=run.stream, kind=run.kind, outcome=result.outcome,
                run_id=run.run_id, duration_s=round((now - run.started_at).total_seconds(), 3), pages=result.pages,
                requests=result.spent.requests, seen=counts.seen, inserted=counts.inserted, updated=counts.updated,
                unchanged=counts.unchanged, deleted=counts.deleted, rejected=counts.rejected,
                **({"error": str(error), "hint": error.hint} if error else {}),
                **({"notes": upstream.notes} if upstream.notes else {}),
            )  # fmt: skip

    async def lookup_keys(self, settings: StreamConfig) -> dict[str, list[str]]:
        """Return the keys of a lookup stream by option name, queries run on the mirror (read-only)."""
        keys = {name: list(values) for name, values in settings.lookup.items()}
        for name, sql in settings.queries.items():
            async with self.database.connection() as conn:
                try:
                    async with conn.transaction(readonly=True):
                        await conn.execute(f"SET LOCAL statement_timeout = '{LOOKUP_TIMEOUT_S:.0f}s'")
                        found = await conn.fetch(sql)
                except (asyncpg.PostgresSyntaxError, asyncpg.DataError, asyncpg.QueryCanceledError,
                        asyncpg.UndefinedColumnError, asyncpg.ReadOnlySQLTransactionError) as error:  # fmt: skip
                    raise SyncdError(
                        f"{name}_query failed: {error}", hint="Mend the query in the configuration."
                    ) from None
            keys.setdefault(name, []).extend(str(row[0]) for row in found if row[0] is not None)
        return {name: list(dict.fromkeys(values)) for name, values in keys.items()}

    async def mirrored(self, source: str, stream: str, column: str) -> list[Any]:
        """Return one column of the live rows of a stream, in ascending order."""
        target = self.target(source, stream)
        if column not in target.layout.columns:
            raise KeyError(column)
        async with self.database.connection() as conn:
            found = await conn.fetch(
                f'SELECT DISTINCT "{column}" AS value FROM {target.name}'
                f' WHERE source = $1 AND _deleted_at IS NULL AND "{column}" IS NOT NULL ORDER BY 1',
                source,
            )
        return [row["value"] for row in found]

    async def walk(self, source: str, stream: str, order: Order, upstream: RunUpstream, cursor: Any) -> Walk:
        """Return what a walk through a stream may know."""
        _, settings = self.source(source)
        stream_settings = settings.streams[stream]

        async def mirrored(other: str, column: str) -> list[Any]:
            return await self.mirrored(source, other, column)

        return Walk(
            upstream=upstream,
            base_url=settings.base_url,
            kind=order.kind,
            cursor=cursor,
            options=settings.options,
            stream_options=stream_settings.options,
            lookup=await self.lookup_keys(stream_settings),
            now=self.clock,
            mirrored=mirrored,
            since=order.since,
            until=order.until,
            named=order.named,
        )


class _Pass:
    """One run's walk through its stream."""

    def __init__(self, syncer: Syncer, run: Run, order: Order, upstream: RunUpstream, result: Result) -> None:
        self.syncer = syncer
        self.run = run
        self.order = order
        self.upstream = upstream
        self.result = result
        self.stream: Stream = syncer.source(run.source)[0].stream(run.stream)
        self.target = syncer.target(run.source, run.stream)
        self.walk: Walk | None = None
        self.started_at: datetime | None = None
        self.remembers = False
        self.is_first = False
        self.brings_new = False
        self.turns = Turns()
        self.keys: list[Key] = []
        self.before: Mapping[Key, bytes] = {}
        upstream.turn = self.turns.reading

    async def go(self) -> None:
        """Commit page after page; at the end bury what is gone and close the run."""
        cursor = self.run.cursor
        if self.run.kind == "sweep" and cursor:
            # what vanished behind a resume point would stay: a sweep that was cut short proves nothing, start over
            cursor = {name: value for name, value in cursor.items() if name != "pass"}
        self.walk = await self.syncer.walk(self.run.source, self.run.stream, self.order, self.upstream, cursor)
        # a listing that may end in a burial must remember its keys from the first page on; there is nothing to bury
        # in a mirror that holds nothing yet
        # (a stream of ranges without a sweep never lists everything)
        ends_in_burial = not self.stream.lookup and (self.stream.sweep_s is not None or not self.stream.backfills)
        lists_all = ends_in_burial and (
            self.run.kind == "sweep" or (self.run.kind == "live" and (self.stream.sweep_s is None or not cursor))
        )
        if lists_all and not cursor:
            async with self.syncer.database.connection() as conn:
                self.is_first = not await listing.holds_any(conn, self.target, self.run.source)
        lists_all = lists_all and not self.is_first
        fresh = not (cursor or {}).get("pass")
        async with _ahead(self.stream.walk(self.walk), self._read, self.order.stop) as pages:
            async for page, read, is_last in pages:
                self.started_at = self.started_at or page.requested_at
                ends = page.whole_walk and page.scope is not None and not self.is_first
                self.remembers = lists_all and not (is_last and fresh)
                await self._commit(page, read, forget=fresh or page.starts_over, ends=ends, closes=is_last and not ends)
                fresh = False
                if ends and self.result.outcome != "ok":
                    try:
                        await self._bury(page, page.scope or Scope())
                    except SweepRefused:
                        await self._forget_pass()
                        raise
                self.order.progress(self.result)
        if self.result.outcome != "ok":
            await self._close_or_stop()

    async def _close_or_stop(self) -> None:
        """End a run whose last page was not known to be the last when it was committed."""
        if self.order.stop.is_set():
            self.result.outcome = "aborted"
            self.result.error = SyncdError("stopped at a page boundary", hint="The next run goes on from here.")
            return
        await runs.complete_run(
            self.syncer.database, self.run, spent=self.upstream.spent, now=self.syncer.clock(),
            notes=self.upstream.notes,
        )  # fmt: skip
        self.result.outcome = "ok"

    async def _read(self, page: Page) -> Read:
        """Read a page ahead, with all values if the page before it was new to the mirror."""
        await self.turns.reading()
        read = self.target.intake.read(
            page.records, keys=page.keys, whole=self.is_first or self.brings_new, before=self.before
        )
        self.before = read.fingerprints
        return read

    async def _commit(self, page: Page, read: Read, *, forget: bool, ends: bool, closes: bool) -> None:
        """Commit one page; again row by row if PostgreSQL refuses one of its values.

        The page that `closes` a walk closes the run; the one that `ends` a full listing only if the listing lacks no
        row. Else the cursor stays where it is until `_bury` has judged what is missing.
        """
        with self.turns.writing():
            careful = False
            while True:
                try:
                    written, closes = await self._commit_once(
                        page, read, forget=forget, ends=ends, closes=closes, careful=careful
                    )
                    break
                except MarkersChanged:
                    await self.syncer.learn_forgotten(self.run.source)
                    read = self.target.intake.read(page.records, keys=page.keys, whole=bool(read.columns))
                except writer.ROW_FAULTS:
                    if careful:
                        raise
                    careful = True
        self.result.counts.add(written)
        self.result.pages += 1
        self.result.expected = page.total or self.result.expected
        self.result.spent = self.upstream.spent
        if closes:
            self.result.outcome = "ok"

    async def _commit_once(
        self, page: Page, read: Read, *, forget: bool, ends: bool, closes: bool, careful: bool
    ) -> tuple[Counts, bool]:
        if ends and (unchanged := await self._commit_unchanged(page, read)):
            return unchanged, True
        run, source, now = self.run, self.run.source, self.syncer.clock()
        riders = {name: self.syncer.target(source, name) for name, records in page.riders.items() if records}
        database = self.syncer.database
        brings = page.records or riders or page.scope
        async with database.transaction() if brings or self.remembers else database.connection() as conn:
            if brings:
                await lock_tables(conn, source, [self.target, *riders.values()], run_id=run.run_id)
            if forget and self.remembers:
                await listing.drop_seen(conn, source, run.stream)
            write = (
                writer.write_row_by_row
                if careful
                else partial(writer.write_page, unseen=self.is_first, turns=self.turns)
            )
            not_after = page.requested_at if run.kind == "backfill" else None
            written = await write(conn, self.target, source, read, now=now, not_after=not_after)
            if page.scope and not page.whole_walk:
                written.counts.deleted += await self._bury_page(conn, page, page.scope, written, now)
            if self.remembers:
                await listing.remember_seen(
                    conn, self.target, source, run.stream, written.keys, seen_at=page.requested_at
                )
            await rejects.save_rejects(conn, run, run.stream, written.rejects, now=now)
            await rejects.save_drift(conn, source, run.stream, written.notes, now=now)
            for name, target in riders.items():
                riding = target.intake.read(page.riders[name])
                write = writer.write_row_by_row if careful else writer.write_page
                rode = await write(conn, target, source, riding, now=now)
                await rejects.save_rejects(conn, run, name, rode.rejects, now=now)
                await rejects.save_drift(conn, source, name, rode.notes, now=now)
            self.keys = written.keys
            self.brings_new = written.counts.inserted > written.counts.seen / 2
            if ends and not await self._missing(conn, page.scope or Scope(), limit=1):
                closes = True
                await listing.drop_seen(conn, source, run.stream)
            recorded = PageRecord(
                counts=written.counts, spent=self.upstream.spent, at=now, expected=page.total,
                cursor=None if ends and not closes else page.cursor, notes=self.upstream.notes, closes=closes,
            )  # fmt: skip
            generation = await runs.record_page(conn, run, recorded)
            if brings and generation != read.generation:
                raise MarkersChanged
            self.turns.sent()
        return written.counts, closes

    async def _commit_unchanged(self, page: Page, read: Read) -> Counts | None:
        """Commit a whole listing of one page that changes nothing, in one statement; None if there is more to do.

        It needs no lock of the table, to which it writes nothing: whoever is writing there now comes after it.
        """
        if self.remembers or read.rejects or any(page.riders.values()) or len(read.fingerprints) < len(read.settled):
            return None
        counts = Counts(seen=read.seen)
        unchanged = listing.as_listed(self.target, self.run.source, self.run.stream, page.scope or Scope(), read)
        async with self.syncer.database.connection() as conn:
            recorded = PageRecord(
                counts=counts, spent=self.upstream.spent, at=self.syncer.clock(), cursor=page.cursor,
                expected=page.total, notes=self.upstream.notes, closes=True,
            )  # fmt: skip
            return counts if await runs.record_page_if(conn, self.run, recorded, unchanged) else None

    async def _missing(self, conn: asyncpg.Connection, scope: Scope, *, limit: int) -> list[Key]:
        """Return at most `limit` keys of rows in scope that the whole listing did not hold."""
        return await listing.missing(
            conn, self.target, self.run.source, self.run.stream if self.remembers else "", scope,
            [] if self.remembers else self.keys, not_after=self.started_at or self.run.started_at, limit=limit,
        )  # fmt: skip

    async def _bury_page(
        self, conn: asyncpg.Connection, page: Page, scope: Scope, written: Written, now: datetime
    ) -> int:
        """Bury the rows for which this one page is everything there is, and which it did not hold."""
        alive = await listing.count_alive(conn, self.target, self.run.source, scope)
        doubt = page.doubt or (f"{len(written.rejects)} records had no usable key" if written.rejects else None)
        if doubt:
            self.upstream.note(f"nothing buried: {doubt}")
            return 0
        gone = await listing.missing(
            conn, self.target, self.run.source, "", scope, written.keys, not_after=page.requested_at, limit=alive + 1
        )
        if scope.guarded and not self.order.accept_deletions and _is_too_many(len(gone), alive, empty=not page.records):
            raise _refusal(self.run, len(gone), alive)
        return await writer.bury(conn, self.target, self.run.source, gone, now=now, not_after=page.requested_at)

    async def _bury(self, page: Page, scope: Scope) -> None:
        """End a full listing: bury what it did not hold, move the cursor and close the run, in one transaction.

        Raises SweepRefused, having buried nothing, where the breaker or a doubt speaks against it.
        """
        run, source = self.run, self.run.source
        guarded = scope.guarded and not self.order.accept_deletions
        async with self.syncer.database.transaction() as conn:
            alive = await listing.count_alive(conn, self.target, source, scope)
            allowed = alive if not guarded else max(BREAKER_ROWS, int(alive * BREAKER_SHARE))
            gone = await self._missing(conn, scope, limit=allowed + 1)
            unnamed = await rejects.count_unnamed(conn, source, run.stream, since=self.started_at or run.started_at)
        if gone and unnamed and not self.stream.confirm and not self.order.accept_deletions:
            raise SweepRefused(
                f"{source}.{run.stream}: rows are missing from the listing, but {unnamed} of its records had no usable"
                " key and may be these; nothing was buried",
                hint=f"See: syncd rejects list. If they are really gone: syncd sync {source}.{run.stream} --full"
                " --accept-deletions",
            )
        if gone and page.doubt:
            raise SweepRefused(
                f"{source}.{run.stream}: rows are missing from the listing, but it is not trusted: {page.doubt}",
                hint="Nothing was buried; the next sweep tries again.",
            )
        empty = len(gone) >= alive > 0
        if guarded and _is_too_many(len(gone), alive, empty=empty):
            raise _refusal(run, len(gone), alive)
        confirmed, returned = await self._confirmed(gone)
        while True:
            try:
                return await self._bury_once(page, confirmed, returned)
            except MarkersChanged:
                await self.syncer.learn_forgotten(source)

    async def _bury_once(self, page: Page, confirmed: list[Key], returned: list[bytes]) -> None:
        run, source = self.run, self.run.source
        back = self.target.intake.read(returned)
        now = self.syncer.clock()
        async with self.syncer.database.transaction() as conn:
            await lock_tables(conn, source, [self.target], run_id=run.run_id)
            written = await writer.write_page(conn, self.target, source, back, now=now)
            deleted = await writer.bury(conn, self.target, source, confirmed, now=now, not_after=self.started_at)
            await listing.drop_seen(conn, source, run.stream)
            counts = written.counts
            counts.seen, counts.deleted = counts.inserted + counts.updated + counts.rejected, deleted
            recorded = PageRecord(
                counts=counts, spent=self.upstream.spent, at=now, cursor=page.cursor, notes=self.upstream.notes,
                closes=True,
            )  # fmt: skip
            generation = await runs.record_page(conn, run, recorded)
            if generation != back.generation:
                raise MarkersChanged
        self.result.counts.add(counts)
        self.result.outcome = "ok"

    async def _forget_pass(self) -> None:
        """Let the next run list everything anew: a listing that was refused must not be taken up again at its end."""
        if self.stream.sweep_s is None:
            async with self.syncer.database.connection() as conn:
                await runs.drop_resume_point(conn, self.run)

    async def _confirmed(self, gone: list[Key]) -> tuple[list[Key], list[bytes]]:
        """Ask for each row by its key where the API can: return the keys that are gone and the records that are not.

        Of very many rows a random sample is asked for; one that is alive discredits the listing.
        """
        confirm = self.stream.confirm
        if confirm is None or not gone or self.walk is None:
            return gone, []
        asked = gone if len(gone) <= CONFIRM_ROWS else random.sample(gone, CONFIRM_ROWS)
        confirmed, returned = [], []
        for key in asked:
            try:
                returned.append(await confirm(self.walk, key))
                self.upstream.note(f"{self.run.stream}: a row missing from the listing is alive")
            except NotFound:
                confirmed.append(key)
        if asked is gone:
            return confirmed, returned
        if returned:
            raise SweepRefused(
                f"{self.run.source}.{self.run.stream}: {len(returned)} of {len(asked)} rows missing from the listing"
                " are alive when asked for",
                hint="Nothing was buried; the next sweep tries again.",
            )
        return gone, []


def _is_too_many(gone: int, alive: int, *, empty: bool) -> bool:
    """Say whether the breaker opens: a suddenly empty list, or more than the share and more than a few rows."""
    return gone > 0 and (empty or (gone > BREAKER_ROWS and gone > alive * BREAKER_SHARE))


def _refusal(run: Run, gone: int, alive: int) -> SweepRefused:
    many = "all" if gone >= alive else f"{gone} or more"
    return SweepRefused(
        f"{run.source}.{run.stream}: the listing would bury {many} of {alive} rows; nothing was buried",
        hint=f"If they are really gone: syncd sync {run.source}.{run.stream} --full --accept-deletions",
    )


_Ahead = tuple[Page, Read]


@contextlib.asynccontextmanager
async def _ahead(
    pages: AsyncIterator[Page], read: Callable[[Page], Awaitable[Read]], stop: asyncio.Event
) -> AsyncIterator[AsyncIterator[tuple[Page, Read, bool]]]:
    """Fetch and read one page ahead: while PostgreSQL writes a page, this process reads the next one.

    Yields each page with what was read of it, and whether it is known to be the last. Ends early once `stop` is set.
    """
    fetching: set[asyncio.Task[Any]] = set()

    async def following_page() -> _Ahead | None:
        page = await anext(pages, None)
        return None if page is None else (page, await read(page))

    def over(task: asyncio.Task[Any]) -> None:
        fetching.discard(task)
        if not task.cancelled():
            task.exception()  # heard: a run that ended before it came to this page has its own error

    def fetch() -> asyncio.Task[_Ahead | None]:
        task = asyncio.ensure_future(following_page())
        fetching.add(task)
        task.add_done_callback(over)
        return task

    async def walk() -> AsyncIterator[tuple[Page, Read, bool]]:
        ahead = await _unless(stop, fetch())
        while ahead is not None:
            following = fetch()
            await asyncio.sleep(0)  # a walk that ends without another request ends now
            is_last = (
                following.done()
                and not following.cancelled()
                and following.exception() is None
                and following.result() is None
            )
            yield (*ahead, is_last)
            ahead = await _unless(stop, following)

    walking = walk()
    try:
        yield walking
    finally:
        await walking.aclose()  # type: ignore[attr-defined]
        for task in list(fetching):
            task.cancel()
        await asyncio.gather(*fetching, return_exceptions=True)
        await pages.aclose()  # type: ignore[attr-defined]


async def _unless(stop: asyncio.Event, task: asyncio.Task[_Ahead | None]) -> _Ahead | None:
    """Wait for the next page, or return None as soon as the run is to stop."""
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    return None if stop.is_set() else task.result()
