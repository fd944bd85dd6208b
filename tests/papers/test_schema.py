"""The data dictionary says what a migrated database says."""

import re

from syncd.storage.postgres.database import Database
from tests.papers import dbt_sources, schema
from tests.papers.relations import LEADS_TO


async def test_the_data_dictionary_is_current(db: Database) -> None:
    async with db.connection() as conn:
        told = await schema.read(conn)
    files = schema.files(told)
    assert len(files) == 4
    stale = [name for name, text in files.items() if (schema.DOCS / name).read_text() != text]
    assert stale == [], "write them anew: python -m tests.papers.schema"
    assert dbt_sources.text(told) == dbt_sources.FILE.read_text(), "write it anew: python -m tests.papers.dbt_sources"


async def test_every_column_of_the_mirror_is_told_with_its_field(db: Database) -> None:
    async with db.connection() as conn:
        told = await schema.read(conn)
    mirrored = [place for place in told.places if place.schema not in ("reporting", "syncd")]
    assert len(mirrored) >= 20
    untold = [
        f"{place.full_name}.{column.name}"
        for place in mirrored
        for column in place.columns
        if not column.field and column.name != "source"
    ]
    assert untold == []


async def test_every_relation_leads_from_a_column_to_a_table_that_there_is(db: Database) -> None:
    async with db.connection() as conn:
        told = await schema.read(conn)
    names = {place.full_name for place in told.places}
    links = [
        (f"{place.full_name}.{column.name}", f"{place.schema}.{column.leads_to}")
        for place in told.places
        for column in place.columns
        if column.leads_to
    ]
    assert len(links) > 30
    assert [link for link in links if link[1] not in names] == []
    found = {link for link, _ in links}
    assert [
        f"{place}.{column}"
        for place, columns in LEADS_TO.items()
        for column in columns
        if f"{place}.{column}" not in found
    ] == []


async def test_the_relations_that_the_page_on_metabase_names_are_those_of_the_dictionary(db: Database) -> None:
    async with db.connection() as conn:
        told = await schema.read(conn)
    known = {(column.name, place.name, column.leads_to) for place in told.of("reporting") for column in place.columns}
    page = (schema.DOCS / "metabase.md").read_text()
    lines = re.findall(r"^\| `(\w+)` of (.+?) \| `(\w+)\.\w+` \|$", page, flags=re.MULTILINE)
    named = {(column, view, to) for column, views, to in lines for view in re.findall(r"`(\w+)`", views)}
    assert len(named) >= 15
    assert named - known == set()
