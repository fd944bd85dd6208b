"""`syncd check`: says of configuration, database and every source whether it works, and how to mend what does not."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from syncd import config as configuration
from syncd import console, database, log
from syncd.client import http_session
from syncd.commands import load_config
from syncd.config import Config
from syncd.database import Database
from syncd.errors import DatabaseError, ScopeMissing, SyncdError
from syncd.ledger import Charge
from syncd.source import Answer
from syncd.sources import registry
from syncd.sync import Order, Syncer, utc_now

CLOCK_OFF_S = 60.0
"""A clock that differs by more from a server's makes cursors lag; it is worth a word."""


@dataclass(kw_only=True)
class Finding:
    """One thing that was looked at: `state` is ok, warning or failed; `hint` the mending step."""

    what: str
    state: str
    detail: str = ""
    hint: str = ""


async def run(path: Path | None, *, as_json: bool) -> int:
    """Look at everything, print what was found, and return the exit code of the gravest finding."""
    log.configure("auto", "error")
    findings: list[Finding] = []
    code = 0
    async for finding, failure_code in _findings(path):
        findings.append(finding)
        code = max(code, failure_code if finding.state == "failed" else 0)
        if not as_json:
            _print(finding)
    if as_json:
        console.print_json(findings)
    elif code == 0:
        console.out.print("all well; next: syncd sync, or syncd run")
    return code


def _print(finding: Finding) -> None:
    mark = {"ok": "[green]ok[/]     ", "warning": "[yellow]warning[/]", "failed": "[red]failed[/] "}[finding.state]
    console.out.print(f"{mark} {finding.what}", end="")
    console.out.print(f": {finding.detail}" if finding.detail else "", markup=False, soft_wrap=True)
    if finding.hint:
        console.out.print(f"        → {finding.hint}", markup=False, soft_wrap=True)


async def _findings(path: Path | None) -> AsyncIterator[tuple[Finding, int]]:
    """Yield each finding with the exit code that its failure means."""
    settings = load_config(path, resolve_secrets=False)
    yield Finding(what=f"configuration {settings.path}", state="ok"), 2
    missing = configuration.missing_secrets(settings, os.environ)
    for text in missing:
        yield Finding(what="secret", state="failed", detail=text), 2
    if settings.http and not configuration.is_loopback(settings.http.host):
        detail = f"http.listen {settings.http.host} is open to other machines, and the page asks for no password"
        yield Finding(what="status page", state="warning", detail=detail, hint="Listen on 127.0.0.1."), 0
    for finding in _lookups(settings):
        yield finding, 0
    opened: Database | None = None
    try:
        opened = await database.connect(settings.database)
        yield Finding(what=f"database {opened.shown}", state="ok"), 3
        await database.require_migrated(opened)
        yield Finding(what="migrations", state="ok", detail=database.newest_revision()), 3
        yield await _rights(opened), 3
    except DatabaseError as error:
        yield Finding(what="database", state="failed", detail=str(error), hint=error.hint), 3
    if not missing:
        full = load_config(path)
        async with http_session() as http:
            for name in full.sources:
                async for finding in _source(Syncer(full, registry(), _Nowhere(), http), name):
                    yield finding, 1
    if opened:
        await opened.close()


def _lookups(settings: Config) -> list[Finding]:
    """Return a finding for every lookup stream that has no keys and is therefore off."""
    return [
        Finding(what=f"{source.name}.{stream.name}", state="warning", detail=f"is off: it {reason}")
        for source in settings.sources.values()
        for stream in source.streams.values()
        if stream.enabled and (reason := configuration.is_off(stream))
    ]


async def _rights(opened: Database) -> Finding:
    async with opened.connection() as conn:
        lacking = await conn.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
            " WHERE schemaname IN ('syncd', 'cyclesoftware', 'cyclis', 'autengo', 'ghs')"
            " AND NOT has_table_privilege(format('%I.%I', schemaname, tablename), 'SELECT, INSERT, UPDATE, DELETE')"
        )
    if lacking:
        return Finding(
            what="rights", state="failed", detail=f"the role may not write {lacking[0]['name']} and others",
            hint="Connect as the owner of the tables, see deploy/roles.sql.",
        )  # fmt: skip
    return Finding(what="rights", state="ok")


class _Nowhere(Database):
    """Stands where a command needs no database: a check must work before there is one."""

    def __init__(self) -> None:
        self.shown = "none"


class _OneRequest:
    """A budget for one request: a check is neither counted nor delayed, because its database may be missing."""

    async def charge(self, _lane: str, *, patience_s: float) -> Charge:
        return Charge(0.0, utc_now().timestamp())

    async def observe(self, _observation: object) -> None:
        return

    async def flush(self) -> None:
        return


async def _source(syncer: Syncer, name: str) -> AsyncIterator[Finding]:
    """Log in to one source and ask for the first page of its cheapest listing."""
    source, settings = syncer.source(name)
    on = [s for s in source.streams if configuration.is_off(settings.streams[s.name]) is None]
    listings = [s for s in on if s.sweep_s is None and not s.lookup] or on
    if not listings:
        yield Finding(what=f"source {name}", state="warning", detail="no stream is on")
        return
    stream = listings[0]
    account = syncer.account(name)
    account.purse = _OneRequest()  # type: ignore[assignment]
    upstream = account.upstream(stream.name, "live")
    heard: list[Answer] = []
    upstream.hears = heard.append
    try:
        walk = await syncer.walk(name, stream.name, Order(), upstream, None)
        walking = stream.walk(walk)
        page = await anext(walking)
        await walking.aclose()  # type: ignore[attr-defined]
    except ScopeMissing as error:
        yield Finding(what=f"source {name}", state="warning", detail=str(error), hint=error.hint)
    except SyncdError as error:
        yield Finding(what=f"source {name}", state="failed", detail=str(error), hint=error.hint)
    else:
        detail = f"{settings.base_url} answers, {stream.name} holds {len(page.records)} records"
        yield Finding(what=f"source {name}", state="ok", detail=detail)
    for answer in heard[:1]:
        if answer.served_at and abs((answer.sent_at - answer.served_at).total_seconds()) > CLOCK_OFF_S:
            off_s = (answer.sent_at - answer.served_at).total_seconds()
            yield Finding(
                what=f"clock of {name}", state="warning", detail=f"this machine is {off_s:+.0f} s off its server's clock",
                hint="Synchronise this machine's clock (timedatectl set-ntp true). Cursors take the earlier of the two.",
            )  # fmt: skip
