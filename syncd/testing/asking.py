"""Asks the questions that a source brings for `syncd report`, as the command does: of all rows, of some, as of now."""

from datetime import datetime

import asyncpg

from syncd import cookbook
from syncd.contract import Source
from syncd.cookbook import Question, narrowing
from syncd.cookbook.narrowing import Condition
from syncd.testing.rig import Rig


async def unanswered(rig: Rig, source: Source, excused: frozenset[str]) -> list[str]:
    """Return what is wrong with the questions of a source, in words; its streams were run on the rig.

    A question without any row proves nothing, unless it is among `excused`.
    """
    shelf = cookbook.collect({source.type: source.reports})
    found = [each.words for each in shelf.left_out]
    async with rig.db.connection() as conn:
        for question in shelf.questions.values():
            if question.plugin == source.type:
                found += await _asked(conn, question, rig, question.name in excused)
    return found


async def _asked(conn: asyncpg.Connection, question: Question, rig: Rig, is_excused: bool) -> list[str]:
    name, query, plugin = question.name, question.query, question.plugin
    views = narrowing.views_of(query, plugin)
    if not views:
        return [f"{name} reads no table that is found, so --where cannot narrow it: write FROM {plugin}.TABLE AS ALIAS"]
    now = rig.time.now()
    try:
        columns = {view: await _columns(conn, view) for view in views}
        rows = await _rows(conn, query, now)
        if not rows and not is_excused:
            return [f"{name} has no answer: let the sandbox hold what it asks about"]
        if "source" in narrowing.answerable(query, columns, plugin):
            mine = [Condition(column="source", operator="=", value=rig.api.source_name)]
            if await _rows(conn, narrowing.narrowed(query, mine, columns, plugin), now) != rows:
                return [f"{name} answers otherwise with --where source={rig.api.source_name}, and there is no other"]
        if narrowing.is_dated(query):
            await _rows(conn, narrowing.dated(query, now.isoformat(), columns, plugin), now)
    except asyncpg.PostgresError as error:
        return [f"{name} cannot be asked: {error}"]
    return []


async def _columns(conn: asyncpg.Connection, view: str) -> dict[str, str]:
    statement = await conn.prepare(f"SELECT * FROM {view}")  # noqa: S608  (a name out of the question)
    return {each.name: each.type.name for each in statement.get_attributes()}


async def _rows(conn: asyncpg.Connection, query: str, now: datetime) -> list[str]:
    """Return the rows as texts, in any order; the question can only read."""
    async with conn.transaction(readonly=True):
        await conn.execute("SELECT set_config('reporting.now', $1, true)", now.isoformat())
        return sorted(repr(tuple(row)) for row in await conn.fetch(query))


__all__ = ["unanswered"]
