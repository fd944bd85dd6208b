"""What the views of `reporting` promise: names, types, numbers that programs can read; and what leads to what."""

import json
from decimal import Decimal

from syncd.storage.postgres.database import Database
from tests.papers import schema
from tests.papers.relations import relations
from tests.papers.view_columns import PLACE, columns

UNLIMITED = {"numeric", "interval", "numeric[]", "interval[]"}
TWINS = {"numeric": ("_decimal", "_float"), "interval": ("_s",)}
LIMITED = {"numeric(18,4)", "float8"}
EXTREMES = ("1e-400", "-1e400", "12345678901234567890", "0.00005", "-2.5")


async def told_of(db: Database) -> dict[str, dict[str, str]]:
    async with db.connection() as conn:
        return columns(await schema.read(conn))


async def test_views_keep_names_types_and_order(db: Database) -> None:
    promised, now = json.loads(PLACE.read_text()), await told_of(db)
    assert len(promised) > 30
    for view, before in promised.items():
        kept = list(now.get(view, {}).items())[: len(before)]
        assert kept == list(before.items()), f"reporting.{view}: views are expanded at the end, and never changed"
    assert promised == now, "new columns are promised from now on: python -m tests.papers.view_columns"


async def test_whatever_has_no_limit_has_a_twin_beside_it_that_has(db: Database) -> None:
    found = await told_of(db)
    unlimited = [
        (view, name, type_) for view, each in found.items() for name, type_ in each.items() if type_ in UNLIMITED
    ]
    assert len(unlimited) > 50
    alone = [
        f"{view}.{name} {type_}"
        for view, name, type_ in unlimited
        if not any(found[view].get(f"{name}{end}") in LIMITED for end in TWINS.get(type_, ()))
    ]
    assert alone == [], "give a new column a type with limits"


async def test_a_number_beyond_the_limits_is_null_in_the_twin_only(db: Database) -> None:
    async with db.connection() as conn:
        for place, extreme in enumerate(EXTREMES):
            await conn.execute(
                "INSERT INTO ghs.products (source, id, bruto_price, netto_price, quantity_linked_warehouse, _hash,"
                " _first_seen_at, _changed_at) VALUES"
                f" ('x', '{place}', {extreme}, {extreme}, {extreme}, '\\x00', now(), now())"
            )
        rows = await conn.fetch(
            "SELECT list_price, list_price_decimal, quantity_float FROM reporting.parts ORDER BY product_id"
        )
    assert [row[0] for row in rows] == [Decimal(each) for each in EXTREMES]
    assert [row[1] for row in rows] == [0, None, None, Decimal("0.0001"), Decimal("-2.5")]
    assert [row[2] for row in rows] == [0.0, None, None, 0.00005, -2.5]


async def test_what_leads_to_what_is_told_as_the_server_can(db: Database) -> None:
    wanted = {(each.table, each.columns, each.to, each.keys) for each in relations()}
    assert len(wanted) > 40
    async with db.connection() as conn:
        listed = await conn.fetch("SELECT from_table, from_columns, to_table, to_columns FROM syncd.relations()")
        assert {(row[0], tuple(row[1]), row[2], tuple(row[3])) for row in listed} == wanted
        assert await conn.fetchval("SELECT syncd.declare_foreign_keys()") == len(wanted), (
            "again, and nothing is doubled"
        )
        keys = await conn.fetch("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f'")
        comments = await conn.fetch(
            "SELECT c.oid::regclass::text, line FROM pg_class c"
            " CROSS JOIN LATERAL regexp_split_to_table(obj_description(c.oid, 'pg_class'), E'\\n') AS line"
            " WHERE relkind = 'r' AND line LIKE '@foreignKey %'"
        )
        can = conn.get_server_version().major >= 18
    if can:
        assert comments == []
        assert len(keys) == len(wanted)
        assert [key[0] for key in keys if not key[0].endswith(" NOT ENFORCED")] == []
        return
    assert keys == []
    assert {(table, line) for table, line in comments} == {
        (table, f"@foreignKey ({', '.join(own)}) references {to} ({', '.join(key)})") for table, own, to, key in wanted
    }
    assert len(comments) == len(wanted)
