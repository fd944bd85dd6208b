"""Accounts whose server hangs beside a healthy one: by how much that one is late, and how long the end of it all takes.

All are due every two seconds, the worst that a configuration can ask for. The healthy one answered last time; the
others hang from the start, and give up and try again while one looks. Daemon and upstream are processes of their
own.

    python -m bench hanging
"""

import asyncio
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import asyncpg

from bench.accounts import Probe, memory_mb, serving, upstream
from bench.stage import Stage, measured, python
from bench.standin import SILENT, STREAMS
from bench.table import Row

ITEM = "hanging accounts"
HANGING = (8, 30, 500)
EVERY_S = 2.0
WATCHED_S = 30.0
GIVEN_UP = "10s"
"""Of the silence of a server, so that one sees all of them give up, too."""


def config_text(url: str, port: int, hanging: int) -> str:
    """Return the configuration: one healthy account with one stream, and so many that hang, with two streams each."""
    lines = [f'[database]\nurl = "{url}"\n[http]\nlisten = "127.0.0.1:0"\n']
    for name in ("healthy", *(f"{SILENT}{number:04}" for number in range(hanging))):
        lines.append(f'[sources.{name}]\ntype = "cyclis"\nbase_url = "http://127.0.0.1:{port}/{name}"')
        lines.append(f'api_token = "token-of-{name}"\n[sources.{name}.timeouts]\nfirst_byte = "{GIVEN_UP}"')
        lines.append(f"[sources.{name}.streams]")
        on = {"orders"} if name == "healthy" else {"orders", "companies"}
        lines += [
            f'{stream} = {{ every = "{EVERY_S:.0f}s" }}' if stream in on else f"{stream} = {{ enabled = false }}"
            for stream in STREAMS
        ]
    return "\n".join(lines) + "\n"


async def measure(stage: Stage) -> list[Row]:
    """Let each number of accounts hang for a while, side by side: they hardly do anything.

    Return what the healthy account of each felt.
    """
    stage.tell(f"{', '.join(map(str, HANGING))} accounts that hang")
    urls = [await stage.database(f"hanging_{hanging}") for hanging in HANGING]
    async with upstream() as port:
        works = (_hung(stage, port, hanging, url) for hanging, url in zip(HANGING, urls, strict=True))
        return [row for rows in await asyncio.gather(*works) for row in rows]


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


async def _hung(stage: Stage, port: int, hanging: int, url: str) -> list[Row]:
    config: Path = stage.folder / f"hanging-{hanging}.toml"
    _write(config, config_text(url, port, hanging))
    await measured(*python("-m", "syncd", "sync", "healthy", "--config", config))
    conn = await asyncpg.connect(url)
    try:
        async with serving(config) as daemon:
            began, probe = datetime.now(UTC), Probe(daemon.pid)
            await asyncio.sleep(WATCHED_S)
            cpu_share, memory = probe.share(), memory_mb(daemon.pid)
            starts = [began.timestamp()] + [
                row[0].timestamp()
                for row in await conn.fetch(
                    "SELECT started_at FROM syncd.runs WHERE source = 'healthy' AND started_at > $1 ORDER BY run_id",
                    began,
                )
            ]
            hang = await conn.fetchval("SELECT count(*) FROM syncd.runs WHERE source <> 'healthy'")
            end_at = time.monotonic()
            daemon.process.terminate()
            await daemon.process.wait()
            took_s = time.monotonic() - end_at
    finally:
        await conn.close()
    late = sorted(max(0.0, later - earlier - EVERY_S) for earlier, later in pairwise(starts))
    subject = f"{hanging} that hang, 1 healthy"
    note = f"{len(late)} runs, one is due every {EVERY_S:.0f} s; {hang} runs of the others hung"
    return [
        Row(ITEM, subject, "delay p99 of the healthy one", late[min(len(late) - 1, int(len(late) * 0.99))], "s", note),
        Row(ITEM, subject, "runs of the healthy one", len(late) / (WATCHED_S / EVERY_S) * 100, "%", "of those due"),
        Row(ITEM, subject, "CPU of the daemon", cpu_share * 100, "% of a core"),
        Row(ITEM, subject, "memory", memory, "MB"),
        Row(ITEM, subject, "end after SIGTERM", took_s, "s"),
    ]
