"""`syncd export`: one table of the mirror as a file, streamed: memory stays the same however many rows there are.

Owns the file formats, for reports too. Only reads; a file is there whole or not at all.
"""

from pathlib import Path

import asyncpg
import click

from syncd import config as configuration
from syncd.cli import console, proposals
from syncd.cli.files import Format, write, written
from syncd.cli.options import command, config_option
from syncd.cli.session import execute, load_config, opened_database, reading
from syncd.config import Config
from syncd.contract import Table
from syncd.errors import UsageError
from syncd.sources import registry


@command(
    examples=[
        ("syncd export shop.customers --output customers.csv", "every row of one stream"),
        ("syncd export cars.vehicles --format parquet --output cars.parquet", "for a data warehouse"),
        ("syncd export lease.orders --format jsonl | gzip > orders.jsonl.gz", "to another program"),
    ]
)
@click.argument("selector", metavar="STREAM", shell_complete=proposals.selectors)
@click.option(
    "--format", "form", type=click.Choice(["csv", "jsonl", "parquet"]), default="csv", show_default=True,
    help="Form of the file.",
)  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="[default: stdout]")
@click.option("--with-deleted", is_flag=True, help="What is gone upstream too, with _deleted_at.")
@config_option
def export(selector: str, form: Format, output: Path | None, with_deleted: bool, config_path: Path | None) -> int:
    """Export the mirrored rows of one stream as a file.

    Streams from the database, however many rows there are; a file takes its name once it is whole.
    """
    return execute(export_stream(config_path, selector, form=form, output=output, with_deleted=with_deleted))


HIDDEN = ("_hash", "_deleted_at")
"""Columns that say nothing to others; tombstones are exported only if asked for."""


async def export_stream(
    path: Path | None, selector: str, *, form: Format, output: Path | None, with_deleted: bool
) -> int:
    """Write one stream's rows, in the order of their key, to a file or to stdout."""
    settings = load_config(path, resolve_secrets=False)
    source, table = _table(settings, selector)
    async with opened_database(settings) as database, database.connection() as conn:
        async with reading(conn, timeout_s=0):
            query = await _query(conn, table, with_deleted=with_deleted)
            with written(output, binary=form == "parquet") as file:
                rows = await write(conn, query, [source], form, file)
    console.print_note(f"{rows:,} row{'' if rows == 1 else 's'}{f' in {output}' if output else ''}")
    return 0


def _table(settings: Config, selector: str) -> tuple[str, Table]:
    """Return the source and the table that a selector names: a stream's, on or off, or the child table of one."""
    source, _, name = selector.partition(".")
    if source in settings.sources:
        for stream in registry()[settings.sources[source].type].streams:
            for table in (stream.table, *(child.table for child in stream.table.children)):
                if name == table.name:
                    return source, table
    matching = len(configuration.select(settings, [selector]))
    raise UsageError(f'"{selector}" matches {matching} streams', hint="Name one in full, e.g. shop.customers.")


async def _query(conn: asyncpg.Connection, table: Table, *, with_deleted: bool) -> str:
    """Return the query of a table's rows, with the columns that the database has, in its order."""
    rows = await conn.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped"
        " ORDER BY attnum",
        f"{table.schema}.{table.name}",
    )
    hidden = HIDDEN[:1] if with_deleted else HIDDEN
    columns = ", ".join(f'"{row[0]}"' for row in rows if row[0] not in hidden)
    alive = "" if with_deleted else " AND _deleted_at IS NULL"
    key = ", ".join(table.key)
    return f'SELECT {columns} FROM "{table.schema}"."{table.name}" WHERE source = $1{alive} ORDER BY {key}'
