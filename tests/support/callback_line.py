"""A line between the sandbox and a daemon: the orders of Cyclis, whose changes the upstream calls about."""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from syncd.sandbox import CREDENTIALS
from syncd.sandbox.apis.cyclis.callbacks import body_of
from syncd.sources import registry
from tests.support.bench import Bench, MakeBench
from tests.support.command import Ended, WallClock, syncd
from tests.support.daemon import Process, spawned, until
from tests.support.ports import free_port

ORDERS = 'every = "1h"\nsweep = "7d"'
ORDERS_PAIR = ("lease", "orders")
JSON = {"Content-Type": "application/json"}


class Line:
    """A bench whose only stream is the orders of Cyclis, read once, and the configuration of a daemon that listens."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.port = free_port()
        self.path = self.write()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def upstream(self) -> Any:
        return self.bench.sandbox.callbacks

    def write(self, extra: str = "", *, name: str = "lease.toml", orders: str = ORDERS) -> Path:
        lines = [
            f'[database]\nurl = "{self.bench.db_url}"',
            f'[http]\nlisten = "127.0.0.1:0"\ncallback_listen = "127.0.0.1:{self.port}"',
            f'[sources.lease]\ntype = "cyclis"\nbase_url = "{self.bench.address.base_url("cyclis")}"',
            *(f"{key} = {json.dumps(value)}" for key, value in CREDENTIALS["cyclis"].items()),
            extra or f'callbacks = true\ncallback_url = "{self.base}"',
        ]
        for stream in registry()["cyclis"].names:
            lines += [f"[sources.lease.streams.{stream}]", orders if stream == "orders" else "enabled = false"]
        path = self.bench.folder / name
        path.touch(mode=0o600)
        path.write_text("\n".join(lines))
        return path

    async def command(self, *words: str, path: Path | None = None) -> Ended:
        return await syncd("callbacks", *words, "--config", path or self.path)

    async def register(self) -> str:
        """Register, and return the secret address."""
        ended = await self.command("register", "lease")
        assert ended.code == 0, ended.err
        return str(self.upstream.url)

    async def state_of(self, key: str) -> str | None:
        rows = await self.bench.rows("cyclis.orders", f"id = '{key}' AND _deleted_at IS NULL")
        return str(rows[0]["state"]) if rows else None

    async def runs(self, where: str = "true") -> list[dict[str, Any]]:
        rows = await self.bench.fetch(f"SELECT * FROM syncd.runs WHERE {where} ORDER BY run_id")
        return [dict(row) for row in rows]

    def change(self, place: int = 0, state: str = "quote_called") -> str:
        """Change an order upstream, which calls back, and return its id."""
        order = self.bench.sandbox.truth("cyclis", "orders")[place]
        order["attributes"]["state"] = state
        self.bench.sandbox.put("cyclis", "orders", order)
        return str(order["id"])

    async def answered(self, kind: str, count: int = 1) -> list[int]:
        """Wait until so many callbacks of a kind were answered; return the statuses."""

        async def statuses() -> list[int]:
            found = [call.status for call in self.upstream.sent if call.kind == kind]
            return found if len(found) >= count else []

        return list(await until(statuses))

    def asked(self, endpoint: str) -> int:
        """Return how often an endpoint of Cyclis was asked."""
        return sum(entry.endpoint == endpoint for entry in self.bench.sandbox.requests)


async def open_line(make_bench: MakeBench) -> Line:
    """Make the bench of a line, on the real clock, and read its orders once."""
    bench = await make_bench(time=WallClock(), customers=10)
    await bench.sync("lease.orders")
    bench.sandbox.requests.clear()
    return Line(bench)


@contextlib.asynccontextmanager
async def daemon_of(line: Line, path: Path | None = None) -> AsyncIterator[Process]:
    """Let a daemon live in a process of its own, until it listens for callbacks."""
    async with spawned(path or line.path) as process:
        await until(true_of(lambda: bool(process.events("callbacks_listening"))))
        yield process


def true_of(check: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    async def answer() -> Any:
        return check()

    return answer


def equal(ask: Callable[[str], Awaitable[Any]], key: str, wanted: Any) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return bool(await ask(key) == wanted)

    return check


def more_runs(line: Line, where: str, count: int) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return len(await line.runs(f"{where} AND outcome = 'ok'")) >= count

    return check


def call_of(key: str) -> Any:
    from syncd.sandbox.courier import Call

    return Call(kind="sent", body=body_of(key))
