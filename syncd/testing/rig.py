"""A sandbox, a mirror, and a syncer between the two, on one clock that only a test moves."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

import asyncpg

from syncd import config as configuration
from syncd.contract import Source, Table
from syncd.engine.order import Order, Result
from syncd.engine.syncer import Syncer
from syncd.sandbox import Sandbox, serve
from syncd.sandbox.answer import Answer, Api, Ask
from syncd.sandbox.catalog import ZONES
from syncd.sources import spec_of
from syncd.storage.postgres import database
from syncd.storage.postgres.database import Database
from syncd.testing import records
from syncd.testing.records import Record
from syncd.testing.server import place_of
from syncd.upstream.wire import http_session

BEGIN: Final = datetime(2026, 11, 22, 9, tzinfo=UTC)
PAGE_SIZE: Final = 4
"""Rows on a page of the sandbox, so that few records fill several pages."""
ROWS: Final = 14
"""Records of a stream at least: some pages."""
SHOWN: Final = 8
"""Differences that are told in full; of the rest only the number."""
PLAIN_HEADERS: Final = frozenset(
    {"host", "accept", "accept-encoding", "accept-language", "connection", "content-length", "content-type", "date",
     "user-agent"}
)  # fmt: skip
"""Headers that hold no secret."""


@dataclass
class Time:
    """A clock that a test moves: upstream and syncd both read it."""

    at: datetime = BEGIN

    def now(self) -> datetime:
        """Return the instant at which the clock stands."""
        return self.at

    def pass_by(self, **duration: float) -> None:
        """Let time pass: hours=1, minutes=20."""
        self.at += timedelta(**duration)

    async def sleep(self, seconds: float) -> None:
        """Pass the time at once, giving other tasks their turn."""
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)


@dataclass
class Rig:
    """What one test works on. `heard` sees each request as the sandbox got it; `sent` keeps what might be secret.

    A request for which one of `refuses` is true gets a 400, in the form of the API's errors.
    """

    source: Source
    sandbox: Sandbox
    api: Api
    syncer: Syncer
    db: Database
    time: Time
    expects: Callable[[str, Record], bool]
    fixed: tuple[str, ...] = ()
    heard: list[Callable[[Ask], None]] = field(default_factory=list)
    refuses: list[Callable[[Ask], bool]] = field(default_factory=list)
    sent: set[str] = field(default_factory=set)

    # --- Runs

    async def run(self, stream: str, kind: Any = "live", **order: Any) -> Result:
        """Run a stream once."""
        return await self.syncer.run(self.api.source_name, stream, Order(kind=kind, **order))

    async def clean(self, stream: str, kind: Any = "live") -> Result:
        """Run a stream, after those that it reads, without any fault; raises AssertionError unless all is well."""
        for other in self.source.stream(stream).reads:
            await self.clean(other)
        result = await self.run(stream, kind)
        require(result.outcome == "ok", f"a clean {kind} run of {stream} is {result.outcome}: {result.error!r}")
        return result

    # --- The upstream

    def keys(self, stream: str) -> list[Any]:
        """Return the keys of a stream that the sandbox holds, in its order."""
        return list(self.sandbox.world[self.source.type, stream].keys())

    def change(self, stream: str, *, records: int = 6, new: int = 1) -> None:
        """Let records of a stream change, more than a page of them, and new ones come; a second passes with each."""
        for key in self.keys(stream)[:records]:
            self.time.pass_by(seconds=1)
            self.sandbox.world.change(self.source.type, stream, key)
        for _ in range(0 if stream in self.fixed else new):
            self.time.pass_by(seconds=1)
            self.sandbox.put(self.source.type, stream, self.sandbox.world.fresh(self.source.type, stream))

    def delete(self, stream: str, place: int = 2) -> None:
        """Let one record be deleted."""
        keys = self.keys(stream)
        if stream not in self.fixed and len(keys) > place + 1:
            self.sandbox.delete(self.source.type, stream, keys[place])

    def fill(self) -> None:
        """Let every stream hold some pages of records."""
        for stream in self.source.names:
            with contextlib.suppress(KeyError):  # what stands inside another stream's records
                while stream not in self.fixed and len(self.keys(stream)) < ROWS:
                    self.sandbox.put(self.source.type, stream, self.sandbox.world.fresh(self.source.type, stream))

    def requests(self) -> list[Any]:
        """Return the requests that the sandbox got for this API, in order."""
        return [entry for entry in self.sandbox.requests if entry.api == self.source.type]

    # --- The mirror

    async def fetch(self, query: str, *values: Any) -> list[asyncpg.Record]:
        """Ask the database."""
        async with self.db.connection() as conn:
            return list(await conn.fetch(query, *values))

    def tables(self, stream: str) -> Sequence[Table]:
        """Return the tables that a stream fills."""
        table = self.source.stream(stream).table
        return (table, *(child.table for child in table.children))

    async def differences(self, stream: str, *, deletions: bool = True) -> list[str]:
        """Return in words where the mirror of a stream differs from what the sandbox holds.

        Without `deletions`, a row that is gone upstream may still be alive: only a sweep finds that.
        """
        told: list[str] = []
        for table in self.tables(stream):
            truth, rows = self._truth(table), await self._rows(table)
            zone = ZoneInfo(ZONES[self.source.type])
            for key, record in truth.items():
                row, place = rows.get(key), f"{table.name} {key}"
                if not self.expects(table.name, record):
                    continue
                if row is None:
                    told.append(f"{place}: is missing")
                elif row["_deleted_at"] and not records.is_flagged(record, table):
                    told.append(f"{place}: is buried, but it is there")
                else:
                    mirrored, sent = records.rebuilt(row, table), records.plain(record, table)
                    told += records.differing(place, mirrored, sent, zone)
            gone = [key for key, row in rows.items() if row["_deleted_at"] is None and key not in truth]
            told += [f"{table.name} {key}: is alive, but it is gone upstream" for key in gone] if deletions else []
        return told

    async def holds(self, stream: str) -> bool:
        """Say whether the mirror holds any row of a stream."""
        return bool(await self._rows(self.tables(stream)[0]))

    async def never_sent(self, stream: str) -> list[str]:
        """Return the fields of declared columns that no record had which a run has read, unless they are optional."""
        table, found = self.source.stream(stream).table, []
        places = {"": table, **{".".join(child.at) + "[].": child.table for child in table.children}}
        counts = {place: len(await self._rows(each)) for place, each in places.items()}
        for row in await self.fetch(
            "SELECT field, occurrences FROM syncd.drift WHERE stream = $1 AND change = 'vanished'", stream
        ):
            place = max((each for each in places if row["field"].startswith(each)), key=len)
            found += [row["field"]] if 0 < counts[place] <= row["occurrences"] else []
        return found

    async def wrongly_buried(self, stream: str) -> list[str]:
        """Return the rows that bear a tombstone although the sandbox still holds their record."""
        found = []
        for table in self.tables(stream):
            truth = self._truth(table)
            for key, row in (await self._rows(table)).items():
                if row["_deleted_at"] and key in truth and not records.is_flagged(truth[key], table):
                    found.append(f"{table.name} {key}: is buried, but it is there")
        return found

    async def require_equal(self, stream: str, when: str, *, deletions: bool = True) -> None:
        """Raise AssertionError unless the mirror of a stream is what the sandbox holds."""
        found = await self.differences(stream, deletions=deletions)
        require(not found, f"{when}, {stream} differs from the upstream:{listed(found)}")

    def _truth(self, table: Table) -> dict[records.Key, Record]:
        held = self.sandbox.truth(self.source.type, table.name)
        found = {records.key_of(record, table): record for record in held}
        for parent in (stream.table for stream in self.source.streams):
            if parent.deleted and any(child.table is table for child in parent.children):
                deleted = {key for key, record in self._truth(parent).items() if records.is_flagged(record, parent)}
                found = {key: record for key, record in found.items() if key[: len(parent.key)] not in deleted}
        return found

    async def _rows(self, table: Table) -> dict[records.Key, asyncpg.Record]:
        rows = await self.fetch(f'SELECT * FROM "{table.schema}"."{table.name}"')  # noqa: S608  (a declared name)
        return {records.key(row, table): row for row in rows}


def require(holds: bool, told: str) -> None:
    """Raise AssertionError with these words unless it holds."""
    if not holds:
        raise AssertionError(told)


def listed(found: Sequence[str]) -> str:
    """Return findings as lines."""
    more = [f"… and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return "".join(f"\n  {each}" for each in [*found[:SHOWN], *more])


@contextlib.asynccontextmanager
async def open_rig(
    source: Source,
    *,
    lines: str = "",
    fixed: tuple[str, ...] = (),
    sizes: Mapping[str, Any] = MappingProxyType({}),
    expects: Callable[[str, Record], bool] = lambda _stream, _record: True,
) -> AsyncIterator[Rig]:
    """Open a rig over an empty mirror and a sandbox in which every stream fills some pages.

    `lines` are TOML, added to the source's table, and after further headers to others; NAME in them stands for the
    source's name.
    """
    place, time = await place_of(source), Time()
    async with contextlib.AsyncExitStack() as stack:
        opened = await database.connect(place.settings)
        stack.push_async_callback(opened.close)
        await _empty(opened)
        sandbox = Sandbox(now=time.now, page_size=PAGE_SIZE, **sizes)
        api = next((api for api in sandbox.apis if api.name == source.type), None)
        if api is None:
            raise AssertionError(
                f"the sandbox has no API {source.type}: declare it as an entry point of the group syncd.sandbox, and"
                " install the plugin (pip install -e .)"
            )
        address = await stack.enter_async_context(serve(sandbox))
        path = place.folder / f"{source.type}.toml"
        path.touch(mode=0o600)
        path.write_text(_config(place.url, source, api, address.base_url(source.type), lines))
        settings = configuration.load(path, {source.type: spec_of(source)})
        http = await stack.enter_async_context(http_session())
        syncer = Syncer(
            settings, {source.type: source}, opened, http, clock=time.now, sleep=time.sleep, jitter=lambda: 0.0
        )
        rig = Rig(
            source=source, sandbox=sandbox, api=api, syncer=syncer, db=opened, time=time, expects=expects, fixed=fixed
        )
        _listen(rig)
        rig.fill()
        yield rig


def _config(url: str, source: Source, api: Api, base_url: str, lines: str) -> str:
    """Return a configuration of the one source: its sandbox's account, all streams on, all lookups that there are."""
    name = api.source_name
    written = [f"[database]\nurl = {json.dumps(url)}", f"[sources.{name}]", f'type = "{source.type}"']
    written += [f'base_url = "{base_url}"']
    written += [f"{key} = {json.dumps(value)}" for key, value in api.credentials.items()]
    text = "\n".join([*written, lines.replace("NAME", name), ""])
    lookups = api.lookups()
    for stream in source.streams:
        header = f"[sources.{name}.streams.{stream.name}]"
        keys = [f"{option} = {json.dumps(values)}" for option, values in lookups.get(stream.name, {}).items()]
        told = "\n".join([header, "enabled = true", *keys, ""])
        text = text.replace(f"{header}\n", told) if f"{header}\n" in text else f"{text}{told}"
    return text


def _listen(rig: Rig) -> None:
    """Let the rig see each request, and keep what its headers hold beside words that everybody sends."""
    judge = rig.api.refusal

    def refusal(ask: Ask) -> Answer | None:
        for name, value in ask.headers.items():
            if name.lower() not in PLAIN_HEADERS:
                rig.sent.update(value.split())
        for hear in rig.heard:
            hear(ask)
        if any(refuse(ask) for refuse in rig.refuses):
            return rig.api.error(400, "what the request names is not known")
        return judge(ask)

    rig.api.refusal = refusal  # type: ignore[method-assign]


async def _empty(db: Database) -> None:
    """Delete every row that belongs to a source."""
    async with db.connection() as conn:
        tables = await conn.fetch(
            "SELECT format('%I.%I', t.table_schema, t.table_name) AS name FROM information_schema.tables t"
            " JOIN information_schema.columns c USING (table_schema, table_name)"
            " WHERE c.column_name = 'source' AND t.table_type = 'BASE TABLE'"
        )
        await conn.execute(";".join(f"DELETE FROM {row['name']}" for row in tables))  # noqa: S608  (names of ours)
        await conn.execute("DELETE FROM syncd.losses")  # what was deleted just now
