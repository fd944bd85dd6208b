"""syncd from Python: what `syncd sync`, `syncd status` and `syncd runs` do, for a program that embeds them.

    from syncd import open_mirror

    with open_mirror("/etc/syncd/config.toml") as mirror:
        for run in mirror.sync("shop.orders"):
            print(run.name, run.outcome, run.rows_inserted)
        print(mirror.status().line)

The same with `async with` and `await`, inside a program that has an event loop. Owns the names and types that such
programs build on. Prints nothing, reads no command line, handles no signal; what is logged goes to Python's `logging`
under the name `syncd`, where the program decides what becomes of it.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, TypeVar

from syncd import config as configuration
from syncd import log
from syncd.cli.runner import Job, result_json, run_jobs
from syncd.cli.session import load_config
from syncd.cli.waiting import make_fresh
from syncd.clock import utc_now
from syncd.engine.order import Order, Result
from syncd.engine.syncer import Syncer
from syncd.errors import ConfigError, SyncdError, UsageError
from syncd.sources import registry
from syncd.status import BAD, Pair, Status, StreamRun, Trouble, collect, newest_runs, troubles
from syncd.storage.postgres import database, embedded, migrations
from syncd.upstream.wire import http_session

__all__ = [
    "AsyncMirror",
    "Mirror",
    "Opening",
    "RunResult",
    "Status",
    "StreamRun",
    "SyncdError",
    "Trouble",
    "open_mirror",
]

WAIT_S: Final = 3600.0
"""How long `wait_fresh` waits unless it is told, as on the command line."""

T = TypeVar("T")

_openings: Final[Counter[Path]] = Counter()
"""Open mirrors of this process, by data directory."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How one run ended. `outcome` "ok" is good; `paused`: the account has no scope for the stream, nothing failed.

    `stream` is empty for a source that is left out as a whole.
    """

    source: str
    stream: str
    kind: str
    outcome: str
    error: str | None
    hint: str | None
    paused: bool
    requests: int
    pages: int
    rows_seen: int
    rows_inserted: int
    rows_updated: int
    rows_unchanged: int
    rows_deleted: int
    rows_rejected: int
    budget_wait_s: float

    @property
    def name(self) -> str:
        """The selector of the stream, or of the source that is left out."""
        return f"{self.source}.{self.stream}" if self.stream else self.source

    @property
    def is_good(self) -> bool:
        """Whether nothing failed: what makes `syncd sync` end with exit code 0."""
        return self.outcome == "ok" or self.paused


def open_mirror(config: str | Path | None = None) -> "Opening":
    """Open a mirror by its configuration, found as by every command if `config` is None.

    Use what it returns once, with `with` (blocking) or `async with`. Entering raises SyncdError: ConfigError for a
    wrong configuration, DatabaseError for a database that cannot be reached or is not migrated. A private server is
    started if it does not run, and ends when nobody uses it any more.
    """
    return Opening(Path(config) if config is not None else None)


class Opening:
    """A mirror that is opened by `with` or `async with`."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stack = AsyncExitStack()
        self._runner: asyncio.Runner | None = None

    async def __aenter__(self) -> "AsyncMirror":
        log.embed()
        settings = load_config(self._path)
        try:
            opened = await database.connect(settings.database)
            _openings[settings.database.data_dir] += 1
            self._stack.push_async_callback(self._close, opened, settings)
            await migrations.require_migrated(opened)
            http = await self._stack.enter_async_context(http_session())
        except BaseException:
            await self._stack.aclose()
            raise
        return AsyncMirror(Syncer(settings, registry(), opened, http))

    async def _close(self, opened: database.Database, settings: configuration.Config) -> None:
        """Close the database; a private server is let go by the last opening of this process."""
        await opened.close()
        if settings.database.is_embedded:
            _openings[settings.database.data_dir] -= 1
            if not _openings[settings.database.data_dir]:
                await embedded.release(settings.database.data_dir)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def __enter__(self) -> "Mirror":
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise UsageError("an event loop runs here, so that `with` would block it", hint="Write `async with`.")
        self._runner = asyncio.Runner()
        try:
            return Mirror(self._runner.run(self.__aenter__()), self._runner)
        except BaseException:
            self._runner.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            try:
                self._runner.run(self._stack.aclose())
            finally:
                self._runner.close()


class AsyncMirror:
    """An open mirror. Several calls may be under way at once."""

    def __init__(self, syncer: Syncer) -> None:
        self._syncer = syncer

    async def sync(
        self,
        *selectors: str,
        full: bool = False,
        accept_deletions: bool = False,
        wait_fresh: bool = False,
        timeout_s: float = WAIT_S,
    ) -> list[RunResult]:
        """Run each matching stream once, now, in parallel, and return how each run ended; none selects all.

        `full` sweeps; `accept_deletions` buries more rows than the breaker allows. `wait_fresh` runs only what is older
        than its interval, waits for what other processes run, and raises SyncdError if something is still too old after
        `timeout_s`. A run that fails is a result, not an exception. So is a source that is left out because its type
        cannot be used, where all is selected or a pattern that fits it: its result has no stream. Cancelling ends runs
        at once; what was committed stays. Raises UsageError for a selector that matches nothing, DatabaseError if the
        database is lost.
        """
        pairs = configuration.select(self._syncer.config, selectors)
        if wait_fresh:
            if full or accept_deletions:
                raise UsageError("wait_fresh makes live runs; full and accept_deletions are about sweeps")
            return [*await self._wait_fresh(pairs, timeout_s), *self._not_run(selectors)]
        jobs = [
            Job(source=source, stream=stream, order=self._order(source, stream, full, accept_deletions))
            for source, stream in pairs
        ]
        return [*map(_told, await run_jobs(self._syncer, jobs, quiet=True)), *self._not_run(selectors)]

    @property
    def left_out(self) -> Mapping[str, str]:
        """The sources of the configuration that cannot be run because of their type, each with the reason."""
        return dict(self._syncer.config.left_out)

    def _not_run(self, selectors: Sequence[str]) -> list[RunResult]:
        """Return a failed result for each source that is asked for and left out; naming one raises before."""
        return [
            _told(Result(name, "", "live", outcome="failed", error=ConfigError(
                f"source {name} is left out: {why}", hint="See: syncd check"
            )))
            for name, why in configuration.left_out_by(self._syncer.config, selectors).items()
        ]  # fmt: skip

    def _order(self, source: str, stream: str, full: bool, accept_deletions: bool) -> Order:
        sweeps = full and self._syncer.source(source)[0].stream(stream).can_sweep
        kind: Literal["sweep", "live"] = "sweep" if sweeps else "live"
        return Order(kind=kind, accept_deletions=accept_deletions, whole=full)

    async def _wait_fresh(self, pairs: Sequence[Pair], timeout_s: float) -> list[RunResult]:
        waited = await make_fresh(self._syncer, pairs, timeout_s=timeout_s, stop=asyncio.Event(), quiet=True)
        if not waited.is_fresh:
            names = ", ".join(f"{source}.{stream}" for source, stream in waited.stale)
            raise SyncdError(
                f"still older than their interval: {names}; {waited.gave_up}",
                hint="runs() says how the last runs ended.",
            )
        return [_told(result) for result in waited.results]

    async def status(self, *selectors: str, counts_rows: bool = False) -> Status:
        """Return how the matching streams stand, the same as `syncd status --json`; none selects all.

        `counts_rows` reads every row of the mirror; else `rows` is None. Raises UsageError and DatabaseError.
        """
        syncer = self._syncer
        pairs = configuration.matching(syncer.config, selectors)
        found = await collect(syncer.database, syncer.config, registry(), now=utc_now(), counts_rows=counts_rows)
        return found.narrowed(pairs) if selectors else found

    async def troubles(self, *selectors: str, max_age_s: float | None = None) -> list[Trouble]:
        """Return what `syncd status --check` complains of: streams that are late, failing or paused.

        Late is what missed two of its intervals or, if that is given, what is older than `max_age_s`.
        """
        syncer = self._syncer
        pairs = configuration.select(syncer.config, selectors)
        found = await collect(syncer.database, syncer.config, registry(), now=utc_now(), counts_rows=False)
        return troubles(found, syncer.config, pairs, max_age_s=max_age_s)

    async def runs(
        self, *selectors: str, limit: int = 50, since: datetime | timedelta | None = None, failed: bool = False
    ) -> list[StreamRun]:
        """Return the newest runs of the matching streams, of any process, newest first; none selects all.

        `since` is an aware instant or an age; `failed` leaves out runs that ended well or are under way.
        """
        pairs = configuration.matching(self._syncer.config, selectors)
        after = utc_now() - since if isinstance(since, timedelta) else since
        return await newest_runs(
            self._syncer.database, pairs, limit=limit, since=after, outcomes=BAD if failed else None
        )


class Mirror:
    """An open mirror for a program without an event loop: each call returns when it is done. See AsyncMirror."""

    def __init__(self, mirror: AsyncMirror, runner: asyncio.Runner) -> None:
        self._mirror = mirror
        self._runner = runner

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def sync(
        self,
        *selectors: str,
        full: bool = False,
        accept_deletions: bool = False,
        wait_fresh: bool = False,
        timeout_s: float = WAIT_S,
    ) -> list[RunResult]:
        """Run each matching stream once, now, in parallel: see AsyncMirror.sync."""
        return self._wait(
            self._mirror.sync(
                *selectors, full=full, accept_deletions=accept_deletions, wait_fresh=wait_fresh, timeout_s=timeout_s
            )
        )

    @property
    def left_out(self) -> Mapping[str, str]:
        """The sources that cannot be run because of their type: see AsyncMirror.left_out."""
        return self._mirror.left_out

    def status(self, *selectors: str, counts_rows: bool = False) -> Status:
        """Return how the matching streams stand: see AsyncMirror.status."""
        return self._wait(self._mirror.status(*selectors, counts_rows=counts_rows))

    def troubles(self, *selectors: str, max_age_s: float | None = None) -> list[Trouble]:
        """Return the streams that are late, failing or paused: see AsyncMirror.troubles."""
        return self._wait(self._mirror.troubles(*selectors, max_age_s=max_age_s))

    def runs(
        self, *selectors: str, limit: int = 50, since: datetime | timedelta | None = None, failed: bool = False
    ) -> list[StreamRun]:
        """Return the newest runs of the matching streams: see AsyncMirror.runs."""
        return self._wait(self._mirror.runs(*selectors, limit=limit, since=since, failed=failed))


def _told(result: Result) -> RunResult:
    return RunResult(**dict[str, Any](result_json(result)))
