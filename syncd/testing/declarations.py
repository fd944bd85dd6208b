"""What a source declares: its imports, its names, its tables and the migrations that make them."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import asyncpg

from syncd.contract import Kind, Source, Table
from syncd.contract.version import misfit
from syncd.sources.entry_points import tables_of
from syncd.storage.mirror import catalog, history
from syncd.storage.mirror.layout import layout_of
from syncd.storage.postgres import database, migrations
from syncd.testing.server import place_of

FOR_PLUGINS: Final = ("syncd.contract", "syncd.records.readers")
"""What a plugin may import of syncd."""
FOR_SANDBOXES: Final = ("syncd.sandbox",)
"""What its sandbox may import beside."""


def foreign_imports(source: Source) -> list[str]:
    """Return the imports of a source's package that reach into syncd where nothing is promised to plugins."""
    found = []
    for path in _modules(source):
        allowed = FOR_PLUGINS + (FOR_SANDBOXES if "sandbox" in path.stem or path.parent.name == "sandbox" else ())
        own = _own_name(source)
        for number, name in _imported(path):
            inside = any(name == place or name.startswith(f"{place}.") for place in (*allowed, own))
            if (name == "syncd" or name.startswith("syncd.")) and not inside:
                found.append(f"{path.name}:{number} imports {name}")
    return found


def _own_name(source: Source) -> str:
    """Return the package in which the source's walks are written."""
    module = inspect.getmodule(source.streams[0].walk)
    name = module.__name__ if module else ""
    parts = name.split(".")
    return ".".join(parts[:3]) if name.startswith("syncd.sources.") else parts[0]


def _modules(source: Source) -> Iterator[Path]:
    module = inspect.getmodule(source.streams[0].walk)
    file = Path(str(module.__file__)) if module else Path()
    if file.name != "__init__.py" and "." not in (module.__name__ if module else ""):
        yield file
        return
    own, here = _own_name(source).rpartition(".")[2], file.parent
    while here.name != own and here != here.parent:
        here = here.parent
    yield from (path for path in sorted(here.rglob("*.py")) if "migrations" not in path.relative_to(here).parts)


def _imported(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            is_package = node.module in ("syncd", "syncd.records")
            yield from ((node.lineno, name) for name in (names if is_package else [node.module]))


def faults(source: Source) -> list[str]:
    """Return what is wrong with the declarations of a source, in words."""
    found = [why] if (why := misfit(source.contract)) else []
    names = list(source.names)
    found += [f"two streams are called {name}" for name in sorted({name for name in names if names.count(name) > 1})]
    if not any(option.kind == "secret" for option in source.options):
        found.append("no option is a secret, so nothing is kept out of the log")
    if not source.schema_comment:
        found.append("schema_comment is empty")
    for stream in source.streams:
        found += [f"{stream.name} reads {name}, which is no stream" for name in stream.reads if name not in names]
        if stream.table.name != stream.name:
            found.append(
                f"the table of {stream.name} is called {stream.table.name}, and a table bears its stream's name"
            )
        if stream.every_s < 1:
            found.append(f"{stream.name} runs every {stream.every_s} s")
    tables = tables_of(source)
    for table in tables:
        found += _faults_of(table, source.type)
        if [other.name for other in tables].count(table.name) > 1:
            found.append(f"two tables are called {table.name}")
    return found


def _faults_of(table: Table, schema: str) -> list[str]:
    names = [column.name for column in table.columns]
    kinds = {column.name: column.kind for column in table.columns}
    found = [] if table.schema == schema else [f"{table.name} lies in the schema {table.schema}, not in {schema}"]
    found += [f"{table.name} has no column for {name}, a part of its key" for name in table.key if name not in names]
    found += [f"{table.name} has two columns called {name}" for name in sorted(set(names)) if names.count(name) > 1]
    found += [f"{table.name} has no column {name}, said to be personal" for name in table.personal if name not in names]
    found += [f"{table.name} has no column {name}, said to refer" for name in table.refers if name not in names]
    if "source" in names:
        found.append(f"{table.name} has a column called source, which is the name of the source that each table has")
    if table.deleted and kinds.get(table.deleted) is not Kind.BOOLEAN:
        found.append(f"{table.name}.{table.deleted} flags deleted records and is no boolean")
    uncommented = [column.name for column in table.columns if not column.comment]
    found += [f"{table.name}.{name} has no comment" for name in uncommented]
    return found if table.comment else [*found, f"{table.name} has no comment"]


# --- Migrations -------------------------------------------------------------------------------------------------------

_COMMENTS: Final = """
SELECT c.relname AS "table", '' AS "column" FROM pg_class c
WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r' AND obj_description(c.oid) IS NULL
UNION ALL
SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r' AND NOT a.attisdropped
  AND col_description(c.oid, a.attnum) IS NULL
ORDER BY 1, 2
"""
_LEFT: Final = """
SELECT n.nspname || '.' || c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 OR (n.nspname = 'history' AND c.relname = ANY ($2))
UNION ALL SELECT nspname FROM pg_namespace WHERE nspname = $1
"""


async def migrated(source: Source) -> list[str]:
    """Take a source's migrations back, run them again, and return where the tables are not what it declares.

    A source whose tables are made by syncd's own migrations is only compared.
    """
    place = await place_of(source)
    opened = await database.connect(place.settings)
    try:
        for branch in migrations.branches_of([source]):
            await migrations.remove(opened, branch)
            kept = [f"{source.type}_{table.name}" for table in tables_of(source)]
            async with opened.connection() as conn:
                left = [row["name"] for row in await conn.fetch(_LEFT, source.type, kept)]
            if left:
                return [f"the downgrade leaves {name} behind" for name in left]
            await migrations.migrate(opened, branch)
        async with opened.connection() as conn:
            found = [f"{each.table}: {each.told}" for each in await catalog.differences(conn, _declared(source))]
            return found + await _uncommented(conn, source)
    finally:
        await opened.close()


def _declared(source: Source) -> list[catalog.Declared]:
    layouts = [layout_of(table) for table in tables_of(source)]
    versions = [f"{history.SCHEMA}.{history.table_name(layout.table)}" for layout in layouts]
    return [*map(catalog.declared, layouts), *map(catalog.declared_versions, layouts, versions)]


async def _uncommented(conn: asyncpg.Connection, source: Source) -> list[str]:
    rows = await conn.fetch(_COMMENTS, source.type)
    return [f"{row['table']}{'.' if row['column'] else ''}{row['column']} has no COMMENT" for row in rows]


__all__ = ["faults", "foreign_imports", "migrated"]
