"""A value that comes alone instead of in its object: read where the column declares it, kept as sent in any case."""

import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from syncd.contract import BIGINT, TEXT, Table, column
from syncd.records.parser import Parser
from syncd.records.rows import Row


def _row(sent: Any, *, bare: bool) -> tuple[Row, list[str]]:
    table = Table(
        schema="toy",
        name="things",
        key=("id",),
        comment="Things",
        columns=(
            column("id", BIGINT, "Number"),
            column("colour", TEXT, "Key of the colour", "colour", "key", bare=bare),
            column("colour_text", TEXT, "The colour in words", "colour", "text"),
        ),
    )
    row = Parser(table, ZoneInfo("UTC")).parse(json.dumps({"id": 1, "colour": sent}).encode())
    assert isinstance(row, Row)
    return row, [note.change for note in row.notes]


@pytest.mark.parametrize(("bare", "read"), [(True, "red"), (False, None)])
def test_a_value_that_comes_alone_is_read_where_its_column_says_so(bare: bool, read: str | None) -> None:
    row, changes = _row("red", bare=bare)
    assert row.values == (1, read, None)
    assert json.loads(row.extra or "{}") == {"colour": "red"}
    assert changes == ["type_changed"]


@pytest.mark.parametrize("bare", [True, False])
def test_the_object_is_read_either_way(bare: bool) -> None:
    row, changes = _row({"key": "red", "text": "Red"}, bare=bare)
    assert row.values == (1, "red", "Red")
    assert (row.extra, changes) == (None, [])


@pytest.mark.parametrize("sent", [["red"], "", 7])
def test_whatever_else_comes_is_kept_as_sent(sent: Any) -> None:
    row, _ = _row(sent, bare=True)
    assert json.loads(row.extra or "{}") == {"colour": sent}
