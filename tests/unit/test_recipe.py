"""Recipes: what changes the fingerprints of a table, and what does not. The mirrors of 0.1.0 keep theirs."""

import json
from dataclasses import fields, replace
from importlib import resources
from zoneinfo import ZoneInfo

import pytest

from syncd.contract import ALIVE, Child, Column, Index, Kind, Table, column
from syncd.records.parser import Parser
from syncd.records.recipe import description, recipe
from syncd.sources import registry

UTC, AMSTERDAM = ZoneInfo("UTC"), ZoneInfo("Europe/Amsterdam")
TABLES = {
    f"{stream.table.schema}.{stream.table.name}": stream.table
    for source in registry().values()
    for stream in source.streams
}

# computed by the release 0.1.0 itself, in each zone: hexadecimal
RECIPES_0_1_0 = {
    "autengo.contacts": ("038e0be87dc34013cbb276c094dde998", "2d0243eef077c964330d0004b844d4d4"),
    "autengo.makes": ("fa5f6f83d326f0af55d75ca720ca1d4e", "e10292f69de7cb1f9175807d06a64cd3"),
    "autengo.models": ("ae4f173e20ba73ab44f2b91fb43a8236", "f50bd3c2425abdeca49c33af4d94e19b"),
    "autengo.vehicles": ("776b98f7035f171989e3913678171b5d", "62c9b32141936f246655cb491d8aa607"),
    "cyclesoftware.customers": ("dc72aedaba364187a27503b848aa8f0e", "54154efed29cccaa0944693239eaf737"),
    "cyclesoftware.leads": ("ef26b928d86ebb82cb3a4242a5151cf3", "b9da0ebefa46793eb04285f8ef5428cc"),
    "cyclesoftware.platform_keys": ("cf81d86d3d98738039a43c59eeb5db07", "a018db1cc4ef9c6749dfdcdc3bc63483"),
    "cyclesoftware.sales_orders": ("d69e6f74c05f74c82721cd931c46beee", "5c0ba38cd9cfdfb0101fd5d519da1f37"),
    "cyclesoftware.stock": ("d128e72d718272d100051160338495b7", "e0d91dad132b84282b6eaab064447e4c"),
    "cyclesoftware.stock_items": ("4e72791d2027bce8cfd1db5054904ad1", "7edb1971f904ded55ebfc3d3fde9e718"),
    "cyclesoftware.stores": ("82918f1645b37a4303736205e9f7175a", "6c1c85690e20d062a1073de9c25fc039"),
    "cyclis.companies": ("944122aefd65230155fc079f49ebeff4", "56f5f374e1135fe060267154decc2509"),
    "cyclis.cyclists": ("ace0dbe8fb06fed66344ae3e4c025a24", "9cba792579fc597a0646fed64f1e3b7b"),
    "cyclis.dealers": ("28226a04dbb245edf5bf2c6e8db52e29", "7d3c02539cc6be4c816d912a8803a257"),
    "cyclis.orders": ("e2417c67fb09ad63871ddd50c9a4c960", "e5ed9b4a3d6d8a2aebd06e693553918d"),
    "ghs.account": ("cb6e8768425837425de074e44b805982", "4e533f6f619dc1380eb46f14fa415d45"),
    "ghs.orders": ("b65c272586e162142c21c3052221304d", "a974efb987073bbc6a7200959cc3c8cf"),
    "ghs.products": ("f7f4db7261c43c811adb4725c46f0a1f", "a792e352f7f07bf31d334974fdee8498"),
    "ghs.urgent_messages": ("6f154131f527ef0378330f893b0c0345", "ba4bda95f9f76a69cc09e4919703cd4d"),
}  # fmt: skip

PARENT = TABLES["cyclesoftware.customers"]
TOY = Table(
    schema="toy",
    name="things",
    key=("id",),
    comment="Things",
    deleted="gone",
    columns=(
        column("id", Kind.BIGINT, "Number"),
        column("name", Kind.TEXT, "Name", "attributes", "name"),
        column("gone", Kind.BOOLEAN, "Whether it is gone"),
    ),
    children=(
        Child(
            field="parts",
            table=Table(
                schema="toy",
                name="parts",
                key=("id", "part_id"),
                comment="Parts",
                columns=(column("id", Kind.BIGINT, "Thing"), column("part_id", Kind.BIGINT, "Part")),
            ),
        ),
    ),
)


CHANGED_SINCE = frozenset({"cyclesoftware.sales_orders", "ghs.account", "ghs.products"})
"""Tables that turn records into other rows than 0.1.0 did, on purpose: each of their rows is read anew."""


def _with_column(table: Table, place: int, **changes: object) -> Table:
    columns = list(table.columns)
    columns[place] = replace(columns[place], **changes)  # type: ignore[arg-type]
    return replace(table, columns=tuple(columns))


@pytest.mark.parametrize("name", sorted(RECIPES_0_1_0.keys() - CHANGED_SINCE))
def test_the_tables_of_0_1_0_keep_their_fingerprints(name: str) -> None:
    assert tuple(recipe(TABLES[name], zone).hex() for zone in (UTC, AMSTERDAM)) == RECIPES_0_1_0[name]


def test_each_table_of_0_1_0_has_its_pin() -> None:
    frozen = json.loads(resources.files("syncd.records").joinpath("recipes_0_1_0.json").read_bytes())
    assert len(RECIPES_0_1_0) == 19
    assert set(frozen) == set(RECIPES_0_1_0)


def test_a_fingerprint_of_0_1_0_is_made_today_too() -> None:
    record = b'{"store_id":"1-1","object_id":1,"barcode":"8","article_id":"03","brand_name":"G","is_demo":false}'
    assert (
        Parser(TABLES["cyclesoftware.stock"], AMSTERDAM).fingerprint(record).hex() == "7a987cb60e66080e6e03f05029efecf3"
    )


@pytest.mark.parametrize("table", [*TABLES.values(), TOY], ids=[*TABLES, "toy.things"])
def test_words_indexes_and_privacy_change_no_recipe(table: Table) -> None:
    reworded = replace(
        table,
        comment="other words",
        indexes=(Index(name="other", on=(table.key[0],), where=ALIVE),),
        personal=(table.key[0],),
        person=not table.person,
        needed=table.key,
        columns=tuple(replace(each, comment=f"{each.comment}, mended") for each in table.columns),
        children=tuple(
            replace(
                child,
                table=replace(
                    child.table,
                    comment="other words",
                    columns=tuple(replace(each, comment="mended") for each in child.table.columns),
                ),
            )
            for child in table.children
        ),
    )
    assert reworded != table
    assert recipe(reworded, UTC) == recipe(table, UTC)


@pytest.mark.parametrize("table", [PARENT, TOY], ids=["of 0.1.0", "new"])
def test_whatever_changes_a_row_changes_the_recipe(table: Table) -> None:
    part = table.children[0]
    changed = [
        _with_column(table, 1, name="other"),
        _with_column(table, 1, path=("elsewhere",)),
        _with_column(table, 1, kind=Kind.JSON),
        _with_column(table, 1, optional=True),
        _with_column(table, 1, bare=True),
        replace(table, columns=table.columns[:-1]),
        replace(table, key=(table.columns[0].name, table.columns[1].name)),
        replace(table, deleted=table.columns[1].name),
        replace(table, children=()),
        replace(table, children=(replace(part, field="other"),)),
        replace(table, children=(replace(part, table=_with_column(part.table, 1, kind=Kind.JSON)),)),
    ]
    recipes = [recipe(each, UTC) for each in [table, *changed]] + [recipe(table, AMSTERDAM)]
    assert len(set(recipes)) == len(changed) + 2


def test_every_member_of_a_declaration_is_described_or_known_to_change_no_row() -> None:
    """A new member of the contract must be put into the description, or into this list."""
    without_effect = {
        Table: {"schema", "name", "comment", "indexes", "personal", "person", "refers", "needed", "newest_by"},
        Column: {"comment"},
        Child: {"table"},  # described by its own members
    }
    assert {member.name for member in fields(Child)} - without_effect[Child] == {"field", "path", "optional"}
    table = replace(_with_column(TOY, 1, optional=True, bare=True, after="id", blank=True), deleted_if=False)
    described = json.loads(description(table))
    assert {member.name for member in fields(Table)} - without_effect[Table] == set(described)
    assert {member.name for member in fields(Column)} - without_effect[Column] == set(described["columns"][1])
