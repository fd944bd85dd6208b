"""`syncd forget`: erases persons from all that is stored, or fields that are excluded or hashed since."""

import dataclasses
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import click

from syncd.cli import console, proposals
from syncd.cli.options import command, config_option, json_option
from syncd.cli.session import execute, load_config, opened_database
from syncd.config import BudgetConfig, Config, SourceConfig, StreamConfig
from syncd.contract import Kind, Stream
from syncd.engine.syncer import Syncer
from syncd.errors import SyncdError, UsageError
from syncd.sources import registry
from syncd.status import orphans_of, read_owners
from syncd.storage.mirror import erasure, withheld
from syncd.storage.mirror.erasure import ByTable
from syncd.storage.postgres.database import Database
from syncd.storage.state import forgotten


@command(
    examples=[
        ("syncd forget shop 1006 --dry-run", "what would be erased of a customer, by table"),
        ("syncd forget shop.customers 1006 1007 --yes", "two of them, in a script"),
        ("syncd forget shop 1006 --undo", "the key was mistyped: let them come back"),
        ("syncd forget shop.customers --excluded", "old values of fields that are excluded or hashed now"),
    ]
)
@click.argument("place", metavar="SOURCE[.STREAM]", shell_complete=proposals.selectors)
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--excluded", is_flag=True, help="Strip a stream of what `exclude` and `hash` name.")
@click.option("--undo", is_flag=True, help="Let persons come back with the next full pass.")
@click.option("--dry-run", is_flag=True, help="Only show how many rows of which tables it concerns.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
@json_option
def forget(
    place: str,
    keys: tuple[str, ...],
    excluded: bool,
    undo: bool,
    dry_run: bool,
    yes: bool,
    config_path: Path | None,
    as_json: bool,
) -> int:
    """Erase persons for good.

    KEY is what the upstream knows them by: a customer's number, a cyclist's id. Erases their rows with history and
    rejects, takes what is personal from orders that refer to them, and keeps a salted marker, so that no sync brings
    them back. All of it or nothing. What backups still hold: docs/privacy.md.
    """
    return execute(
        erase(config_path, place, keys, excluded=excluded, undo=undo, dry_run=dry_run, yes=yes, as_json=as_json)
    )


INT64 = range(-(2**63), 2**63)


class _Rehearsed(Exception):
    """Ends a transaction that only was to tell what it would do."""


async def erase(
    path: Path | None,
    place: str,
    keys: Sequence[str],
    *,
    excluded: bool,
    undo: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Do what was asked for, after it was confirmed; 1 if it was not."""
    settings = load_config(path, resolve_secrets=False)
    async with opened_database(settings) as database:
        source, _, stream = place.partition(".")
        if source not in settings.sources:
            settings = await _with_orphan(settings, database, source)
        syncer = Syncer(settings, registry(), database, None)
        if excluded:
            if keys or undo:
                raise UsageError(
                    "--excluded takes no keys and no --undo", hint="syncd forget shop.customers --excluded"
                )
            task: _Task = _Fields(syncer, source, stream)
        else:
            task = (_Return if undo else _Persons)(syncer, source, *_persons(syncer, source, stream, keys))
        standing = await task.standing() if dry_run else {}
        counts = {} if yes and not dry_run else await task.rehearse()
        if dry_run or not (yes or _is_confirmed(task, counts)):
            if as_json:
                console.print_json({"done": False, "rows": counts} | ({"keys": standing} if dry_run else {}))
            elif dry_run:
                _print(counts, "Dry run: nothing was changed")
                for key, stands in standing.items():
                    console.say(f"{key}: {STANDS[stands]}")
            return 0 if dry_run else 1
        counts = await task.go()
    if as_json:
        console.print_json({"done": True, "rows": counts})
    else:
        _print(counts, "")
        console.say(task.done)
        for note in task.notes:
            console.print_note(note)
    return 0


async def _with_orphan(settings: Config, database: Database, name: str) -> Config:
    """Add a source that only the database knows to the configuration; raises UsageError if it knows none either."""
    orphans = orphans_of(await read_owners(database, settings, registry()))
    known = {orphan.source: orphan for orphan in orphans if orphan.type in registry()}
    if name not in known:
        raise UsageError(
            f"there is no source {name}", hint=f"The sources are: {', '.join((*settings.sources, *known))}."
        )
    kind = registry()[known[name].type or ""]
    async with database.connection() as conn:
        rows = await conn.fetch("SELECT DISTINCT stream FROM syncd.changes WHERE source = $1", name)
    told = {row["stream"] for row in rows}
    source = SourceConfig(
        name=name, type=kind.type, base_url=known[name].address or "", options={}, budget=BudgetConfig(),
        streams={stream: StreamConfig(name=stream, changes=stream in told) for stream in kind.names},
    )  # fmt: skip
    return dataclasses.replace(settings, sources={**settings.sources, name: source})


def _print(counts: ByTable, title: str) -> None:
    if counts:
        console.print_table(title, ["table", "rows"], list(counts.items()))
    else:
        console.say(f"{title}; no row holds anything of it".removeprefix("; "))


def _is_confirmed(task: "_Task", counts: ByTable) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to confirm this on", hint="Add --yes, or --dry-run to see what it does.")
    _print(counts, "")
    if click.confirm(task.question, default=False, err=True):
        return True
    console.say("nothing was changed")
    return False


# --- Keys -------------------------------------------------------------------------------------------------------------


def _persons(syncer: Syncer, source: str, name: str, texts: Sequence[str]) -> tuple[Stream, list[Any]]:
    """Return the stream whose rows are the persons meant, and their keys.

    Without a name it is the one stream of the source whose keys look like these.
    """
    kind = syncer.source(source)[0]
    streams = [stream for stream in kind.streams if stream.table.person]
    named = [f"{source}.{stream.name}" for stream in streams]
    if not streams:
        hint = "To leave fields out: exclude, or hash, in the configuration (docs/privacy.md)."
        raise UsageError(f"no stream of {source} has a person for each row", hint=hint)
    if name and f"{source}.{name}" not in named:
        raise UsageError(f"{source}.{name} has no person for each row", hint=f"Those that do: {', '.join(named)}.")
    if not texts:
        raise UsageError("whom to forget? No key was given", hint=f"syncd forget {named[0]} KEY")
    fitting = [
        (stream, keys)
        for stream in streams
        if name in ("", stream.name) and (keys := [_typed(stream, text) for text in texts]) and None not in keys
    ]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UsageError(f"these keys may be of {' or '.join(named)}", hint="Name one of them instead of the source.")
    forms = "; ".join(f"{source}.{stream.name} has {_form(stream)}" for stream in streams if name in ("", stream.name))
    raise UsageError(f"not every key has the form of one: {forms}", hint="Give the keys as the upstream has them.")


def _kind(stream: Stream) -> Kind:
    return next(column.kind for column in stream.table.columns if column.name == stream.table.key[0])


def _form(stream: Stream) -> str:
    forms = {Kind.BIGINT: "integers", Kind.UUID: "UUIDs"}
    return f"{stream.table.key[0]}: {forms.get(_kind(stream), 'texts')}"


def _typed(stream: Stream, text: str) -> Any:
    """Return a key as its column has it; None if it has not that form."""
    kind = _kind(stream)
    try:
        if kind is Kind.BIGINT:
            return int(text) if int(text) in INT64 else None
        return uuid.UUID(text) if kind is Kind.UUID else text or None
    except ValueError:
        return None


# --- What can be asked for --------------------------------------------------------------------------------------------


Stands = Literal["stored", "forgotten", "unknown"]
STANDS: Final[Mapping[Stands, str]] = {
    "stored": "a row of the mirror",
    "forgotten": "already forgotten; nothing is left to erase",
    "unknown": "no row and not forgotten: is the key written as the upstream has it?",
}


class _Task(Protocol):
    """Something that is first rehearsed and then done; `done` says what it did, `notes` what is left to do."""

    question: str
    done: str
    notes: Sequence[str]

    async def standing(self) -> Mapping[str, Stands]:
        """Return how each of the keys stands before anything is changed; empty where none was given."""
        ...

    async def rehearse(self) -> ByTable:
        """Return how many rows it would change, by table."""
        ...

    async def go(self) -> ByTable:
        """Do it and return how many rows it changed."""
        ...


class _Persons:
    """Erases persons of one stream, in one transaction."""

    def __init__(self, syncer: Syncer, source: str, stream: Stream, keys: list[Any]) -> None:
        self.syncer = syncer
        self.source = source
        self.stream = stream
        self.keys = list(dict.fromkeys(keys))
        many = f"{len(self.keys)} persons" if len(self.keys) > 1 else "this person"
        self.question = f"Erase {many} for good?"
        self.done = f"forgotten: {len(self.keys)}; no sync brings them back"
        self.notes: Sequence[str] = [
            "backups, exports, what others copied and the upstream itself still hold them (docs/privacy.md)",
            f"typed wrongly? syncd forget {source}.{stream.name} KEY --undo, then a sync with --full",
        ]

    async def standing(self) -> Mapping[str, Stands]:
        target = self.syncer.target(self.source, self.stream.name)
        async with self.syncer.database.connection() as conn:
            markers = await forgotten.read_markers(conn, self.source)
            held = await erasure.held(conn, self.source, target, self.keys)
        return {
            str(key): "stored" if key in held else "forgotten" if markers.hold(self.stream.name, key) else "unknown"
            for key in self.keys
        }

    async def rehearse(self) -> ByTable:
        counts: ByTable = {}
        try:
            counts = await self._erase(commit=False)
        except _Rehearsed as rehearsed:
            counts = rehearsed.args[0]
        return counts

    async def go(self) -> ByTable:
        return await self._erase(commit=True)

    async def _erase(self, *, commit: bool) -> ByTable:
        others = [
            (other.name, self.syncer.target(self.source, other.name))
            for other in self.syncer.source(self.source)[0].streams
            if self.stream.name in other.table.refers.values()
        ]
        persons = self.syncer.target(self.source, self.stream.name)
        async with self.syncer.database.transaction() as conn:
            await conn.execute("SET LOCAL statement_timeout = 0")
            counts = await erasure.erase(
                conn, self.source, self.stream.name, persons, others, self.keys, now=self.syncer.clock()
            )
            if not commit:
                raise _Rehearsed(counts)
        return counts


class _Return(_Persons):
    """Removes the markers of persons, so that they may come back."""

    def __init__(self, syncer: Syncer, source: str, stream: Stream, keys: list[Any]) -> None:
        super().__init__(syncer, source, stream, keys)
        self.question = "Let them come back with the next full pass?"
        self.notes = [f"to have them back now: syncd sync {source}.{stream.name} --full"]

    async def _erase(self, *, commit: bool) -> ByTable:
        async with self.syncer.database.transaction() as conn:
            count = await forgotten.unmark(conn, self.source, self.stream.name, self.keys)
            if not commit:
                raise _Rehearsed({"syncd.forgotten": count})
        self.done = f"{count} may come back with the next full pass"
        return {"syncd.forgotten": count}


class _Fields:
    """Strips a stream of the fields that are excluded or hashed now."""

    done = "stripped"
    question = "Strip these rows for good?"
    notes: Sequence[str] = ()

    def __init__(self, syncer: Syncer, source: str, stream: str) -> None:
        streams = syncer.source(source)[1].streams
        if stream not in streams:
            raise UsageError(
                "--excluded takes one stream", hint=f"For example: syncd forget {source}.{min(streams)} --excluded"
            )
        if not streams[stream].exclude and not streams[stream].hash:
            raise UsageError(
                f"{source}.{stream} has neither exclude nor hash", hint="Write one into the configuration."
            )
        self.syncer = syncer
        self.source = source
        self.stream = stream
        self.target = syncer.target(source, stream)

    async def standing(self) -> Mapping[str, Stands]:
        return {}

    async def rehearse(self) -> ByTable:
        async with self.syncer.database.connection() as conn:
            return await withheld.count_held(conn, self.source, self.target)

    async def go(self) -> ByTable:
        counts = await withheld.strip(self.syncer.database.transaction, self.source, self.stream, self.target)
        async with self.syncer.database.connection() as conn:
            if await withheld.count_held(conn, self.source, self.target):
                raise SyncdError(
                    f"{self.source}.{self.stream}: a run writes these fields still",
                    hint="Let the daemon read the configuration (systemctl reload syncd), then do this again.",
                )
        return counts
