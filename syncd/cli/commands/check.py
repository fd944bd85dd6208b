"""`syncd check`: says of configuration, database and every source whether it works, and how to mend what does not."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import click

from syncd import config as configuration
from syncd.cli import accounts, console
from syncd.cli.checks import budget, configured, stored, tables, upstream
from syncd.cli.finding import CONFIGURATION, DATABASE, Finding, failed
from syncd.cli.options import command, config_option, json_option
from syncd.cli.session import execute, load_config
from syncd.engine.syncer import Syncer
from syncd.errors import DatabaseError
from syncd.sources import registry
from syncd.storage.postgres import database
from syncd.storage.postgres.database import Database
from syncd.upstream.wire import http_session


@command(
    examples=[
        ("syncd check", "0: all well; 1: an upstream; 2: configuration; 3: database"),
        ("syncd check --budget", "requests a day that every stream needs; 2 if they are too many"),
    ]
)
@click.option("--budget", "is_budget", is_flag=True, help="Say how many requests a day are needed; ask no upstream.")
@config_option
@json_option
def check(config_path: Path | None, as_json: bool, is_budget: bool) -> int:
    """Check config, database and every upstream.

    Says what is missing and how to mend it. Logs in and sends one cheap request per source; writes nothing.
    --budget tells instead how many requests a day each stream needs, what is left for backfills, and what to change.
    """
    return execute(budget.show(config_path, as_json=as_json) if is_budget else check_all(config_path, as_json=as_json))


async def check_all(path: Path | None, *, as_json: bool) -> int:
    """Look at everything, print what was found, and return the exit code of the gravest finding."""
    async with contextlib.aclosing(_findings(path)) as found:
        well = f"all well; next: {console.pasteable('sync', path)}, or {console.pasteable('run', path)}"
        return await console.print_findings(found, as_json=as_json, well=well)


async def _findings(path: Path | None) -> AsyncGenerator[Finding, None]:
    """Yield what is found, from the configuration outwards."""
    settings = load_config(path, resolve_secrets=False, asks=False)
    yield Finding(what=f"configuration {settings.path}", state="ok")
    settings, of_rows = accounts.with_rows(settings)
    for finding in (*of_rows, *configured.refused(settings)):
        yield finding
    missing = configuration.missing_secrets(settings.without_rows, os.environ)
    for text in missing:
        yield Finding(what="secret", state="failed", detail=text, exit_code=CONFIGURATION)
    for finding in configured.findings(settings):
        yield finding
    async with contextlib.AsyncExitStack() as stack:
        opened: Database | None = None
        try:
            opened = await database.connect(settings.database)
            stack.push_async_callback(opened.close)
            yield Finding(what=f"database {opened.shown}", state="ok")
            await database.require_writable(opened)
            found = await tables.findings(opened)
            for finding in found:
                yield finding
            is_usable = not any(finding.state == "failed" for finding in found)
            for finding in await tables.of_plugins(opened) if is_usable else []:
                yield finding
            for finding in await stored.findings(settings, opened, is_whole=not missing) if is_usable else []:
                yield finding
            opened = opened if is_usable else None
        except DatabaseError as error:
            yield failed("database", error, DATABASE)
            opened = None
        if missing:
            yield Finding(what="sources", state="warning", detail="not asked, because secrets are missing")
            return
        full = load_config(path, asks=bool(settings.rows_digest))
        for finding in (*accounts.unready(full, settings), *configured.notified(full)):
            yield finding
        http = await stack.enter_async_context(http_session())
        syncer = Syncer(full, registry(), opened or upstream.Nowhere(), http)
        asked = [asyncio.create_task(upstream.ask(syncer, name, charged=opened is not None)) for name in full.sources]
        stack.push_async_callback(_end, asked)
        for task in asked:
            for finding in await task:
                yield finding


async def _end(tasks: list[asyncio.Task[list[Finding]]]) -> None:
    """End what is still asked, before the session and the database that it uses are closed."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
