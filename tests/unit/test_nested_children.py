"""Child tables whose array stands within objects of a record, or need not be there: privacy, recipes, fingerprints."""

import json
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from syncd.contract import BIGINT, TEXT, Child, Table, column
from syncd.records.parser import Parser
from syncd.records.privacy import Guard, may_withhold, place
from syncd.records.recipe import recipe
from syncd.records.rows import Row

ZONE = ZoneInfo("UTC")
LEVELS = Table(
    schema="toy",
    name="levels",
    key=("id", "store"),
    comment="Levels",
    columns=(
        column("id", BIGINT, "Thing", optional=True),
        column("store", BIGINT, "Store"),
        column("note", TEXT, "Note"),
    ),
)
NESTED = Child(field="stores", path=("stock", "stores"), table=LEVELS, optional=True)
THINGS = Table(
    schema="toy",
    name="things",
    key=("id",),
    comment="Things",
    columns=(column("id", BIGINT, "Number"), column("stock_name", TEXT, "Name", "stock", "name")),
    children=(NESTED,),
)
RECORD = {"id": 1, "stock": {"name": "n", "stores": [{"store": 3, "note": "secret", "more": "x"}]}}


def kept(record: dict[str, Any], **withheld: list[str]) -> dict[str, Any]:
    """Return what a guard leaves of a record."""
    guard = Guard(THINGS, "things", hash_key=b"k", exclude=withheld.get("exclude", ()), hashed=withheld.get("hash", ()))
    found: dict[str, Any] = json.loads(guard.left_of(json.dumps(record).encode()))
    return found


def test_fields_of_a_nested_child_are_named_after_its_array() -> None:
    assert place(THINGS, "stores").path == ("stock", "stores")
    assert place(THINGS, "stores.note").path == ("stock", "stores", "note")
    with pytest.raises(ValueError, match="part of the key"):
        may_withhold(THINGS, "stores.store", "exclude")


def test_a_field_of_a_nested_child_can_be_left_out_or_hashed_and_the_array_emptied() -> None:
    (level,) = kept(RECORD, exclude=["stores.note", "more"])["stock"]["stores"]
    assert level == {"store": 3, "note": None}
    (level,) = kept(RECORD, hash=["stores.note"])["stock"]["stores"]
    assert level["note"].startswith("hmac:")
    assert kept(RECORD, exclude=["stores"]) == {"id": 1, "stock": {"name": "n", "stores": []}}


def test_an_array_that_comes_as_a_map_of_numbers_gives_its_rows_and_hides_what_is_private() -> None:
    """PHP writes a list with gaps so."""
    mapped = {
        "id": 1,
        "stock": {"name": "n", "stores": {"0": {"store": 3, "note": "secret"}, "7": {"store": 4}, "8": 5}},
    }
    row = Parser(THINGS, ZONE).parse(json.dumps(mapped).encode())
    assert isinstance(row, Row)
    (levels,) = row.children
    assert [each.key for each in levels or ()] == [(1, 3), (1, 4)]
    assert json.loads(row.extra or "") == {"stock": {"stores": [5]}}
    first, second, _ = kept(mapped, exclude=["stores.note"])["stock"]["stores"]
    assert (first, second) == ({"store": 3, "note": None}, {"store": 4, "note": None})


@pytest.mark.parametrize("record", [{"id": 1}, {"id": 1, "stock": {"name": "n"}}])
def test_what_is_left_out_makes_no_rows_where_there_were_none(record: dict[str, Any]) -> None:
    assert kept(record, exclude=["stores.note"]) == record
    row = Parser(THINGS, ZONE).parse(json.dumps(kept(record, exclude=["stores"])).encode())
    assert isinstance(row, Row)
    assert row.children == ([],)


@pytest.mark.parametrize(
    ("stock", "rows"),
    [
        (None, 0),
        ([], 0),
        ({}, 0),
        ({"name": "n"}, 0),
        ({"stores": None}, 0),
        ({"stores": []}, 0),
        ("?", None),
        (7, None),
    ],
)
def test_a_missing_array_that_may_be_missing_empties_the_child(stock: Any, rows: int | None) -> None:
    row = Parser(THINGS, ZONE).parse(json.dumps({"id": 1, "stock": stock}).encode())
    assert isinstance(row, Row)
    assert [None if each is None else len(each) for each in row.children] == [rows]


def test_an_array_that_must_be_there_keeps_the_stored_rows() -> None:
    strict = replace(THINGS, children=(replace(NESTED, optional=False),))
    row = Parser(strict, ZONE).parse(b'{"id": 1}')
    assert isinstance(row, Row)
    assert row.children == (None,)
    assert "stock.stores" in {note.field for note in row.notes}


def test_where_an_array_stands_and_whether_it_may_be_missing_is_part_of_the_recipe() -> None:
    others = (replace(NESTED, path=()), replace(NESTED, optional=False), NESTED)
    assert len({recipe(replace(THINGS, children=(each,)), ZONE) for each in others}) == 3
