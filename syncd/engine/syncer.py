"""What the runs of one process share: the database, one account per source, one target per table.

Hands each run the route of its stream. Never runs a page: `run` does.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg

from syncd import log
from syncd.clock import Clock, Sleep, utc_now
from syncd.config import Config, SourceConfig
from syncd.contract import Cursor, Identity, Scope, Source, Walk
from syncd.contract.early import Early
from syncd.engine.lookups import due_keys, held, lookup_keys, mirrored, stored
from syncd.engine.order import Order, Result
from syncd.engine.plan import is_tick
from syncd.engine.route import Route
from syncd.engine.run import run_stream
from syncd.records.parser import parser_of
from syncd.records.privacy import Forgotten, Guard
from syncd.storage.mirror.history import Kept
from syncd.storage.mirror.target import Target, make_target
from syncd.storage.postgres import migrations
from syncd.storage.postgres.database import Database
from syncd.storage.state import forgotten, sources
from syncd.storage.state.runs import most_seen
from syncd.upstream.account import Account
from syncd.upstream.client import aiohttp
from syncd.upstream.purse import Purse
from syncd.upstream.request import RunUpstream
from syncd.upstream.vault import Vault


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
        self._identities: dict[str, Identity] = {}
        self._targets: dict[tuple[str, str], Target] = {}
        self._forgotten: dict[str, Forgotten] = {}
        self._ready: set[str] = set()

    def reconfigure(self, config: Config) -> None:
        """Take a new configuration: sources that did not change keep their session and budget."""
        known = self._accounts.keys() | self._identities.keys()
        changed = {name for name in known if config.sources.get(name) != self.config.sources.get(name)}
        self.forget(changed)
        if config.privacy != self.config.privacy:
            self._targets.clear()
        self.config = config

    def forget(self, names: Collection[str]) -> None:
        """Drop what is known of these sources: their sessions and targets are made anew when they run again."""
        for name in names:
            self._accounts.pop(name, None)
            self._identities.pop(name, None)
            self._forgotten.pop(name, None)
        if any(source in names for source, _ in self._targets):
            self._targets = {key: target for key, target in self._targets.items() if key[0] not in names}

    def source(self, name: str) -> tuple[Source, SourceConfig]:
        """Return a configured source and what the configuration says of it."""
        settings = self.config.sources[name]
        return self._registry[settings.type], settings

    def identity(self, name: str) -> Identity:
        """Return which account the configuration names. Raises ConfigError if a secret that names it is missing."""
        if name not in self._identities:
            source, settings = self.source(name)
            self._identities[name] = source.identity(settings.base_url, settings.options)
        return self._identities[name]

    async def require_same_account(self, name: str) -> None:
        """Raise AnotherAccount if the rows of a source are of another account; a run looks for itself."""
        async with self.database.connection() as conn:
            sources.require_same(name, await sources.stored(conn, name), self.identity(name))

    def account(self, name: str) -> Account:
        """Return the account of a source, made on first use."""
        if name not in self._accounts:
            source, settings = self.source(name)
            for secret in source.secrets(settings.options):
                log.protect(secret.reveal())
            if self._http is None:
                raise AssertionError("this command was opened without a way to the upstreams")
            purse = Purse(self.database, name, settings.budget, zone=source.zone, clock=self.clock, sleep=self._sleep)
            vault = Vault(self.database, name, clock=self.clock, sleep=self._sleep)
            self._accounts[name] = Account(
                source, settings, purse, vault, self._http, clock=self.clock, sleep=self._sleep, jitter=self._jitter
            )
        return self._accounts[name]

    def target(self, source: str, stream: str) -> Target:
        """Return where the rows of a stream go, with its parser."""
        if (source, stream) not in self._targets:
            kind, settings = self.source(source)
            zone = ZoneInfo(str(settings.options.get("zone", "UTC")))
            table, wanted = kind.stream(stream).table, settings.streams[stream]
            kept = Kept(
                stream=stream,
                history=wanted.history,
                changes=wanted.changes,
                schema=self.config.database.schemas.history,
            )
            guard = Guard(
                table, stream, exclude=wanted.exclude, hashed=wanted.hash,
                hash_key=self.config.privacy.key() if wanted.hash else b"",
                forgotten=self._forgotten.setdefault(source, Forgotten()),
            )  # fmt: skip
            self._targets[source, stream] = make_target(table, parser_of(table, zone), kept, guard)
        return self._targets[source, stream]

    async def learn_forgotten(self, source: str, conn: asyncpg.Connection | None = None) -> str:
        """Read anew who of a source was forgotten, for all its records from now on; return the generation."""
        async with contextlib.AsyncExitStack() as stack:
            conn = conn or await stack.enter_async_context(self.database.connection())
            held = self._forgotten.setdefault(source, Forgotten())
            held.markers = await forgotten.read_markers(conn, source)
        return held.markers.generation

    async def run(self, source: str, stream: str, order: Order) -> Result:
        """Run one stream once and return how it ended; see `run_stream`."""
        return await run_stream(self.route(source, stream), order)

    def route(self, source: str, stream: str) -> Route:
        """Return the road from a stream of a source to its table."""
        return Route(
            source=source,
            stream=self.source(source)[0].stream(stream),
            identity=self.identity(source),
            account=self.account(source),
            target=self.target(source, stream),
            target_of=partial(self.target, source),
            database=self.database,
            clock=self.clock,
            learn_forgotten=partial(self.learn_forgotten, source),
            begin_walk=partial(self.walk, source, stream),
            require_ready=partial(self._require_ready, self.config.sources[source].type),
            max_records=self.config.sources[source].streams[stream].max_records,
        )

    async def _require_ready(self, type_: str) -> None:
        """Raise DatabaseChanged unless the migrations of a plugin were run; asked until they were, and never again."""
        if type_ in self._ready:
            return
        for branch in migrations.branches_of([self._registry[type_]]):
            standing = await migrations.find_standing(self.database, branch)
            if not standing.admits:
                raise standing.refusal(self.database.shown)
        self._ready.add(type_)

    async def walk(self, source: str, stream: str, order: Order, upstream: RunUpstream, cursor: Cursor | None) -> Walk:
        """Return what a walk through a stream may know."""
        kind, settings = self.source(source)
        stream_settings = settings.streams[stream]

        async def read_mirrored(other: str, column: str) -> list[Any]:
            return await mirrored(self.database, self.target(source, other), source, column)

        async def read_stored(key: tuple[Any, ...]) -> Mapping[str, Any]:
            return await stored(self.database, self.target(source, stream), source, key)

        async def read_held(scope: Scope) -> Sequence[tuple[Any, ...]]:
            return await held(self.database, self.target(source, stream), source, scope)

        return Walk(
            upstream=upstream,
            base_url=settings.base_url,
            kind=order.kind,
            cursor=cursor,
            options=settings.options,
            stream_options=stream_settings.options,
            lookup=await lookup_keys(self.database, stream_settings),
            now=self.clock,
            mirrored=read_mirrored,
            stored=read_stored,
            held=read_held,
            due=partial(
                due_keys, self.database, source, kind.stream(stream).feed or kind.stream(stream).hints, self.clock
            ),
            since=order.since,
            until=order.until,
            whole=order.whole,
            named=order.named,
            pushed=order.pushed,
            note=upstream.note,
            ways=upstream.account.ways(stream),
            charge_to_backfill=upstream.charge_to_backfill,
            early=Early(
                in_flight=settings.in_flight,
                foretells=not is_tick(self.source(source)[0].stream(stream), order.kind, cursor),
                has_room=lambda: upstream.account.purse.has_room(upstream.lane),
                usual_rows=partial(most_seen, self.database, source, stream),
            ),
        )
