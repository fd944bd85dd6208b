"""Files that a command writes from rows: their formats, and that a file is there whole or not at all."""

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import asyncpg

from syncd.cli.output import Output, OutputFailed
from syncd.errors import SyncdError, UsageError

Format = Literal["csv", "jsonl", "parquet"]

BATCH_ROWS = 10_000
"""Rows of a Parquet file that are in memory at once, and that make one of its row groups."""


@contextlib.contextmanager
def written(path: Path | None, *, binary: bool = False) -> Iterator[BinaryIO]:
    """Give a file to write, which takes its name once the block ends well; stdout if there is no path.

    Readable by its owner only, for it may hold personal data. Raises UsageError if it cannot be made, or if bytes would
    go to a terminal, and OutputFailed if it cannot be written.
    """
    if path is None:
        if binary and sys.stdout.isatty():
            raise UsageError("Parquet is no text for a terminal", hint="Give --output FILE.")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", hint="Name another file.") from None
    raw = Output(descriptor, str(path), closefd=True)
    file = io.BufferedWriter(raw)
    try:
        yield file
        file.flush()
        with _failing(path):
            os.fsync(descriptor)
            Path(name).replace(path)
    except BaseException:
        raw.give_up()
        Path(name).unlink(missing_ok=True)
        raise
    finally:
        file.close()


@contextlib.contextmanager
def _failing(path: Path) -> Iterator[None]:
    """Turn an error of the file system into ours."""
    try:
        yield
    except OSError as error:
        raise OutputFailed(f"{path} cannot be written: {error.strerror}") from None


async def write(conn: asyncpg.Connection, query: str, values: Sequence[object], form: Format, file: BinaryIO) -> int:
    """Write the rows of a query; return how many. The caller opened a transaction.

    Raises OutputFailed if they cannot be written; the connection is closed then.
    """
    if form == "parquet":
        return await _write_parquet(conn, query, values, file)

    async def sink(data: bytes) -> None:
        file.write(data)

    try:
        return await _copied(conn, query, values, form, sink)
    except OutputFailed:
        conn.terminate()  # the server would wait for ever for somebody to take the rest
        raise


async def _copied(
    conn: asyncpg.Connection,
    query: str,
    values: Sequence[object],
    form: Format,
    sink: Callable[[bytes], Awaitable[None]],
) -> int:
    if form == "csv":
        status = await conn.copy_from_query(query, *values, output=sink, format="csv", header=True)
    else:
        # JSON holds no control characters, so that with these nothing is quoted and each line is an object as it is
        status = await conn.copy_from_query(
            f"SELECT row_to_json(line) FROM ({query}) AS line", *values, output=sink, format="csv",
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
