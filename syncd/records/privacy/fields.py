"""What a name in `exclude` or `hash` means: which place of a record, and whether it may be named there."""

from typing import NamedTuple

from syncd.config.model import Withholding
from syncd.contract import Column, Kind, Table


class Place(NamedTuple):
    """Where a named field stands in a record: `column` and the table that has it, or None for one without a column.

    `array` is True for the array of a child table as a whole.
    """

    path: tuple[str | int, ...]
    table: Table
    column: Column | None = None
    array: bool = False


def place(table: Table, name: str) -> Place:
    """Find a field by its name in the configuration.

    That is the name of a column; `array.column` for one of a child table, `array` for all of it; else the upstream's
    name of a field without a column, dotted where nested (within a jsonb column, after the name of that).
    """
    columns = {column.name: column for column in table.columns}
    if name in columns:
        return Place(columns[name].path, table, columns[name])
    head, _, rest = name.partition(".")
    for child in table.children:
        if name == child.field:
            return Place(child.at, child.table, array=True)
        if head == child.field:
            found = place(child.table, rest)
            return found._replace(path=(*child.at, *found.path))
    if rest and head in columns and columns[head].kind is Kind.JSON:
        return Place((*columns[head].path, *rest.split(".")), table)
    return Place(tuple(name.split(".")), table)


def may_withhold(table: Table, name: str, how: Withholding) -> None:
    """Raise ValueError if a field may not be left out, or hashed."""
    found = place(table, name)
    column = found.column
    if column is None:
        _refuse_upstream_name(found, name)
        if how == "hash" and found.array:
            raise ValueError(f'"{name}" is a list; name one of its fields, as in "{name}.{found.table.key[-1]}"')
        return
    if column.name in found.table.key:
        raise ValueError(f'"{name}" is part of the key, without which there is no row')
    if column.name == found.table.deleted:
        raise ValueError(f'"{name}" says what is deleted upstream; without it rows would come back to life')
    if column.name == found.table.newest_by:
        raise ValueError(
            f'"{name}" says which of two records is newer; without it an old one would overwrite a new one'
        )
    if column.name in found.table.needed:
        raise ValueError(f'"{name}" is what deletions are found by; without it rows would stay for ever')
    if column.name in found.table.refers:
        raise ValueError(f'"{name}" says whose row it is; without it syncd forget would not find the row')
    if how == "hash" and column.kind is not Kind.TEXT:
        raise ValueError(f'"{name}" is of type {column.kind}, only text can be hashed; exclude takes any')


def _refuse_upstream_name(found: Place, name: str) -> None:
    """Raise ValueError for what has columns of its own: by their names it is clear what is meant."""
    last = name.rpartition(".")[2]
    own = [
        column.name
        for column in found.table.columns
        if not found.array and (column.path[-1] == last or column.path[: len(found.path)] == found.path)
    ]
    if own and (len(found.path) == 1 or any(column.path == found.path for column in found.table.columns)):
        raise ValueError(f'"{name}" is the upstream\'s name; write the column{"s" * (len(own) > 1)}: {", ".join(own)}')
