"""`syncd callbacks`: registers our address with an upstream, takes it away, or says what stands there.

The only place from which the upstream's one address is ever touched, and only at the operator's word. An address of
somebody else is never taken away unasked.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from syncd import log
from syncd.cli import console, proposals, runner, webhooks
from syncd.cli.options import config_option, group, json_option
from syncd.cli.session import execute, load_config, opened_database
from syncd.clock import utc_now
from syncd.config import Config, SourceConfig
from syncd.contract import Callbacks, CannotTell, Webhooks
from syncd.contract.options import CALLBACK_SECRET_IN, CALLBACK_URL
from syncd.errors import NotFound, SyncdError, UsageError
from syncd.service.callbacks import registration
from syncd.service.callbacks.registration import Registration
from syncd.sources import registry
from syncd.storage.postgres.database import Database
from syncd.upstream.request import RunUpstream

source_argument = click.argument("source", shell_complete=proposals.callback_sources)


@group(
    examples=[
        ("syncd callbacks status lease", "what is registered, and what the last callback led to"),
        ("syncd callbacks register lease", "let Cyclis tell us of changes, beside the polling"),
        ("syncd callbacks clear lease", "take our address away again"),
    ],
)
def callbacks() -> None:
    """Register or clear the address that a vendor calls.

    The vendor has room for one address. Nothing but these commands ever touches it.
    """


@callbacks.command(
    "register",
    examples=[
        ("syncd callbacks register lease", "refused if another address stands there"),
        ("syncd callbacks register lease --replace", "takes its place; whoever listens there hears no more"),
        ("syncd callbacks register shop", "prints address, events and secret, which you enter at the vendor"),
    ],
)
@source_argument
@click.option("--replace", is_flag=True, help="Take the place of another address.")
@config_option
@json_option
def callbacks_register(source: str, replace: bool, config_path: Path | None, as_json: bool) -> int:
    """Register an address of ours for a source, or say what to enter at its vendor.

    Needs callbacks = true and callback_url in the configuration of the source. Does nothing if ours is there already.
    Of a source with webhooks (CycleSoftware) it prints address, events and secret, and asks nobody; --json is for it.
    """
    return execute(register_address(config_path, source, replace=replace, as_json=as_json))


@callbacks.command("clear", examples=[("syncd callbacks clear lease", "refused if the address is not ours")])
@source_argument
@config_option
def callbacks_clear(source: str, config_path: Path | None) -> int:
    """Take our address away from a source.

    One that is not ours is left alone. The polling goes on as before.
    """
    return execute(clear_address(config_path, source))


@callbacks.command(
    "status",
    examples=[
        ("syncd callbacks status lease", ""),
        ("syncd callbacks status lease --json", "for a script"),
    ],
)
@source_argument
@config_option
@json_option
def callbacks_status(source: str, config_path: Path | None, as_json: bool) -> int:
    """Say what is registered, and what came.

    Exit code 1 if we listen, and what is registered is not ours.
    """
    return execute(show_registration(config_path, source, as_json=as_json))


PAGE: Final = "docs/callbacks.md"

_WHAT_CAME: Final = """
SELECT run_id, kind, outcome, rows_inserted, rows_updated, rows_unchanged FROM syncd.runs
WHERE source = $1 AND stream = $2 AND kind IN ('callback', 'live') AND started_at >= $3 ORDER BY run_id LIMIT 1
"""


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What stands upstream: an address (None: none), whether it is ours (None: the upstream does not tell)."""

    url: str | None
    digest: bytes | None
    is_ours: bool | None

    @property
    def words(self) -> str:
        if self.is_ours is None:
            return "the upstream does not tell"
        if self.url is None:
            return "nothing"
        return f"{registration.masked(self.url)} ({'ours' if self.is_ours else 'not ours'})"


class _Desk:
    """One source, as the three commands need it."""

    def __init__(self, settings: SourceConfig, callbacks: Callbacks, upstream: RunUpstream, database: Database) -> None:
        self.settings, self.callbacks = settings, callbacks
        self.upstream, self.database = upstream, database

    def address(self, secret: str) -> str:
        """Return the address with this secret that the configuration asks for."""
        options = self.settings.options
        place = CALLBACK_SECRET_IN.of(options)
        return registration.address(str(CALLBACK_URL.of(options)), self.settings.name, secret, place)

    async def known(self) -> list[Registration]:
        return await registration.read(self.database, self.settings.name)

    async def found(self) -> _Found:
        """Ask the upstream which address it calls."""
        try:
            url = await self.callbacks.registered(self.upstream, self.settings.options)
        except CannotTell:
            return _Found(url=None, digest=None, is_ours=None)
        if url is None:
            return _Found(url=None, digest=None, is_ours=False)
        digest = registration.matches(registration.secret_of(url), [one.digest for one in await self.known()])
        if digest:
            log.protect(registration.secret_of(url))
        return _Found(url=url, digest=digest, is_ours=digest is not None)

    async def clear(self) -> None:
        await self.callbacks.clear(self.upstream, self.settings.options)

    async def register(self, url: str) -> None:
        await self.callbacks.register(self.upstream, self.settings.options, url)

    async def settle(self, digest: bytes | None) -> None:
        await registration.settle(self.database, self.settings.name, digest, now=utc_now())


def _webhooks(path: Path | None, source: str) -> tuple[Config, Webhooks | None]:
    """Return how a source is told of changes by signed calls, None if it is told otherwise or not at all."""
    settings = load_config(path)
    found = settings.sources.get(source)
    return settings, registry()[found.type].webhooks if found else None


@contextlib.asynccontextmanager
async def _opened(path: Path | None, source: str) -> AsyncIterator[_Desk]:
    """Open everything; raises UsageError for a source that there is not, or that knows no callbacks."""
    async with runner.opened(path, []) as syncer:
        if source not in syncer.config.sources:
            known = ", ".join(syncer.config.sources)
            raise UsageError(f'there is no source "{source}"', hint=f"The configuration has: {known}")
        kind, settings = syncer.source(source)
        if kind.callbacks is None:
            raise UsageError(f"{source} is of type {kind.type}, which has no callbacks")
        await syncer.require_same_account(source)
        account = syncer.account(source)
        try:
            yield _Desk(settings, kind.callbacks, RunUpstream(account, "callbacks", "live"), syncer.database)
        finally:
            await account.purse.flush()


async def register_address(path: Path | None, source: str, *, replace: bool, as_json: bool) -> int:
    """Register an address of ours, unless it is registered already; with `replace` also in place of another one."""
    settings, hooks = _webhooks(path, source)
    if hooks:
        return webhooks.print_entry(settings.sources[source], hooks, settings.callback_listen, as_json=as_json)
    async with _opened(path, source) as desk:
        options = desk.settings.options
        if not options["callbacks"]:
            raise UsageError(
                f"{source} does not listen for callbacks",
                hint=f"Write callbacks = true in [sources.{source}], and restart the daemon. See {PAGE}.",
            )
        if not options["callback_url"]:
            raise UsageError(
                f"{source} has no public address",
                hint=f"Write callback_url in [sources.{source}]: where the vendor reaches this machine. See {PAGE}.",
            )
        found = await desk.found()
        wanted = found.url and desk.address(registration.secret_of(found.url))
        if found.is_ours and found.url == wanted:
            await desk.settle(found.digest)
            console.say(f"{source}: our address is registered already; nothing was changed")
            return 0
        if not replace and not found.is_ours and (found.url or found.is_ours is None):
            raise SyncdError(
                f"{source}: another address stands there: {registration.masked(found.url)}; nothing was changed"
                if found.url
                else f"{source}: the upstream does not tell whether an address stands there; nothing was changed",
                hint="There can be one only: whoever listens there would hear no more. Once you know that nobody does:"
                f" syncd callbacks register {source} --replace",
            )
        await _put(desk, clears=bool(found.url) or found.is_ours is None)
    console.say(f"{source}: registered {registration.masked(desk.address(registration.MASK))}")
    return 0


async def _put(desk: _Desk, *, clears: bool) -> None:
    """Make up an address, accept it, and hand it to the upstream, which wants the one before it cleared first."""
    source, secret = desk.settings.name, registration.new_secret()
    log.protect(secret)
    digest, url = registration.digest_of(secret), desk.address(secret)
    # known here before there: a callback may come at once, and one that is known for nothing does no harm
    await registration.add(desk.database, source, digest, now=utc_now())
    if clears:
        with contextlib.suppress(NotFound):  # there was none
            await desk.clear()
    refused: SyncdError | None = None
    try:
        await desk.register(url)
    except SyncdError as error:  # or the answer was lost, and a second try refused
        refused = error
    found = await desk.found()
    if refused and (found.is_ours is None or found.url != url):
        if clears:
            refused.hint = f"{refused.hint} The address before was cleared.".strip()
        raise refused
    if found.is_ours is not None and found.url != url:
        raise SyncdError(
            f"{source}: the upstream took the address, but what it says is registered is {found.words}",
            hint="Is callbacks_field right? Look again: syncd callbacks status",
        )
    await desk.settle(digest)


async def clear_address(path: Path | None, source: str) -> int:
    """Take our address away; one that is not ours stays."""
    if _webhooks(path, source)[1]:
        raise UsageError(
            f"{source}: its address was entered at the vendor by hand",
            hint="Delete it there, and take webhook_secret out of the configuration.",
        )
    async with _opened(path, source) as desk:
        found = await desk.found()
        if found.is_ours is False and found.url is None:
            await desk.settle(None)
            console.say(f"{source}: no address is registered; nothing to do")
            return 0
        ours = found.is_ours
        if ours is None:
            ours = any(one.registered_at for one in await desk.known())
        if not ours:
            raise SyncdError(
                f"{source}: the address that stands there is not ours: {found.words}; it was left alone",
                hint="Whoever registered it can clear it.",
            )
        await desk.clear()
        await desk.settle(None)
    console.say(f"{source}: our address is cleared; the polling runs go on as before")
    return 0


async def show_registration(path: Path | None, source: str, *, as_json: bool) -> int:
    """Say what is registered, whether it is ours, and what came of the last callback; 1 if callbacks cannot come."""
    settings, hooks = _webhooks(path, source)
    if hooks:
        async with opened_database(settings) as database:
            return await webhooks.show(settings.sources[source], hooks, database, as_json=as_json)
    async with _opened(path, source) as desk:
        found, known = await desk.found(), await desk.known()
        last = max((one for one in known if one.heard_at), key=lambda one: str(one.heard_at), default=None)
        run = None
        if last and last.heard == "accepted":
            async with desk.database.connection() as conn:
                run = await conn.fetchrow(_WHAT_CAME, source, desk.callbacks.stream, last.heard_at)
    listens = bool(desk.settings.options["callbacks"])
    registered_at = next((one.registered_at for one in known if one.digest == found.digest), None)
    if as_json:
        console.print_json({
            "source": source, "listens": listens, "registered": found.url and registration.masked(found.url),
            "ours": found.is_ours, "registered_at": registered_at, "heard_at": last and last.heard_at,
            "heard": last and last.heard, "run": dict(run) if run else None,
        })  # fmt: skip
    else:
        console.say(f"listens:     {'yes' if listens else 'no (callbacks = false)'}")
        since = f", since {registered_at:%Y-%m-%d %H:%M} UTC" if registered_at else ""
        console.say(f"registered:  {found.words}{since}")
        console.say(f"last heard:  {f'{last.heard_at:%Y-%m-%d %H:%M:%S} UTC, {last.heard}' if last else 'never'}")
        if run:
            counts = ", ".join(f"{run[f'rows_{word}']} {word}" for word in ("inserted", "updated", "unchanged"))
            console.say(f"led to:      run {run['run_id']} ({run['kind']}): {run['outcome']}; {counts}")
    return 1 if listens and found.is_ours is False else 0
