"""Asks the query of `[sources_from]` for the accounts that there are now.

Keeps nothing, and writes nothing. What a row means, `config.rows` says.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Final, TypeVar

from syncd import config as configuration
from syncd.config import Config, Row, RowsDigest, RowsReader
from syncd.errors import ConfigError, DatabaseError, DatabaseUnavailable
from syncd.sources import refused, specs
from syncd.storage.postgres import database, reading
from syncd.storage.postgres.database import Database

TIMEOUT_S: Final = 60.0
"""Longest time that the query may take for a batch of its rows, as the queries for keys."""
ROWS_MAX: Final = 1_000_000
"""More rows are a query that went wrong; our choice."""

T = TypeVar("T")


def beside(work: Callable[[], T]) -> Future[T]:
    """Begin some work in a thread of its own, for which the end of the program does not wait."""
    future: Future[T] = Future()

    def do() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001  it is raised where the result is asked for
                future.set_exception(error)

    Thread(target=do, name="accounts", daemon=True).start()
    return future


def digested(load: Callable[[], Config], before: Config | None = None) -> Config:
    """Read the configuration and make its digests, which take a second for 50,000 accounts: not in the event loop.

    It shares the accounts that did not change with the one before.
    """
    config = load()
    if before is not None and config is not before:
        config = config.sharing(before)
    _made = config.digest, config.common_digest
    return config


def with_accounts(config: Config, *, resolve_secrets: bool = True, environ: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration with the accounts that its query gives now; as it is where it has no query.

    It waits for the database, in a thread of its own, so that it works within an event loop and without one. Where the
    query gives what it gave before, the same configuration is returned, and no secret is read again.

    Raises ConfigError for a query that is wrong, and DatabaseError where the database cannot be asked.
    """
    if config.sources_from is None:
        return config
    if config.rows_digest:
        digest = RowsDigest()
        ask(config, digest.take)
        if digest.hex == config.rows_digest:
            return config
    reader = RowsReader(config, specs(), environ=environ, resolve_secrets=resolve_secrets, refused=refused())
    ask(config, reader.take)
    return reader.config()


def ask(config: Config, take: Callable[[Sequence[Row]], None]) -> str:
    """Hand over the rows that the query gives now, some at a time; return the role that it ran as.

    Raises as `with_accounts` does, and what `take` raises.
    """
    return beside(lambda: asyncio.run(_asked(config, take))).result()


async def _asked(config: Config, take: Callable[[Sequence[Row]], None]) -> str:
    asked = config.sources_from
    if asked is None:
        raise AssertionError("only a configuration with sources_from has rows")
    if asked.url:
        opened = Database(asked.url.reveal(), configuration.without_password(asked.url.reveal()), pool_size=1)
    else:
        opened = await _mirror(config)
    try:
        return await reading.records(opened, asked.query, take, timeout_s=TIMEOUT_S, most=ROWS_MAX)
    except reading.QueryFault as fault:
        hint = " ".join(filter(None, (fault.hint, "Mend the query in the configuration.")))
        raise ConfigError(f"sources_from.query failed: {fault}", hint=hint) from None
    finally:
        await opened.close()


async def _mirror(config: Config) -> Database:
    """Open the mirror's database. To wait for the private server, if that cannot be started, would not help."""
    try:
        return await database.connect(config.database, pool_size=1)
    except DatabaseUnavailable as error:
        if config.database.is_embedded:
            raise DatabaseError(str(error), hint=error.hint) from None
        raise
