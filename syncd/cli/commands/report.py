"""`syncd report`: the questions of the cookbook, each a file of SQL, and their answers.

A file begins with what it is about and the question, as comments; the rest is one query on schema reporting. Files,
docs/cookbook.md, the demo and the tests all read the questions from here. Only reads.
"""

import difflib
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Literal

import asyncpg
import click

from syncd import cookbook
from syncd.cli import console, proposals
from syncd.cli.files import write, written
from syncd.cli.options import command, config_option
from syncd.cli.session import execute, fetch_rows, load_config, opened_database, reading
from syncd.errors import UsageError
from syncd.storage.postgres.schemas import rewritten

Form = Literal["table", "csv", "json", "parquet"]

TIMEOUT_S = 300.0
"""Longest report."""


async def answer_question(path: Path | None, name: str | None, *, form: Form, output: Path | None) -> int:
    """Answer one question of the cookbook, or list them all."""
    known = cookbook.questions()
    if name is None:
        console.print_table(
            "", ["name", "about", "question"], [(each.name, each.about, each.text) for each in known.values()]
        )
        return 0
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        raise UsageError(
            f'there is no report "{name}"',
            hint=f"{f'Did you mean {near[0]}? ' if near else ''}All of them: syncd report",
        )
    if form == "table" and output:
        raise UsageError("a table is for the terminal", hint="With --output take --format csv, json or parquet.")
    settings = load_config(path, resolve_secrets=False)
    question = replace(known[name], query=rewritten(known[name].query, settings.database.schemas))
    async with opened_database(settings) as database, database.connection() as conn:
        async with reading(conn, timeout_s=TIMEOUT_S):
            await _answer(conn, question, form, output)
    return 0


@command(
    examples=[
        ("syncd report", "list the reports"),
        ("syncd report stock_by_store", "one of them, as a table"),
        ("syncd report cars_by_make --format csv --output cars.csv", "as a file"),
    ]
)
@click.argument("name", required=False, shell_complete=proposals.reports)
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
def report(name: str | None, form: Form, output: Path | None, config_path: Path | None) -> int:
    """Answer one of the cookbook's questions.

    Each is one query on schema reporting (docs/cookbook.md shows them); without a name they are listed.
    """
    return execute(answer_question(config_path, name, form=form, output=output))


async def _answer(conn: asyncpg.Connection, question: cookbook.Question, form: Form, output: Path | None) -> None:
    if form == "table":
        console.say(question.text)
        console.print_rows(*await fetch_rows(conn, question.query))
        return
    with written(output, binary=form == "parquet") as file:
        if form == "json":
            lines = BytesIO()
            await write(conn, question.query, [], "jsonl", lines)
            file.write(b"[\n" + b",\n".join(lines.getvalue().splitlines()) + b"\n]\n")
        else:
            await write(conn, question.query, [], form, file)
