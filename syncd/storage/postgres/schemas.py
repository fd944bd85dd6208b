"""The two schemas that may bear another name, `reporting` and `history`, and how SQL is written for these names.

SQL in the package and in the frozen migrations says `reporting` and `history`. Where the configuration names others,
it is rewritten as it is executed. Knows no table.
"""

import re
from typing import Final

import asyncpg

from syncd.config import Schemas
from syncd.errors import DatabaseError

_NAMED: Final = re.compile(
    r"(?P<before>\bSCHEMA (?:IF NOT EXISTS )?)(?P<schema>reporting|history)\b"
    r"|\b(?P<place>reporting|history)\.(?=[\w%{\"])"
)
_SETTING: Final = re.compile(r"(?:'|SET )$")
"""What stands before `reporting.now` where it is the name of a setting, which has no schema."""

_STATE: Final = """
SELECT n.nspname AS name, pg_get_userbyid(n.nspowner) AS owner,
       pg_has_role(n.nspowner, 'USAGE') AS may_create,
       EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid)
       OR EXISTS (SELECT FROM pg_proc WHERE pronamespace = n.oid)
       OR EXISTS (SELECT FROM pg_type WHERE typnamespace = n.oid) AS is_filled
FROM pg_namespace n WHERE n.nspname = ANY ($1)
"""
MADE_BY: Final = {"reporting": "0006", "history": "0008"}
"""The migrations that make the two schemas."""


def rewritten(sql: str, schemas: Schemas) -> str:
    """Return SQL with the configured names in the place of `reporting` and `history`."""
    if schemas == Schemas():
        return sql
    names = {"reporting": schemas.reporting, "history": schemas.history}

    def name(found: re.Match[str]) -> str:
        if found["schema"]:
            return f"{found['before']}{names[found['schema']]}"
        if sql.startswith("reporting.now", found.start()) and _SETTING.search(sql, 0, found.start()):
            return found[0]
        return f"{names[found['place']]}."

    return _NAMED.sub(name, sql)


async def require_free(conn: asyncpg.Connection, schemas: Schemas, revision: str | None) -> set[str]:
    """Return which of the schemas that are still to be made are there already, empty and fit to be adopted.

    Raises DatabaseError for one that holds something of others, or in which we may not create.
    """
    wanted = {"reporting": schemas.reporting, "history": schemas.history}
    missing = {name: kind for kind, name in wanted.items() if (revision or "") < MADE_BY[kind]}
    adopted = set()
    for row in await conn.fetch(_STATE, list(missing)):
        kind = missing[row["name"]]
        if row["is_filled"] or not row["may_create"]:
            what = "holds objects that are not of syncd" if row["is_filled"] else "belongs to another role"
            raise DatabaseError(
                f"the schema {row['name']} (owner {row['owner']}) is there already, and {what}",
                hint=f'Give ours another name in the configuration: [database.schemas] {kind} = "syncd_{kind}"',
            )
        adopted.add(row["name"])
    return adopted


async def require_ours(conn: asyncpg.Connection, schemas: Schemas) -> None:
    """Raise DatabaseError unless the views and old versions lie in the schemas that the configuration names."""
    for kind, place in (("reporting", f"{schemas.reporting}.freshness"), ("history", f"{schemas.history}.ghs_orders")):
        if await conn.fetchval("SELECT to_regclass($1)", place) is None:
            raise DatabaseError(
                f"the database has no {place}: [database.schemas] names another schema for {kind} than the one in"
                " which syncd migrate made it, or somebody dropped it",
                hint="Name the schema with which the database was migrated, or restore what was dropped.",
            )
