"""Writes docs/cookbook.md, the questions with their answers on the sandbox's seed: `python -m tests.papers.cookbook`.

With `--check` it only says whether the page is stale.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg

from syncd import config as configuration
from syncd import log
from syncd.cli.session import fetch_rows
from syncd.cookbook import Question, questions
from syncd.sandbox.limits import Limits
from syncd.storage.postgres import database, embedded, migrations
from tests.support.bench import SERVER_SETTINGS, Bench, database_url, open_bench
from tests.support.cluster import TEMPLATE
from tests.support.past import live_through

PAGE = Path(__file__).parents[2] / "docs" / "cookbook.md"
SHOWN = 10
"""Rows of an answer that the page shows."""

INTRODUCTION = """\
# Cookbook: questions and their queries

This page is written by `python -m tests.papers.cookbook` from `syncd/cookbook/*.sql`.
CI fails if it is not current. Do not edit it.

Every query reads schema `reporting` ([what is in it](schema.md)). Paste it into psql or a BI tool, or let syncd answer:
`syncd report` lists the questions, and `syncd report stock_by_store` answers one. `--format csv`, `json` or `parquet`
writes a file. `--where make=BMW` narrows what is counted by any column of the views that a question reads.
`--at 2026-11-01` asks for another day, or for another end of “the last twelve months”.

The answers below come from the simulated upstreams, at 22 November 2026, 9:00 UTC. Questions about the past need
`history = true` ([how it works](history.md)); here the history begins on 14 September. The tests compute every answer
from the simulated upstreams in Python, without SQL, and compare.

Ages and ranges such as “the last twelve months” count from `reporting.now()`. That is now, unless the session says
`SET reporting.now = '2026-06-30'`. With several accounts of one type, add `source` to a query where it matters.
"""


@asynccontextmanager
async def opened_mirror(server: embedded.Server, folder: Path) -> AsyncIterator[Bench]:
    """Open a bench whose mirror holds the whole seed, and something of what was before."""
    admin = await asyncpg.connect(**server.connect_arguments)
    name = f"cookbook_{id(folder):x}"
    made = await admin.fetchval("SELECT true FROM pg_database WHERE datname = $1", TEMPLATE)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE if made else 'template1'}")
    url = database_url(server, name)
    try:
        async with AsyncExitStack() as stack:
            settings = configuration.DatabaseConfig(url=configuration.Secret(url), data_dir=folder)
            opened = await database.connect(settings)
            stack.push_async_callback(opened.close)
            await migrations.migrate(opened)
            bench = await open_bench(stack, opened, url, folder, keeps=True, limits=Limits(per_minute=5_000))
            bench.past = await live_through(bench)
            for source in bench.config.sources.values():
                for stream in source.streams:
                    result = await bench.sync(f"{source.name}.{stream}")
                    assert result.outcome == "ok", result.error
            yield bench
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


async def answered(bench: Bench, question: Question) -> tuple[list[str], list[list[Any]]]:
    """Ask a question, with the bench's clock as now."""
    async with bench.db.connection() as conn, conn.transaction(readonly=True):
        await conn.execute(f"SET LOCAL reporting.now = '{bench.time.now().isoformat()}'")
        columns, rows = await fetch_rows(conn, question.query)
    return columns, rows


async def page(bench: Bench) -> str:
    """Return the whole page."""
    parts, about = [INTRODUCTION], ""
    for question in questions().values():
        if question.about != about:
            about = question.about
            parts.append(f"## {about}\n")
        columns, rows = await answered(bench, question)
        parts.append(f"### {question.name}\n\n{question.text}\n\n```sql\n{question.query};\n```\n")
        shown = [map(_cell, row, columns) for row in rows[:SHOWN]]
        parts.append(markdown_table(columns, shown))
        if len(rows) > SHOWN:
            parts.append(f"… and {len(rows) - SHOWN} more rows.\n")
    return "\n".join(parts)


def markdown_table(heads: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: Any, column: str) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value}" if column.endswith("_id") else f"{value:,}"
        case Decimal():
            return f"{value:,f}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M}"
        case timedelta():
            return f"{value.total_seconds():.0f} s"
    return str(value).replace("|", "\\|")


def write(path: Path, page: Callable[[Bench], Awaitable[str]], module: str) -> None:
    """Write a page that is made from a mirror of the whole seed; with `--check` only say whether it is stale."""
    log.configure("auto", "error")
    text = asyncio.run(_made(page))
    if "--check" not in sys.argv:
        path.write_text(text)
    elif path.read_text() != text:
        sys.exit(f"docs/{path.name} is not current: python -m {module}")


async def _made(page: Callable[[Bench], Awaitable[str]]) -> str:
    with tempfile.TemporaryDirectory(prefix="syncd-page-", ignore_cleanup_errors=True) as folder:
        server = await embedded.ensure(Path(folder) / "data", settings=SERVER_SETTINGS)
        try:
            async with opened_mirror(server, Path(folder)) as bench:
                return await page(bench)
        finally:
            await embedded.stop(Path(folder) / "data")


if __name__ == "__main__":
    write(PAGE, page, "tests.papers.cookbook")
