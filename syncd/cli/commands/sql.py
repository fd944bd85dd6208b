"""`syncd sql`: runs one query of the user on the mirror, which it cannot change."""

import os
from pathlib import Path
from typing import Any

import asyncpg
import click

from syncd.cli import console
from syncd.cli.options import command, config_option, json_option
from syncd.cli.session import execute, fetch_rows, load_config, opened_database
from syncd.errors import UsageError


@command(examples=[('syncd sql "SELECT count(*) FROM cyclesoftware.customers"', "")])
@click.argument("query")
@config_option
@json_option
def sql(query: str, config_path: Path | None, as_json: bool) -> int:
    """Run one read-only query on the mirror.

    Handy with the private server, where there is no psql.
    """
    text = os.fsencode(query).decode(errors="replace")  # a C locale takes UTF-8 for bytes of no meaning
    return execute(run_query(config_path, text, as_json=as_json))


QUERY_TIMEOUT_S = 300.0
"""Longest query: it is for a look, not for a report."""


async def run_query(path: Path | None, query: str, *, as_json: bool) -> int:
    """Run one read-only query and print its rows."""
    settings = load_config(path, resolve_secrets=False, asks=False)
    async with (
        opened_database(settings, migrated=False) as open_database,
        open_database.connection() as conn,
    ):
        try:
            async with conn.transaction(readonly=True):
                await conn.execute(f"SET LOCAL statement_timeout = '{QUERY_TIMEOUT_S:.0f}s'")
                columns, rows = await fetch_rows(conn, query)
        except (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError):
            raise
        except asyncpg.PostgresError as error:
            # its DETAIL is left out: it shows values of rows
            raise UsageError(f"the query failed: {error.args[0] if error.args else error}") from None
    if as_json:
        console.print_json([{name: _plain(value) for name, value in zip(columns, row, strict=True)} for row in rows])
    else:
        console.print_rows(columns, rows)
        console.say(f"{len(rows):,} row{'' if len(rows) == 1 else 's'}")
    return 0


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
