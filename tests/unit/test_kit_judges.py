"""What the judges of the kit say of a record."""

from typing import Any

import pytest

from syncd.contract import BOOLEAN, TEXT, Table, column
from syncd.testing.records import is_flagged


def flagged_by(*path: str, deleted_if: bool) -> Table:
    columns = (column("id", TEXT, "Number"), column("flag", BOOLEAN, "The flag", *path))
    return Table(schema="s", name="t", key=("id",), columns=columns, comment="T", deleted="flag", deleted_if=deleted_if)


@pytest.mark.parametrize(
    ("table", "record", "is_deleted"),
    [
        (flagged_by(deleted_if=True), {"flag": True}, True),
        (flagged_by(deleted_if=True), {"flag": False}, False),
        (flagged_by(deleted_if=False), {"flag": False}, True),
        (flagged_by(deleted_if=False), {"flag": True}, False),
        (flagged_by(deleted_if=False), {}, False),
        (flagged_by("state", "gone", deleted_if=True), {"state": {"gone": True}}, True),
        (flagged_by("state", "gone", deleted_if=True), {"state": None, "flag": True}, False),
    ],
)
def test_a_flag_is_read_where_and_as_it_is_declared(table: Table, record: dict[str, Any], is_deleted: bool) -> None:
    assert is_flagged({"id": "a", **record}, table) is is_deleted
