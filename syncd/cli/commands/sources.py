"""`syncd sources`: whose data the mirror holds, and what becomes of it when an account or its name changes."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from syncd import config as configuration
from syncd.cli import console
from syncd.cli.options import config_option, group, json_option
from syncd.cli.session import execute, load_config, opened_database
from syncd.clock import utc_now
from syncd.config import Config
from syncd.errors import UsageError
from syncd.sources import registry
from syncd.status import Owner, read_owners
from syncd.storage.mirror import holdings
from syncd.storage.mirror.holdings import ByTable, Place, Told
from syncd.storage.postgres.database import Database
from syncd.storage.state import sources as state
from syncd.storage.state.rest import at_rest, end_runs


@group(
    examples=[
        ("syncd sources list", "whose data the mirror holds"),
        ("syncd sources rename shop store", "the source has another name in the configuration now"),
        ("syncd sources adopt cars", "its account changed, and the data are the same"),
        ("syncd sources drop cars --dry-run", "what would be deleted, by table"),
    ],
)
def sources() -> None:
    """Say whose data the mirror holds, rename it, adopt it, or drop it."""


@sources.command(
    "list",
    examples=[("syncd sources list", ""), ("syncd sources list --json | jq '.[] | select(.configured | not)'", "")],
)
@config_option
@json_option
def sources_list(config_path: Path | None, as_json: bool) -> int:
    """List every source that is configured, or of which rows are stored.

    States: ours, another account (its runs are refused), orphan (nobody configures it), empty (nothing stored yet).
    """
    return execute(list_sources(config_path, as_json=as_json))


@sources.command("rename", examples=[("syncd sources rename shop store", "before or after the configuration")])
@click.argument("old")
@click.argument("new")
@config_option
def sources_rename(old: str, new: str, config_path: Path | None) -> int:
    """Move everything of a source to another name.

    Rows, history, cursors, runs, rejects, budgets, the change feed and the markers of forgotten persons, in one
    transaction. Refused while a run is under way, or if data lie under the new name.
    """
    return execute(rename_source(config_path, old, new))


@sources.command("adopt", examples=[("syncd sources adopt cars", "base_url changed, and the data are the same")])
@click.argument("name")
@config_option
def sources_adopt(name: str, config_path: Path | None) -> int:
    """Accept the account of the configuration for the rows that are stored.

    The cursors of the source are reset, so that its next runs list everything. A sweep then judges what is gone.
    """
    return execute(adopt_source(config_path, name))


@sources.command(
    "drop",
    examples=[
        ("syncd sources drop cars --dry-run", "what would be deleted, by table"),
        ("syncd sources drop cars --yes", "in a script"),
    ],
)
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Only show how many rows of which tables it concerns.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
@json_option
def sources_drop(name: str, dry_run: bool, yes: bool, config_path: Path | None, as_json: bool) -> int:
    """Delete everything of a source, its history and its markers of forgotten persons included.

    Where the change feed tells of its rows, it tells that they are gone. Refused while a run is under way.
    """
    return execute(drop_source(config_path, name, dry_run=dry_run, yes=yes, as_json=as_json))


async def list_sources(path: Path | None, *, as_json: bool) -> int:
    """Print every source, and what to do about those that are not as they should be."""
    settings = load_config(path, resolve_secrets=False)
    async with opened_database(settings) as database:
        owners = await read_owners(database, settings, registry())
    if as_json:
        console.print_json(owners)
        return 0
    columns = ["source", "type", "address", "account", "rows", "configured", "state"]
    console.print_table("", columns, [_row(owner) for owner in owners])
    for owner in owners:
        if owner.why and owner.state != "left out":
            console.say(owner.why)
    if any(owner.state == "orphan" for owner in owners):
        console.say("An orphan is in no configuration: syncd sources rename OLD NEW, or syncd sources drop NAME.")
    return 0


def _row(owner: Owner) -> tuple[object, ...]:
    return (
        owner.source, owner.type, owner.address, owner.account, owner.rows, "yes" if owner.configured else "no",
        owner.state,
    )  # fmt: skip


async def rename_source(path: Path | None, old: str, new: str) -> int:
    """Move everything of a source to another name, in one transaction."""
    settings = load_config(path, resolve_secrets=False)
    if old == new:
        raise UsageError("both names are the same", hint="syncd sources rename OLD NEW")
    if not re.fullmatch(configuration.SOURCE_NAME, new):
        raise UsageError(f'"{new}" cannot be the name of a source', hint=configuration.SOURCE_NAME_RULE)
    async with opened_database(settings) as database:
        owner, owners = await _held(database, settings, old)
        streams = _streams(owner)
        async with at_rest(database, old, streams), at_rest(database, new, streams), database.transaction() as conn:
            where = await holdings.places(conn, _schemas(owners), kept_in=database.schemas.history)
            there = await holdings.count(conn, new, where)
            if data := {name: rows for name, rows in there.items() if name not in holdings.NO_DATA}:
                table, rows = next(iter(data.items()))
                raise UsageError(
                    f"data lie under the name {new} already, such as {rows:,} in {table}",
                    hint=f"If they are not wanted: syncd sources drop {new}, then rename.",
                )
            await end_runs(conn, old)
            await end_runs(conn, new)
            moved = await holdings.move(conn, old, new, where)
    _print(moved, f"{old} is {new} now")
    if owner.state == "ours":
        hint = f"Write [sources.{new}] in place of [sources.{old}] in {settings.path} before the next run."
        console.print_note(f"the configuration names {old} still. {hint}")
    if "syncd.callbacks" in moved:
        console.print_note(f"the callback address holds the old name: syncd callbacks register {new} --replace")
    if "syncd.webhooks" in moved:
        console.print_note(f"the address for webhooks holds the old name: syncd callbacks register {new}")
    return 0


async def adopt_source(path: Path | None, name: str) -> int:
    """Store the account of the configuration in place of the one before, and reset the cursors of the source."""
    settings = load_config(path)
    _require_configured(settings, name)
    source = settings.sources[name]
    identity = registry()[source.type].identity(source.base_url, source.options)
    async with opened_database(settings) as database:
        async with at_rest(database, name, source.streams), database.transaction() as conn:
            before = await state.stored(conn, name)
            if before == identity:
                console.say(f"{name}: its rows are of this account already: {identity.words}; nothing was changed")
                return 0
            if before is not None and before.type != identity.type:
                raise UsageError(
                    f"{name}: its rows are of type {before.type}, and the configuration says {identity.type}",
                    hint=f"Rows of two types are never the same data: syncd sources rename {name} NEW, or drop {name}.",
                )
            await end_runs(conn, name)
            await state.adopt(conn, name, identity, now=utc_now())
    told = f", no longer of {before.words}" if before else ""
    console.say(f"{name}: its rows are of {identity.words}{told}; its next runs list everything")
    console.print_note(
        f"rows that this account does not have are buried by the next sweep: syncd sync {name} --full"
        " (with --accept-deletions if they are many); a running daemon tries again within 15 minutes"
    )
    return 0


async def drop_source(path: Path | None, name: str, *, dry_run: bool, yes: bool, as_json: bool) -> int:
    """Delete everything of a source, after it was confirmed; 1 if it was not."""
    settings = load_config(path, resolve_secrets=False)
    async with opened_database(settings) as database:
        owner, owners = await _held(database, settings, name)
        async with database.connection() as conn:
            where = [
                place
                for place in await holdings.places(conn, _schemas(owners), kept_in=database.schemas.history)
                if not _is_kept(owner, place)
            ]
            counts = await holdings.count(conn, name, where)
        counts.pop(holdings.FEED, None)
        if dry_run or not (yes or _is_confirmed(name, counts)):
            if as_json:
                console.print_json({"done": False, "rows": counts})
            elif dry_run:
                _print(counts, "dry run: nothing was changed")
            return 0 if dry_run else 1
        async with at_rest(database, name, _streams(owner)), database.transaction() as conn:
            counts = await holdings.drop(conn, name, where, _told(settings, name), now=utc_now())
    if as_json:
        console.print_json({"done": True, "rows": counts})
        return 0
    _print(counts, f"{name} is dropped")
    if name in settings.sources:
        console.print_note(f"the configuration names {name} still: its next run lists everything anew")
    return 0


def _is_kept(owner: Owner, place: Place) -> bool:
    """Say whether a table outlives the drop: an account that goes on being used has spent what it has spent."""
    return owner.state == "ours" and place.plain == "syncd.budgets"


async def _held(database: Database, settings: Config, name: str) -> tuple[Owner, list[Owner]]:
    """Return the source of which something is stored, and all others; raises UsageError if nothing is."""
    owners = await read_owners(database, settings, registry())
    held = [owner for owner in owners if owner.state != "empty"]
    for owner in held:
        if owner.source == name:
            return owner, owners
    names = ", ".join(owner.source for owner in held) or "none"
    raise UsageError(f"nothing is stored under the name {name}", hint=f"Names with data: {names}.")


def _require_configured(settings: Config, name: str) -> None:
    if name not in settings.sources:
        raise UsageError(
            f"the configuration has no source {name}", hint=f"The sources are: {', '.join(settings.sources)}."
        )


def _streams(owner: Owner) -> tuple[str, ...]:
    kind = registry().get(owner.type or "")
    return kind.names if kind else ()


def _schemas(owners: list[Owner]) -> set[str]:
    """Return the schemas of the mirror: those of every type that is installed, or of which rows are stored."""
    installed = {stream.table.schema for kind in registry().values() for stream in kind.streams}
    return installed | {owner.type for owner in owners if owner.type}


def _told(settings: Config, name: str) -> set[Told]:
    """Return the tables of a configured source whose changes are told in the feed."""
    source = settings.sources.get(name)
    if source is None:
        return set()
    told = set()
    for stream in registry()[source.type].streams:
        if source.streams[stream.name].changes:
            for table in (stream.table, *(child.table for child in stream.table.children)):
                told.add(Told(stream=stream.name, table=f"{table.schema}.{table.name}"))
    return told


def _print(counts: ByTable, title: str) -> None:
    rows: Mapping[str, int] = counts
    if rows:
        console.print_table("", ["table", "rows"], list(rows.items()))
    console.say(title)


def _is_confirmed(name: str, counts: ByTable) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to confirm this on", hint="Add --yes, or --dry-run to see what it does.")
    _print(counts, "")
    if click.confirm(f"Delete everything of {name} for good?", default=False, err=True):
        return True
    console.say("nothing was changed")
    return False
