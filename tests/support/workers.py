"""Workers under test: a configuration of many accounts of one sandbox, and processes that share them."""

import contextlib
import json
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

from syncd.sandbox import CREDENTIALS
from syncd.sources import registry
from tests.support.bench import Bench
from tests.support.daemon import Process, spawned, until


def write(
    bench: Bench, accounts: int, *, streams: str = "stores", every: str = "1s", scale: str = "shards = 8\nlease = '2s'"
) -> Path:
    """Write a configuration with so many accounts, of which one stream is on."""
    lines = [f'[database]\nurl = "{bench.db_url}"\n[http]\nlisten = "127.0.0.1:0"\n[scale]\n{scale}']
    for number in range(accounts):
        source = f"shop{number:04}"
        base_url = bench.address.base_url("cyclesoftware")
        lines += [f'[sources.{source}]\ntype = "cyclesoftware"\nbase_url = "{base_url}"']
        lines += [f"{key} = {json.dumps(value)}" for key, value in CREDENTIALS["cyclesoftware"].items()]
        for name in registry()["cyclesoftware"].names:
            said = f'every = "{every}"' if name == streams else "enabled = false"
            lines += [f"[sources.{source}.streams.{name}]", said]
    path = bench.folder / "workers.toml"
    path.touch(mode=0o600)
    path.write_text("\n".join(lines))
    return path


def working(path: Path, name: str, *words: str) -> contextlib.AbstractAsyncContextManager[Process]:
    """Let a worker live in a process of its own; it is killed at the end unless it has ended."""
    return spawned(path, name, *words, command="worker")


async def held(bench: Bench) -> dict[int, set[int]]:
    """Return the shards of every worker that is alive, by its process."""
    rows = await bench.fetch(
        "SELECT pid, shards FROM syncd.workers WHERE lost_at IS NULL"
        " AND beat_at > clock_timestamp() - make_interval(secs => lease_s)"
    )
    return {row["pid"]: set(row["shards"]) for row in rows}


def shared(bench: Bench, pids: Collection[int], shards: int = 8) -> Callable[[], Awaitable[bool]]:
    """Say whether exactly these workers share all shards evenly."""

    async def check() -> bool:
        now = await held(bench)
        sizes = sorted(len(each) for each in now.values())
        return (
            now.keys() == set(pids)
            and sum(sizes) == shards
            and set().union(*now.values()) == set(range(shards))
            and sizes[-1] - sizes[0] <= 1
        )

    return check


async def runs_since(bench: Bench, run_id: int) -> list[Any]:
    """Return the runs after one, the oldest first."""
    return await bench.fetch("SELECT * FROM syncd.runs WHERE run_id > $1 ORDER BY run_id", run_id)


async def newest_run(bench: Bench) -> int:
    return int((await bench.fetch("SELECT coalesce(max(run_id), 0) FROM syncd.runs"))[0][0])


async def all_ran(bench: Bench, accounts: int, run_id: int, pids: Collection[int], timeout_s: float = 15.0) -> None:
    """Wait until every account ran well after a run, in one of these processes."""

    async def check() -> bool:
        rows = await runs_since(bench, run_id)
        return len({row["source"] for row in rows if row["outcome"] == "ok" and row["pid"] in pids}) == accounts

    await until(check, timeout_s)


async def crossing(bench: Bench) -> list[Any]:
    """Return the runs of one stream that committed something while another process ran it."""
    return await bench.fetch(
        "SELECT a.run_id, b.run_id FROM syncd.runs a JOIN syncd.runs b ON a.source = b.source AND a.stream = b.stream"
        " AND a.pid <> b.pid AND a.started_at < b.started_at AND a.finished_at > b.started_at"
        " WHERE a.outcome <> 'aborted'"
    )
