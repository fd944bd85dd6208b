"""Dumps the private server's database into a file, and loads such a file, with the server's own tools.

A dump is as of one instant, whatever runs meanwhile. It is in pg_dump's custom format, which later major versions of
PostgreSQL load, too. No password stands on a command line.
"""

import asyncio
import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from syncd.errors import DatabaseError, UsageError
from syncd.storage.postgres.embedded.server import Server

TOLD_CHARS: Final = 400
"""Longest text of a tool that is passed on; our choice."""
_GRANTED: Final = re.compile(r'^(?:GRANT .* TO|ALTER DEFAULT PRIVILEGES .* TO) "?([\w-]+)"?', re.MULTILINE)
_CONTEXT: Final = re.compile(r"^(?:.*(?:DETAIL|CONTEXT|STATEMENT|QUERY|Command was|COPY ).*|\s.*)$", re.MULTILINE)


async def dump(server: Server, path: Path) -> int:
    """Write a dump to a file, which takes its name once it is whole; return its size in bytes.

    Readable by its owner only. Raises UsageError if the file cannot be made, DatabaseError if the tool fails.
    """
    with _whole(path) as file:
        await _run(server, "pg_dump", "--format=custom", stdout=file.fileno())
        return os.fstat(file.fileno()).st_size


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write, which takes its name once the block ends well."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", hint="Name another file.") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            os.fsync(file.fileno())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


async def load(server: Server, path: Path) -> None:
    """Load a dump into the empty database of a server, whole or not at all; roles that it names are made.

    Raises UsageError for a file that is no dump, DatabaseError if the tool fails.
    """
    _require_dump(path)
    grants = await _run(server, "pg_restore", "--schema-only", "--file=-", str(path), connects=False)
    import asyncpg

    conn = await asyncpg.connect(**server.connect_arguments)
    try:
        for role in sorted(set(_GRANTED.findall(grants)) - {"PUBLIC", "postgres"}):
            if not await conn.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
                await conn.execute(f'CREATE ROLE "{role}" NOLOGIN')
    finally:
        await conn.close()
    await _run(server, "pg_restore", "--no-owner", "--single-transaction", "--exit-on-error",
               f"--dbname={server.database}", str(path), names_database=False)  # fmt: skip


def _require_dump(path: Path) -> None:
    """Raise UsageError unless the file is a dump in pg_dump's custom format."""
    try:
        with path.open("rb") as file:
            is_dump = file.read(5) == b"PGDMP"
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", hint="Name a file that syncd backup wrote."
        ) from None
    if not is_dump:
        raise UsageError(f"{path} is no backup of syncd", hint="Name a file that syncd backup wrote.")


async def _run(
    server: Server,
    tool: str,
    *arguments: str,
    stdout: int = asyncio.subprocess.PIPE,
    connects: bool = True,
    names_database: bool = True,
) -> str:
    """Run a tool of the server and return what it printed. Raises DatabaseError with its words, without any value."""
    program = server.psql.parent / tool
    if not program.exists():
        raise DatabaseError(f"the private server has no {tool}: {program} is missing", hint="Install syncd again.")
    where = server.connect_arguments
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    if connects:
        environ |= {"PGHOST": str(where["host"]), "PGPORT": str(where["port"]), "PGUSER": str(where["user"])}
        environ |= {"PGPASSWORD": where["password"]} if "password" in where else {}
        environ |= {"PGDATABASE": server.database} if names_database else {}
    process = await asyncio.create_subprocess_exec(
        program, *(("--no-password",) if connects else ()), *arguments, env=environ,
        stdin=asyncio.subprocess.DEVNULL, stdout=stdout, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        raise
    if process.returncode:
        told = " ".join(_CONTEXT.sub("", err.decode(errors="replace")).split())[:TOLD_CHARS]
        raise DatabaseError(f"{tool} failed: {told or f'exit code {process.returncode}'}", hint="Nothing was changed.")
    return (out or b"").decode(errors="replace")
