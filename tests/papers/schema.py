"""Writes the data dictionary, docs/schema.md, schema.html and two pictures: `python -m tests.papers.schema`.

What a column says comes from the comments of a migrated database, where it comes from is read off the declared tables.
With `--check` it only says whether a file is stale.
"""

import asyncio
import html
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from syncd import config as configuration
from syncd.contract import Column, Stream, Table
from syncd.sources import registry
from syncd.storage.postgres import database, embedded, migrations
from tests.papers.picture import Box, Link, picture
from tests.papers.relations import LEADS_TO
from tests.support.bench import SERVER_SETTINGS

DOCS = Path(__file__).parents[2] / "docs"
CATALOGUE = r"""
SELECT n.nspname AS schema, obj_description(n.oid, 'pg_namespace') AS schema_comment, c.relname AS name,
       regexp_replace(obj_description(c.oid, 'pg_class'), '^(@foreignKey [^\n]*\n)+', '') AS comment,
       a.attname AS column, format_type(a.atttypid, a.atttypmod) AS type,
       col_description(c.oid, a.attnum) AS column_comment,
       coalesce(a.attnum = ANY(k.conkey), false) AS is_key
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
WHERE c.relkind IN ('r', 'v') AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
ORDER BY 1, c.relname, a.attnum
"""
INDEXES = """
SELECT schemaname || '.' || tablename AS place, indexname || substring(indexdef FROM ' USING .*') AS definition
FROM pg_indexes WHERE indexname NOT LIKE '%\\_pkey' ORDER BY 1, 2
"""
TYPES = {"timestamp with time zone": "timestamptz", "double precision": "float8"}
BOOKKEEPING = ("_first_seen_at", "_changed_at", "_deleted_at", "_extra", "_hash")
ORDER = ("reporting", *(source.type for source in registry().values()), "syncd")

INTRODUCTION = """\
# The data dictionary

This page is written by `python -m tests.papers.schema` from the tables' own comments and declarations.
CI fails if it is not current. Do not edit it. [schema.html](schema.html) is the same as one page to search in;
`\\d+ cyclesoftware.customers` in psql shows the comments too.

- **`reporting`** is for people and BI tools: views without bookkeeping and tombstones. Start here.
  `reporting.customers_as_of('2026-10-01')` and the like answer what a view of versions (`*_history`) held then.
- **A schema for each type of source** holds the mirror: one table for each stream, every field of the vendor under its
  own name in snake_case. A page for each API tells how its streams move and what is odd about them:
  [CycleSoftware](sources/cyclesoftware.md), [Cyclis](sources/cyclis.md), [Autengo](sources/autengo.md),
  [GHS Automotive](sources/ghs.md).
- **`history`** holds the old versions of rows, of streams that keep them ([how it works](history.md)): for each table
  of the mirror one named `<schema>_<table>`, with its columns but `_first_seen_at`, `_changed_at` and `_hash`, and with
  `valid_from` and `valid_to` instead.
- **`syncd`** is what syncd knows of its own work.

A type is PostgreSQL's. *Field* is where the value stands in the vendor's record; “optional” means that the vendor's
page says it may be absent. The key is bold; every other column may be null. What leads to another table is marked →;
nothing is enforced, because what an upstream sends may lead nowhere. On PostgreSQL 18 these are foreign keys that are
`NOT ENFORCED`: only `TRUNCATE` of a table that others lead to needs `CASCADE`, which empties the others too.

Each table of the mirror also has these columns:

"""


@dataclass(frozen=True, kw_only=True)
class Told:
    """One column: `field` is where it stands in the vendor's record, `leads_to` the table or view that it names."""

    name: str
    type: str
    comment: str
    is_key: bool
    field: str = ""
    leads_to: str | None = None


@dataclass(frozen=True, kw_only=True)
class Place:
    """One table or view, without the bookkeeping that every table of the mirror has."""

    schema: str
    name: str
    comment: str
    columns: tuple[Told, ...]
    indexes: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, kw_only=True)
class Dictionary:
    """Everything: the schemas with their comments, the places in order, the bookkeeping columns."""

    schemas: Mapping[str, str]
    places: tuple[Place, ...]
    bookkeeping: tuple[Told, ...]

    def of(self, schema: str) -> list[Place]:
        return [place for place in self.places if place.schema == schema]


# --- Reading ----------------------------------------------------------------------------------------------------------


async def read(conn: asyncpg.Connection) -> Dictionary:
    """Read a migrated database."""
    rows = [dict(row) for row in await conn.fetch(CATALOGUE)]
    indexes: dict[str, list[str]] = {}
    for place, definition in await conn.fetch(INDEXES):
        indexes.setdefault(place, []).append(definition)
    fields = _fields()
    columns: dict[tuple[str, str], list[Told]] = {}
    bookkeeping: dict[str, Told] = {}
    for row in rows:
        place, name = f"{row['schema']}.{row['name']}", row["column"]
        told = Told(
            name=name,
            type=TYPES.get(str(row["type"]), str(row["type"])),
            comment=row["column_comment"] or "",
            is_key=row["is_key"],
            field=fields.get((place, name), ""),
            leads_to=_leads_to(row),
        )
        if name in BOOKKEEPING:
            bookkeeping[name] = told
        else:
            columns.setdefault((row["schema"], row["name"]), []).append(told)
    comments = {(row["schema"], row["name"]): row["comment"] for row in rows}
    places = [
        Place(
            schema=schema, name=name, comment=comments[schema, name], columns=tuple(told),
            indexes=tuple(indexes.get(f"{schema}.{name}", ())),
        )
        for (schema, name), told in columns.items()
        if schema in ORDER
    ]  # fmt: skip
    return Dictionary(
        schemas={row["schema"]: row["schema_comment"] for row in rows if row["schema"] in ORDER},
        places=tuple(sorted(places, key=lambda place: (ORDER.index(place.schema), place.name))),
        bookkeeping=tuple(bookkeeping.values()),
    )


def _fields() -> dict[tuple[str, str], str]:
    """Return for each column of the mirror where its value stands in a record."""
    found = {}
    for source in registry().values():
        for stream in source.streams:
            for table, field in _tables(stream):
                for column in table.columns:
                    inherited = field and column.name in stream.table.key
                    text = "(of the parent)" if inherited else f"{field}{_path(column)}"
                    optional = " (optional)" if column.optional else ""
                    found[f"{table.schema}.{table.name}", column.name] = f"{text}{optional}"
    return found


def _tables(stream: Stream) -> list[tuple[Table, str]]:
    return [(stream.table, ""), *((child.table, f"{'.'.join(child.at)}[].") for child in stream.table.children)]


def _path(column: Column) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in column.path).removeprefix(".")


def _leads_to(row: Mapping[str, str]) -> str | None:
    """Return the table or view of the same schema that a column leads to; the comments of views say so."""
    if row["schema"] == "reporting":
        found = re.search(r"as in reporting\.(\w+)", row["column_comment"] or "")
        return found[1] if found else None
    return LEADS_TO.get(f"{row['schema']}.{row['name']}", {}).get(row["column"])


# --- Writing ----------------------------------------------------------------------------------------------------------


def files(told: Dictionary) -> dict[str, str]:
    """Return every file by its name."""
    mirror = [schema for schema in ORDER if schema not in ("reporting", "syncd")]
    pictures = {
        "schema-reporting.svg": picture([("reporting", *_drawn(told.of("reporting")))]),
        "schema-mirror.svg": picture([(schema, *_drawn(told.of(schema))) for schema in mirror]),
    }
    return {"schema.md": _markdown(told), "schema.html": _html(told, pictures), **pictures}


def _drawn(places: Sequence[Place]) -> tuple[list[Box], list[Link]]:
    boxes = [
        Box(
            name=place.name,
            rows=tuple((column.name, column.is_key) for column in place.columns if _is_drawn(place, column)),
        )
        for place in places
    ]  # fmt: skip
    links = [
        Link(box=place.name, row=column.name, to=column.leads_to)
        for place in places
        for column in place.columns
        if column.leads_to and column.leads_to != place.name
    ]
    return boxes, links


def _is_drawn(place: Place, column: Told) -> bool:
    """Say whether a picture shows a column: keys and what leads elsewhere. Of views only the names tell of keys."""
    names = place.schema == "reporting" and column.name.endswith(("_id", "source"))
    return column.is_key or column.leads_to is not None or names


def _picture_of(schema: str) -> str | None:
    """Return the name of the picture that stands at the beginning of a schema's part, if one does."""
    return {"reporting": "reporting", ORDER[1]: "mirror"}.get(schema)


def _markdown(told: Dictionary) -> str:
    parts = [
        INTRODUCTION + _table(("column", "type", "says"), (_cells(each, field=False) for each in told.bookkeeping))
    ]
    for schema in ORDER:
        parts.append(f"## {schema}\n\n{told.schemas[schema]}.\n")
        if drawn := _picture_of(schema):
            parts.append(f"![What leads to what](schema-{drawn}.svg)\n")
        for place in told.of(schema):
            heads, rows = _rows(place)
            parts.append(f"### {place.full_name}\n\n{place.comment}.\n\n{_table(heads, rows)}")
            if place.indexes:
                parts.append("Indexes beside the key: " + ", ".join(f"`{each}`" for each in place.indexes) + ".\n")
    return "\n".join(parts)


def _rows(place: Place) -> tuple[tuple[str, ...], list[list[str]]]:
    field = any(column.field for column in place.columns)
    heads = ("column", "type", "field", "says") if field else ("column", "type", "says")
    return heads, [_cells(column, field=field) for column in place.columns]


def _cells(column: Told, *, field: bool) -> list[str]:
    """Return a column as cells of Markdown."""
    name = f"**`{column.name}`**" if column.is_key else f"`{column.name}`"
    says = column.comment
    if column.leads_to and "as in reporting." not in says:
        says += f" → `{column.leads_to}`"
    place = [f"`{column.field}`".replace(" (optional)`", "` (optional)")] if column.field else [""]
    return [name, column.type, *(place if field else []), says]


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8881; --key: #0a6; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1rem; }
nav { columns: 14rem; margin: 1rem 0 2rem; } nav b { display: block; margin-top: .6rem; break-after: avoid; }
nav a, h3 { font-family: ui-monospace, monospace; } nav a { display: block; text-decoration: none; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0 1rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem; border-bottom: 1px solid var(--line); }
th { background: var(--soft); position: sticky; top: 0; }
td:first-child { white-space: nowrap; } code { font: 13px ui-monospace, monospace; }
td b code { color: var(--key); } figure { margin: 1rem 0; overflow-x: auto; }
h2 { margin-top: 3rem; border-bottom: 2px solid var(--line); } svg { max-width: 100%; height: auto; }
"""


def _html(told: Dictionary, pictures: Mapping[str, str]) -> str:
    """Return the same as one page without any script or other file."""
    body = ["<nav>"]
    for schema in ORDER:
        links = (f'<a href="#{each.full_name}">{each.name}</a>' for each in told.of(schema))
        body.append(f"<b>{schema}</b>{''.join(links)}")
    body.append("</nav>")
    body += [f"<p>{_marked(text)}</p>" for text in INTRODUCTION.split("\n\n")[2:] if text.strip()]
    body.append(_html_table(("column", "type", "says"), (_cells(each, field=False) for each in told.bookkeeping)))
    for schema in ORDER:
        body.append(f'<h2 id="{schema}">{schema}</h2><p>{html.escape(told.schemas[schema])}.</p>')
        if drawn := _picture_of(schema):
            body.append(f"<figure>{pictures[f'schema-{drawn}.svg']}</figure>")
        for place in told.of(schema):
            body.append(f'<h3 id="{place.full_name}">{place.full_name}</h3><p>{html.escape(place.comment)}.</p>')
            body.append(_html_table(*_rows(place)))
            if place.indexes:
                body.append(
                    "<p>Indexes beside the key: " + ", ".join(f"<code>{html.escape(i)}</code>" for i in place.indexes)
                )
    head = f'<meta charset="utf-8"><title>syncd: the data dictionary</title><style>{STYLE}</style>'
    view = '<meta name="viewport" content="width=device-width">'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}{view}</head><body>\n<h1>The data dictionary</h1>\n'
        + "\n".join(body) + "\n</body></html>\n"
    )  # fmt: skip


def _html_table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    first = "".join(f"<th>{head}</th>" for head in heads)
    lines = ("".join(f"<td>{_marked(cell)}</td>" for cell in row) for row in rows)
    return f"<table><tr>{first}</tr>\n" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _marked(text: str) -> str:
    """Return a text of Markdown (code, bold, links, items) as HTML."""
    text = html.escape(text)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
    text = re.sub(r"(?<!\w)\*([^*]+)\*", r"<i>\1</i>", text)
    text = re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r'<a href="\2">\1</a>', text)
    return re.sub(r"^- ", "<br>• ", text, flags=re.MULTILINE)


async def dictionary() -> Dictionary:
    """Read a database that is migrated for it."""
    with tempfile.TemporaryDirectory(prefix="syncd-schema-", ignore_cleanup_errors=True) as folder:
        place = Path(folder) / "data"
        server = await embedded.ensure(place, settings=SERVER_SETTINGS)
        try:
            opened = await database.connect(
                configuration.DatabaseConfig(url=configuration.Secret(server.url), data_dir=place)
            )
            await migrations.migrate(opened)
            async with opened.connection() as conn:
                told = await read(conn)
            await opened.close()
        finally:
            await embedded.stop(place)
    return told


if __name__ == "__main__":
    from tests.papers import dbt_sources

    found = asyncio.run(dictionary())
    made = files(found)
    if "--check" not in sys.argv:
        for name, text in made.items():
            (DOCS / name).write_text(text)
        dbt_sources.FILE.write_text(dbt_sources.text(found))  # from the same tables
    elif stale := [name for name, text in made.items() if (DOCS / name).read_text() != text]:
        sys.exit(f"not current: {', '.join(stale)}; python -m tests.papers.schema")
