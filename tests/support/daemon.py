"""The service under test: its configuration file, a life in this process or another, and a door to its database."""

import asyncio
import contextlib
import json
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from syncd import config as configuration
from syncd.config import Config
from syncd.sandbox import CREDENTIALS
from syncd.service import accounts, daemon
from syncd.sources import registry, specs
from syncd.storage.postgres import embedded
from tests.support import forks
from tests.support.bench import Bench, Time

APIS = {"shop": "cyclesoftware", "lease": "cyclis", "cars": "autengo", "parts": "ghs"}
Events = list[MutableMapping[str, Any]]


class Now(Time):
    """The real time: the daemon is another process, or lives by APScheduler's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def write(
    bench: Bench, streams: Mapping[str, str], *, listen: str = "127.0.0.1:0", url: str = "", extra: str = ""
) -> Path:
    """Write a configuration in which only the given streams are on."""
    lines = [f'[database]\nurl = "{url or bench.db_url}"', f'[http]\nlisten = "{listen}"', extra]
    for source in dict.fromkeys(selector.partition(".")[0] for selector in streams):
        api = APIS[source]
        lines += [f'[sources.{source}]\ntype = "{api}"\nbase_url = "{bench.address.base_url(api)}"']
        lines += [f"{key} = {json.dumps(value)}" for key, value in CREDENTIALS[api].items()]
        for name in registry()[api].names:
            lines += [f"[sources.{source}.streams.{name}]", streams.get(f"{source}.{name}", "enabled = false")]
    path = bench.folder / f"daemon-{listen.rpartition(':')[2]}.toml"
    path.touch(mode=0o600)
    path.write_text("\n".join(lines))
    return path


def load(path: Path) -> Config:
    return accounts.with_accounts(configuration.load(path, specs()))


async def until(check: Callable[[], Awaitable[Any]], timeout_s: float = 15.0) -> Any:
    """Ask until the answer is true."""
    async with asyncio.timeout(timeout_s):
        while not (found := await check()):  # noqa: ASYNC110  (the database cannot set an event of ours)
            await asyncio.sleep(0.02)
        return found


@contextlib.asynccontextmanager
async def serving(
    path: Path, *, environ: Mapping[str, str] | None = None, is_worker: bool = False
) -> AsyncIterator[str]:
    """Let a daemon live in this process; yield the address of its page. It must end well within 10 s."""
    stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()
    serve = daemon.serve(
        lambda: load(path), stop=stop, logs=False, environ=environ or {}, on_started=started.set_result,
        is_worker=is_worker,
    )  # fmt: skip
    task = asyncio.create_task(serve)
    await asyncio.wait({task, started}, return_when=asyncio.FIRST_COMPLETED, timeout=20)
    if task.done():
        await task
    try:
        yield started.result()
    finally:
        stop.set()
        if is_worker and not task.done():  # only signals end a worker, which otherwise begins its next life
            signal.raise_signal(signal.SIGTERM)
        assert await asyncio.wait_for(task, 10) == 0


@dataclass
class Process:
    """A daemon in a process of its own."""

    process: forks.Process
    log: Path
    _ended_s: float = field(default=0.0)

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    async def end(self, number: int) -> tuple[int, float]:
        """Send a signal; return exit code and how long the end took."""
        sent_at = time.monotonic()
        self.process.send_signal(number)
        code = await asyncio.wait_for(self.process.wait(), 20)
        return code, time.monotonic() - sent_at


@contextlib.asynccontextmanager
async def living(log: Path, start: Callable[[int], Awaitable[forks.Process]]) -> AsyncIterator[Process]:
    """Let a process live whose outputs go to a file; it is killed at the end unless it has ended.

    `start` takes the descriptor of that file.
    """
    with log.open("wb") as file:
        process = await start(file.fileno())
    try:
        yield Process(process, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        forks.let_go(process)


def spawned(
    path: Path, name: str = "daemon", *words: str, command: str = "run"
) -> contextlib.AbstractAsyncContextManager[Process]:
    """Let a daemon or another command live with that configuration."""
    return living(
        path.parent / f"{name}.log",
        lambda output: forks.start(command, "--config", str(path), *words, stdout=output, stderr=output),
    )


async def count(bench: Bench, query: str, *values: Any) -> int:
    return int((await bench.fetch(f"SELECT count(*) FROM {query}", *values))[0][0])


def mirrors_customers(bench: Bench) -> Callable[[], Awaitable[bool]]:
    """Say whether the mirror holds exactly the upstream's customers."""

    async def check() -> bool:
        truth = {(row["customer_id"], row["city"]) for row in bench.sandbox.truth("cyclesoftware", "customers")}
        rows = await bench.rows("cyclesoftware.customers")
        return truth == {(row["customer_id"], row["city"]) for row in rows}

    return check


async def more(bench: Bench, query: str, than: int) -> bool:
    return await count(bench, query) > than


async def was_told(events: Events, name: str, times: int = 1) -> bool:
    return len([event for event in events if event["event"] == name]) >= times


class Gate:
    """A door before the database's socket, which can be shut."""

    def __init__(self, server: embedded.Server) -> None:
        self._path = f"{server.host}/.s.PGSQL.{server.port}"
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)

    def shut(self) -> None:
        if self._server:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._path)
        self._writers |= {writer, inner_writer}
        await asyncio.gather(self._pump(reader, inner_writer), self._pump(inner_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
        self._writers.discard(writer)


def through(gate: Gate, bench: Bench) -> str:
    name = bench.db_url.partition("@")[2].partition("/")[2].partition("?")[0]
    return f"postgresql://syncd@127.0.0.1:{gate.port}/{name}"
