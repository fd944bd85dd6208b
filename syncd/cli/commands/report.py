"""`syncd report`: the questions of the cookbook and of plugins, each a file of SQL, and their answers.

`syncd.cookbook` reads the files. Only reads.
"""

import difflib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Final, Literal
from zoneinfo import ZoneInfo

import asyncpg
import click
import msgspec

from syncd import cookbook
from syncd.cli import console, proposals
from syncd.cli.files import write, written
from syncd.cli.instant import FORMS, parse_instant
from syncd.cli.options import command, config_option
from syncd.cli.session import execute, fetch_rows, load_config, opened_database, reading
from syncd.config import Config, Schemas
from syncd.cookbook import narrowing
from syncd.cookbook.narrowing import Condition
from syncd.errors import DatabaseError, UsageError
from syncd.sources import plugins, registry, reports
from syncd.storage.mirror.history import versions_of
from syncd.storage.postgres.schemas import rewritten

Form = Literal["table", "csv", "json", "parquet"]

TIMEOUT_S = 300.0
"""Longest report."""


ZONE: Final = ZoneInfo("Europe/Amsterdam")
"""Of dates in schema reporting, and of instants that are typed without a zone."""
_KEPT: Final = re.compile(r"\((?P<stream>\w+) with history = true\)")
"""How a question says that it needs the old versions of a stream."""


async def answer_question(
    path: Path | None, name: str | None, *, where: Sequence[str], at: str | None, form: Form, output: Path | None
) -> int:
    """Answer one question, of the rows that meet `where` and as of `at`; or list them all."""
    shelf = reports()
    known = shelf.questions
    if name is None:
        console.print_table(
            "", ["name", "about", "question"], [(each.name, each.about, each.text) for each in known.values()]
        )
        for each in shelf.left_out:
            console.print_note(each.words)
        return 0
    if name not in known:
        if out := [each.words for each in shelf.left_out if each.name == name]:
            raise UsageError(out[0], hint="Upgrade the plugin, or tell its author.")
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        raise UsageError(
            f'there is no report "{name}"',
            hint=f"{f'Did you mean {near[0]}? ' if near else ''}All of them: syncd report",
        )
    if form == "table" and output:
        raise UsageError("a table is for the terminal", hint="With --output take --format csv, json or parquet.")
    conditions = [_condition(text) for text in where]
    instant = parse_instant(at, ZONE, "--at") if at else None
    if instant and not narrowing.is_dated(known[name].query):
        raise UsageError(f"{name} tells how things are now: it takes no --at", hint="Its query names no time.")
    settings = load_config(path, resolve_secrets=False)
    async with opened_database(settings) as database, database.connection() as conn:
        async with reading(conn, timeout_s=TIMEOUT_S):
            question = await _narrowed(conn, known[name], conditions, instant, settings.database.schemas)
            try:
                await _answer(conn, question, form, output)
            except asyncpg.DataError as error:
                if not conditions:
                    raise
                raise UsageError(f"--where: {error}", hint="The value has not the form of its column.") from None
            except asyncpg.SyntaxOrAccessError as error:
                if not question.plugin:
                    raise
                raise _unanswered(question, error) from None
            for note in await _history_notes(conn, settings, question):
                console.print_note(note)
    return 0


def _unanswered(question: cookbook.Question, error: asyncpg.PostgresError) -> DatabaseError:
    """Return what to say where the tables of a plugin are not those that its question reads."""
    return DatabaseError(
        f"the report {question.name} of plugin {question.plugin} does not fit the database: {error}",
        hint="Run: syncd migrate. If that mends nothing, tell the plugin's author.",
    )


def _condition(text: str) -> Condition:
    try:
        return narrowing.parse_condition(text)
    except ValueError as error:
        raise UsageError(f"--where {text}: {error}", hint="For example: --where make=BMW") from None


async def _narrowed(
    conn: asyncpg.Connection,
    question: cookbook.Question,
    conditions: Sequence[Condition],
    at: datetime | None,
    schemas: Schemas,
) -> cookbook.Question:
    """Return the question as it is to be asked; the session counts ages from `at`. Raises UsageError."""
    query, text = question.query, question.text
    if conditions or at:
        columns, plugin = {}, question.plugin
        for view in narrowing.views_of(query, plugin):
            try:
                statement = await conn.prepare(rewritten(f"SELECT * FROM {view}", schemas))
            except asyncpg.SyntaxOrAccessError as error:
                if not plugin:
                    raise
                raise _unanswered(question, error) from None
            columns[view] = {each.name: each.type.name for each in statement.get_attributes()}
        able = narrowing.answerable(query, columns, plugin)
        if unknown := [each.column for each in conditions if each.column not in able]:
            hint = f"It can by: {', '.join(able) or 'nothing'}."
            raise UsageError(f"{question.name} cannot be narrowed by {unknown[0]}", hint=hint)
        query = narrowing.narrowed(query, conditions, columns, plugin)
        if at:
            query = narrowing.dated(query, at.isoformat(), columns, plugin)
            text = f"{text} (--at {at.astimezone(ZONE):%Y-%m-%d %H:%M} {ZONE.key})"
            await conn.execute("SELECT set_config('reporting.now', $1, true)", at.isoformat())
    return msgspec.structs.replace(question, query=rewritten(query, schemas), text=text)


async def _history_notes(conn: asyncpg.Connection, settings: Config, question: cookbook.Question) -> list[str]:
    """Return since when the past is known that the question asks about: an answer does not show what it lacks."""
    found = _KEPT.search(question.text)
    if found is None:
        return []
    notes, literal = [], narrowing.instant_of(question.query)
    asked_at = await conn.fetchval(f"SELECT {literal}::timestamptz") if literal else None
    for source in settings.sources.values():
        stream = source.streams.get(found["stream"])
        whose = source.type if source.type in plugins() else ""
        if stream is None or whose != question.plugin:
            continue
        name = f"{source.name}.{stream.name}"
        table = registry()[source.type].stream(stream.name).table
        began_at = await conn.fetchval(
            f"SELECT min(valid_to) FROM {versions_of(table, settings.database.schemas.history)} WHERE source = $1",
            source.name,
        )
        if began_at is None:
            notes.append(f"{name} has no old versions yet: what changed since the day asked about is missing")
        elif asked_at is None or asked_at < began_at:
            missing = ""
            if asked_at is not None:
                missing = ": of the time before, rows that changed or went since are missing"
            notes.append(f"the history of {name} is known since {began_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC{missing}")
        if not stream.history:
            notes.append(f"{name} keeps no old versions; history = true begins to (docs/history.md)")
    return notes


@command(
    examples=[
        ("syncd report", "list the reports"),
        ("syncd report stock_by_store", "one of them, as a table"),
        ("syncd report cars_by_make --where make=BMW", "of some rows only"),
        ("syncd report turnover_by_store --at 2026 --where store=Utrecht", "of one store, before 2026"),
        ("syncd report stock_on_a_day --at 2026-11-01", "of another day"),
        ("syncd report cars_by_make --format csv --output cars.csv", "as a file"),
    ]
)
@click.argument("name", required=False, shell_complete=proposals.reports)
@click.option(
    "--where",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Of these rows only, by a column of the views that it reads; also != < <= > >=. May be repeated: all must"
    " hold, of several values for one column any.",
)
@click.option("--at", metavar="T", help=f"As of this instant, where the question is about a time: {FORMS}.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="Form of the answer.",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it to a file.")
@config_option
def report(
    name: str | None, where: tuple[str, ...], at: str | None, form: Form, output: Path | None, config_path: Path | None
) -> int:
    """Answer one of the cookbook's questions.

    Each is one query on schema reporting (docs/cookbook.md shows them), or on the tables of a plugin that brings
    questions of its own; without a name they are listed. --where narrows
    what is counted, --at asks for another day or another end of “the last twelve months”. An answer about the past is
    followed by a note that says since when the past is known.
    """
    return execute(answer_question(config_path, name, where=where, at=at, form=form, output=output))


async def _answer(conn: asyncpg.Connection, question: cookbook.Question, form: Form, output: Path | None) -> None:
    if form == "table":
        console.say(question.text)
        console.print_rows(*await fetch_rows(conn, question.query))
        return
    with written(output, binary=form == "parquet") as file:
        if form == "json":
            lines = BytesIO()
            await write(conn, question.query, [], "jsonl", lines)
            file.write(b"[" + b",".join(b"\n" + line for line in lines.getvalue().splitlines()) + b"\n]\n")
        else:
            await write(conn, question.query, [], form, file)
