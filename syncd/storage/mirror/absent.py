"""Fields that were missing in a record: a missing field does not erase the value that is stored. No I/O."""

import asyncpg
import msgspec

from syncd.records.rows import Row
from syncd.storage.mirror.layout import TableLayout


def filled(layout: TableLayout, row: Row, stored: asyncpg.Record | None) -> Row:
    """Return a row with what is stored in the place of each field that its record lacked."""
    if stored is None:
        return row
    values = tuple(
        stored[index] if name in row.absent else value
        for index, (name, value) in enumerate(zip(layout.columns, row.values, strict=True))
    )
    table = layout.table
    missing = {str(column.path[0]) for column in table.columns if column.name in row.absent}
    missing |= {child.at[0] for child, rows in zip(table.children, row.children, strict=False) if rows is None}
    return row._replace(values=values, extra=_carried(row.extra, stored["_extra"], missing))


def _carried(extra: str | None, stored: str | None, missing: set[str]) -> str | None:
    """Return `extra` with those members of the stored one whose field was missing this time."""
    if not stored:
        return extra
    fields = msgspec.json.decode(extra, type=dict[str, msgspec.Raw]) if extra else {}
    before = msgspec.json.decode(stored, type=dict[str, msgspec.Raw])
    fields = {name: raw for name, raw in before.items() if name in missing} | fields
    return msgspec.json.encode(fields).decode() if fields else None
