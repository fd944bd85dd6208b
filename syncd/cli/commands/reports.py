"""`syncd report`: the questions of the cookbook, each a file of SQL, and their answers.

A file begins with what it is about and the question, as comments; the rest is one query on schema reporting. Files,
docs/cookbook.md, the demo and the tests all read the questions from here. Only reads.
"""

import difflib
import re
from dataclasses import dataclass
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Literal

import asyncpg

from syncd.cli import console
from syncd.cli.commands.export import write, written
from syncd.cli.session import load_config, opened_database
from syncd.errors import UsageError

Form = Literal["table", "csv", "json", "parquet"]

TIMEOUT_S = 300.0
"""Longest report."""
_HEADER = re.compile(r"-- about: (?P<about>.+)\n-- question: (?P<text>.+)\n(?P<query>(?s:.+));\n")
_ORDER = ("Shops", "Lease", "Cars", "Parts", "Across sources", "The mirror itself")


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question of the cookbook and the query that answers it."""

    name: str
    about: str
    text: str
    query: str


def questions() -> dict[str, Question]:
    """Return the cookbook by name: what it is about, in order, and then by name."""
    found = []
    for file in resources.files("syncd").joinpath("cookbook").iterdir():
        if file.name.endswith(".sql"):
            header = _HEADER.fullmatch(file.read_text("utf-8"))
            if header is None:
                raise ValueError(f"{file.name} does not begin with `-- about:` and `-- question:`")
            found.append(Question(name=file.name.removesuffix(".sql"), **header.groupdict()))
    found.sort(key=lambda question: (_ORDER.index(question.about), question.name))
    return {question.name: question for question in found}


async def run(path: Path | None, name: str | None, *, form: Form, output: Path | None) -> int:
    """Answer one question of the cookbook, or list them all."""
    known = questions()
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
    async with opened_database(settings) as database, database.connection() as conn:
        async with conn.transaction(readonly=True):
            await conn.execute(f"SET LOCAL statement_timeout = '{TIMEOUT_S:.0f}s'")
            await _answer(conn, known[name], form, output)
    return 0


async def _answer(conn: asyncpg.Connection, question: Question, form: Form, output: Path | None) -> None:
    if form == "table":
        console.say(question.text)
        console.print_rows(*await answer(conn, question))
        return
    with written(output, binary=form == "parquet") as file:
        if form == "json":
            lines = BytesIO()
            await write(conn, question.query, [], "jsonl", lines)
            file.write(b"[\n" + b",\n".join(lines.getvalue().splitlines()) + b"\n]\n")
        else:
            await write(conn, question.query, [], form, file)


async def answer(conn: asyncpg.Connection, question: Question) -> tuple[list[str], list[list[object]]]:
    """Return the names of the columns of an answer, and its rows."""
    statement = await conn.prepare(question.query)
    rows = await statement.fetch()
    return [attribute.name for attribute in statement.get_attributes()], [list(row.values()) for row in rows]
