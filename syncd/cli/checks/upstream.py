"""Whether a source answers: one login, one cheap request."""

from typing import Final

import asyncpg

from syncd import config as configuration
from syncd.cli.finding import DATABASE, UPSTREAM, Finding, failed
from syncd.clock import utc_now
from syncd.config import SourceConfig
from syncd.contract import Answer
from syncd.engine.order import Order
from syncd.engine.syncer import Syncer
from syncd.errors import DatabaseError, SyncdError
from syncd.storage.postgres import driver
from syncd.storage.postgres.database import Database
from syncd.upstream.purse import Charge
from syncd.upstream.request import RunUpstream

CLOCK_OFF_S: Final = 60.0
"""A clock that differs by more from a server's makes cursors lag; it is worth a word."""


class Nowhere(Database):
    """Stands where there is no database: the sources can be asked without one."""

    def __init__(self) -> None:
        super().__init__("", "none")


class _Uncounted:
    """A budget that is not kept, because the database that would keep it is missing: one login, one request."""

    async def charge(self, _lane: str, **_how: object) -> Charge:
        now = utc_now().timestamp()
        return Charge(now, now)

    async def observe(self, _observation: object) -> None:
        return

    async def flush(self) -> None:
        return

    def has_room(self, _lane: str) -> bool:
        return False


async def ask(syncer: Syncer, name: str, *, charged: bool) -> list[Finding]:
    """Log in to one source and ask for the first page of its cheapest listing."""
    source, settings = syncer.source(name)
    on = [s for s in source.streams if configuration.is_off(settings.streams[s.name]) is None]
    listings = [s for s in on if s.sweep_s is None and not s.lookup and not s.reads] or on
    if not listings:
        return [Finding(what=f"source {name}", state="warning", detail="no stream is on")]
    stream = listings[0]
    account = syncer.account(name)
    if not charged:
        account.purse = _Uncounted()  # type: ignore[assignment]
    upstream = RunUpstream(account, stream.name, "live")
    heard: list[Answer] = []
    upstream.hears = heard.append
    try:
        if charged:
            await syncer.require_same_account(name)
        walk = await syncer.walk(name, stream.name, Order(), upstream, None)
        try:
            async with stream.pages(walk) as pages:
                page = await anext(pages)
        finally:
            await account.purse.flush()
    except asyncpg.PostgresError as error:  # a constraint or a trigger of others on our own state
        found = [failed(f"source {name}", driver.refused(error, syncer.database.shown), DATABASE)]
    except SyncdError as error:
        of_source = failed(f"source {name}", error, DATABASE if isinstance(error, DatabaseError) else UPSTREAM)
        if settings.proxy and settings.proxy.address not in of_source.detail:
            of_source.detail += _through(settings)
        found = [of_source]
    else:
        detail = f"{settings.base_url} answers, {stream.name} gave {len(page.records)} records{_through(settings)}"
        found = [Finding(what=f"source {name}", state="ok", detail=detail)]
    return found + _clock_off(name, heard)


def _through(settings: SourceConfig) -> str:
    """Name the proxy that a source uses."""
    return f", through the proxy {settings.proxy.address} ({settings.proxy.origin})" if settings.proxy else ""


def _clock_off(name: str, heard: list[Answer]) -> list[Finding]:
    """Return a warning if this machine's clock differs from the server's."""
    for answer in heard[:1]:
        off_s = (answer.sent_at - answer.served_at).total_seconds() if answer.served_at else 0.0
        if abs(off_s) > CLOCK_OFF_S:
            return [
                Finding(
                    what=f"clock of {name}",
                    state="warning",
                    detail=f"this machine is {abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} its server",
                    hint="Synchronise this machine's clock (timedatectl set-ntp true). Cursors take the earlier one.",
                )
            ]
    return []
