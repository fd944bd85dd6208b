"""One session of PostgreSQL: how it is opened, which settings it has, and how its socket is tuned."""

import contextlib
import socket
from collections.abc import Mapping
from typing import Final

import asyncpg

from syncd.records.values import pg_day, pg_instant, pg_number

PROGRAM: Final = "syncd"
"""The name of a session in pg_stat_activity."""
CONNECT_TIMEOUT_S: Final = 10.0
LOCK_TIMEOUT: Final = "60s"
"""How long a statement waits for a lock before it fails: no statement of ours holds one for longer than a page."""
STATEMENT_TIMEOUT: Final = "10min"
"""Longest statement: burying after a listing of millions of rows takes seconds."""
SETTINGS: Final[Mapping[str, str]] = {
    "statement_timeout": STATEMENT_TIMEOUT,
    "jit": "off",
    "lock_timeout": LOCK_TIMEOUT,
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "search_path": "public",
    # a policy that would hide rows from us is an error; without this its rows would look as if they were gone
    "row_security": "off",
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "bytea_output": "hex",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "quote_all_identifiers": "off",
    "xmloption": "content",
    "restrict_nonsystem_relation_kind": "",
    "plan_cache_mode": "auto",
    # the locks of a killed process are released within this time, and not only when its last statement ends
    "client_connection_check_interval": "2s",
}
"""Settings of every session, whatever was set for the role or the database; those that a server does not know are left
out. They are set by statements, because pgbouncer refuses them as startup parameters.
"""
_SET: Final = """
SELECT set_config(name, value, false) FROM (VALUES {values}) AS s(name, value)
WHERE current_setting(name, true) IS NOT NULL
"""
HURRIED_TRIES: Final = 10
"""Tries to lift a timeout of milliseconds that was set for the role; one statement takes less than one."""
SILENCE: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}
"""With these (s, s, count, ms) a server that vanished without a word is noticed within a minute."""
PAGE_BYTES: Final = 2**20
"""What the kernel may buffer of a statement on its way to PostgreSQL: more than the rows of a page."""


async def open_session(url: str, program: str = PROGRAM) -> asyncpg.Connection:
    """Connect, and make the session ready for work; raises what the driver raises.

    `program` is the session's name from its first moment on. A session that the server ends before it is ready is
    opened again: an `idle_session_timeout` of milliseconds, set for the role, may be over by then.
    """
    for _ in range(HURRIED_TRIES):
        with contextlib.suppress(asyncpg.ConnectionDoesNotExistError, asyncpg.IdleSessionTimeoutError):
            return await _open_session(url, program)
    return await _open_session(url, program)


async def _open_session(url: str, program: str) -> asyncpg.Connection:
    conn = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": program})
    try:
        _tune_socket(conn)
        await _set_timeout(conn)
        await conn.execute(_SET.format(values=", ".join(f"('{name}', '{value}')" for name, value in SETTINGS.items())))
        await conn.set_type_codec(
            "timestamptz", schema="pg_catalog", encoder=pg_instant.written, decoder=pg_instant.read, format="tuple"
        )
        await conn.set_type_codec(
            "date", schema="pg_catalog", encoder=pg_day.written, decoder=pg_day.read, format="tuple"
        )
        await conn.set_type_codec(
            "numeric", schema="pg_catalog", encoder=pg_number.written, decoder=pg_number.read, format="binary"
        )
    except BaseException:
        conn.terminate()
        raise
    return conn


async def _set_timeout(conn: asyncpg.Connection) -> None:
    """Lift the time for a statement, even where so little is allowed that not every statement gets through."""
    lift = f"SET statement_timeout = '{SETTINGS['statement_timeout']}'"
    for _ in range(HURRIED_TRIES):
        with contextlib.suppress(asyncpg.QueryCanceledError):
            await conn.execute(lift)
            return
    await conn.execute(lift)


def _tune_socket(conn: asyncpg.Connection) -> None:
    """Let the kernel buffer a whole page, and end a connection whose other end is gone without a word.

    What the kernel does not buffer waits for this process: PostgreSQL would stand still while the next page is read.
    """
    sock = conn._transport.get_extra_info("socket")  # noqa: SLF001  (the driver has no option for it)
    if sock.family == socket.AF_UNIX:  # over TCP the kernel sizes the buffer by itself
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PAGE_BYTES)
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in SILENCE.items():
        if hasattr(socket, name):  # not on every system
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
