"""`syncd export`: one table of the mirror as a file, streamed: memory stays the same however many rows there are.

Owns the file formats, for reports too. Only reads; a file is there whole or not at all.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import asyncpg

from syncd import config as configuration
from syncd.cli import console
from syncd.cli.session import load_config, opened_database
from syncd.config import Config
from syncd.contract import Table
from syncd.errors import SyncdError, UsageError
from syncd.sources import registry

Format = Literal["csv", "jsonl", "parquet"]

BATCH_ROWS = 10_000
"""Rows of a Parquet file that are in memory at once, and that make one of its row groups."""
HIDDEN = ("_hash", "_deleted_at")
"""Columns that say nothing to others; tombstones are exported only if asked for."""


async def run(path: Path | None, selector: str, *, form: Format, output: Path | None, with_deleted: bool) -> int:
    """Write one stream's rows, in the order of their key, to a file or to stdout."""
    settings = load_config(path, resolve_secrets=False)
    source, table = _table(settings, selector)
    async with opened_database(settings) as database, database.connection() as conn:
        async with conn.transaction(isolation="repeatable_read", readonly=True):
            await conn.execute("SET LOCAL statement_timeout = 0")
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


# --- Files ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def written(path: Path | None, *, binary: bool = False) -> Iterator[BinaryIO]:
    """Give a file to write, which takes its name once the block ends well; stdout if there is no path.

    Readable by its owner only, for it may hold personal data. Raises UsageError if it cannot be written, or if bytes
    would go to a terminal.
    """
    if path is None:
        if binary and sys.stdout.isatty():
            raise UsageError("Parquet is no text for a terminal", hint="Give --output FILE.")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", hint="Name another file.") from None


async def write(conn: asyncpg.Connection, query: str, values: Sequence[object], form: Format, file: BinaryIO) -> int:
    """Write the rows of a query; return how many. The caller opened a transaction."""
    if form == "parquet":
        return await _write_parquet(conn, query, values, file)
    if form == "csv":
        status = await conn.copy_from_query(query, *values, output=file, format="csv", header=True)
    else:
        # JSON holds no control characters, so that with these nothing is quoted and each line is an object as it is
        status = await conn.copy_from_query(
            f"SELECT row_to_json(line) FROM ({query}) AS line", *values, output=file, format="csv",
            delimiter="\x02", quote="\x01",
        )  # fmt: skip
    return int(status.split()[-1])


async def _write_parquet(conn: asyncpg.Connection, query: str, values: Sequence[object], file: BinaryIO) -> int:
    pa, pq = _pyarrow()
    types = {
        "int2": pa.int64(), "int4": pa.int64(), "int8": pa.int64(), "bool": pa.bool_(), "date": pa.date32(),
        "float4": pa.float64(), "float8": pa.float64(), "numeric": pa.float64(),
        "timestamptz": pa.timestamp("us", tz="UTC"), "interval": pa.duration("us"),
    }  # fmt: skip
    statement = await conn.prepare(query)
    names = [(each.name, each.type.name) for each in statement.get_attributes()]
    schema = pa.schema([(name, types.get(kind, pa.string())) for name, kind in names])
    converts = [float if kind == "numeric" else None if kind in types else str for _, kind in names]
    rows = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        cursor = await statement.cursor(*values)
        while batch := await cursor.fetch(BATCH_ROWS):
            columns = [
                [value if value is None or convert is None else convert(value) for value in column]
                for column, convert in zip(zip(*batch, strict=True), converts, strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            rows += len(batch)
    return rows


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise SyncdError(
            "Parquet needs the package pyarrow, which is not installed",
            hint="pip install 'syncd[parquet]', or take --format csv.",
        ) from None
    return pa, parquet
