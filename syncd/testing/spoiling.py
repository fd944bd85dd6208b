"""Values that no document promises, put into records of the sandbox where columns and unknown fields stand."""

from typing import Any, Final

from syncd.contract import Column, Kind
from syncd.testing.rig import Rig

TURNS: Final = 3
"""Rounds of spoiling: each field gets another odd value in each."""
UNKNOWN: Final[tuple[Any, ...]] = (
    "nieuw", 12.5, True, {"deep": [{"er": None}, 1, "x"]}, ["a", {"b": "c"}], "", 2**53 + 1, {"a": {"b": {"c": 0.1}}},
)  # fmt: skip
ODD: Final[dict[Kind, tuple[Any, ...]]] = {
    Kind.TEXT: ("", "  spaced ", "01067", "ü€😀\n\t", "null", 12, True, ["a"], {"b": 1}, "x" * 300),
    Kind.BIGINT: (0, -1, 2**53 + 1, "12", 1.5, "twelve", True, [1], 2**70),
    Kind.NUMERIC: (0, -0.5, 12.50, 1e10, "12.50", "1,5", False, {"v": 1}),
    Kind.BOOLEAN: ("NO", 1, 0, "true", [], False),
    Kind.DATE: ("2026-02-30", "", "0000-00-00", 5, "2026-01-02T03:04:05Z", "yesterday"),
    Kind.UUID: ("x", 7, "", "00000000-0000-4000-8000-00000000000a"),
    Kind.JSON: ([], {}, "text", 5, [{"a": [None, {"b": 0.1}]}], False),
}
"""Instants are left out: a sandbox stamps them by itself."""


def spoil(rig: Rig, stream: str, turn: int) -> None:
    """Change every record of a stream: each gets an unknown field, and one known field another value."""
    table, world = rig.source.stream(stream).table, rig.sandbox.world
    keys = {*table.key, *table.refers, table.deleted}
    columns = [column for column in table.columns if column.name not in keys and column.kind in ODD]
    for number, key in enumerate(rig.keys(stream)):
        record = world.get(rig.source.type, stream, key)
        inner = record.get("attributes")
        holder: dict[str, Any] = inner if isinstance(inner, dict) else record
        holder[f"unheard_of_{number % 3}"] = UNKNOWN[(number + turn) % len(UNKNOWN)]
        if columns:
            column = columns[(number + 7 * turn) % len(columns)]
            values = ODD[column.kind]
            _put(record, column, values[(number // len(columns) + number + turn) % len(values)])
        rig.sandbox.put(rig.source.type, stream, record)


def _put(record: dict[str, Any], column: Column, value: Any) -> None:
    """Put a value where a column reads it; nothing, where the record has no such place."""
    node: Any = record
    for step in column.path[:-1]:
        node = node.get(step) if isinstance(node, dict) else None
    if isinstance(node, dict) and column.path[-1] in node:
        node[column.path[-1]] = value
