"""A row of the mirror, put back into the record as it was sent, and compared with one that the upstream holds.

Knows the declared columns (where each value stood); shares no code with the parser.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from syncd.contract import Column, Kind, Table

Record = dict[str, Any]
Key = tuple[Any, ...]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_FIRST = re.compile(r"(\d\d)-(\d\d)-(\d{4})( .*)?", re.ASCII)


def key(row: Mapping[str, Any], table: Table) -> Key:
    """Return the key of a row as texts, without the source."""
    return tuple(str(row[name]) for name in table.key)


def key_of(record: Record, table: Table) -> Key:
    """Return the key of a record of the sandbox, as `key` has it; what the sandbox adds stands under `_name`."""
    parts = []
    for name in table.key:
        column = next(column for column in table.columns if column.name == name)
        value = record.get(f"_{name}", record.get(str(column.path[-1])))
        parts.append(sha256(value) if column.kind is Kind.SHA256 else str(value))
    return tuple(parts)


def is_flagged(record: Record, table: Table) -> bool:
    """Say whether the upstream itself flags a record as deleted."""
    flag = next((column for column in table.columns if column.name == table.deleted), None)
    value: Any = record if flag else None
    for step in flag.path if flag else ():
        value = value.get(step) if isinstance(value, dict) else None
    return value is table.deleted_if


def sha256(value: Any) -> str:
    """Return the digest that a column of secrets holds."""
    return hashlib.sha256(str(value).encode()).hexdigest()


# --- A row as the record that was sent --------------------------------------------------------------------------------


def rebuilt(row: Mapping[str, Any], table: Table) -> Record:
    """Put every typed value back where it stood in the record, and lay `_extra` over it."""
    record: Record = {}
    for column in table.columns:
        if row[column.name] is not None:
            _place(record, column, _shown(row[column.name], column.kind))
    extra = json.loads(row["_extra"], parse_float=Decimal) if row["_extra"] else {}
    merged: Record = _merged(record, unwrapped(extra))
    return merged


def _shown(value: Any, kind: Kind) -> Any:
    """Return a value as JSON shows it; an instant stays one, for the vendors write it in several ways."""
    if kind is Kind.JSON:
        return unwrapped(json.loads(value, parse_float=Decimal))
    if kind is Kind.UUID:
        return str(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return value


def _place(record: Record, column: Column, value: Any) -> None:
    node: Any = record
    for step, following in zip(column.path, (*column.path[1:], None), strict=True):
        if isinstance(node, list):
            node.extend([None] * (int(step) + 1 - len(node)))
            node[int(step)] = value
            return
        if following is None:
            node[step] = value
            return
        node = node.setdefault(step, [] if isinstance(following, int) else {})


def _merged(under: Any, over: Any) -> Any:
    if isinstance(under, dict) and isinstance(over, dict):
        return under | {name: _merged(under.get(name), value) for name, value in over.items()}
    return over


def unwrapped(value: Any) -> Any:
    """Return what PostgreSQL could not hold and was wrapped for it."""
    match value:
        case {"$json": str(text)} if len(value) == 1:
            return unwrapped(json.loads(text, parse_float=Decimal))  # what holds NUL may hold an infinity too
        case {"$base64": str(text)} if len(value) == 1:
            return base64.b64decode(text).decode("utf-8", "surrogateescape")
        case dict():
            return {name: unwrapped(inner) for name, inner in value.items()}
        case list():
            return [unwrapped(inner) for inner in value]
        case _:
            return value


# --- Comparing --------------------------------------------------------------------------------------------------------


def plain(record: Record, table: Table) -> Record:
    """Return a record of the truth without the marks that the sandbox adds, its secrets digested, numbers exact."""
    exact: Record = json.loads(json.dumps(record), parse_float=Decimal)
    read = {str(column.path[0]) for column in table.columns}
    told = {name: value for name, value in exact.items() if not name.startswith("_") or name in read}
    for column in table.columns:
        if column.kind is Kind.SHA256 and told.get(str(column.path[-1])) is not None:
            told[str(column.path[-1])] = sha256(told[str(column.path[-1])])
    for child in table.children:  # compared as rows of their own
        _take_out(told, child.at)
    return told


def _take_out(record: Any, path: Sequence[str]) -> None:
    """Take a value out of a record, wherever it stands in it."""
    for step in path[:-1]:
        record = record.get(step) if isinstance(record, dict) else None
    if isinstance(record, dict):
        record.pop(path[-1], None)


def differing(place: str, mirrored: Any, sent: Any, zone: ZoneInfo) -> list[str]:
    """Compare two values in depth; null and absent are the same."""
    match mirrored, sent:
        case dict(), dict():
            names = sorted({*mirrored, *sent})
            return [
                told
                for name in names
                for told in differing(f"{place}.{name}", mirrored.get(name), sent.get(name), zone)
            ]
        case list(), list() if len(mirrored) == len(sent):
            pairs = enumerate(zip(mirrored, sent, strict=True))
            return [told for at, pair in pairs for told in differing(f"{place}[{at}]", *pair, zone)]
        case _:
            is_same = _is_same(mirrored, sent, zone)
            return [] if is_same else [f"{place}: the mirror has {mirrored!r:.80}, upstream {sent!r:.80}"]


def _is_same(mirrored: Any, sent: Any, zone: ZoneInfo) -> bool:
    if isinstance(mirrored, datetime):
        return isinstance(sent, str) and mirrored in instants(sent, zone)
    if _is_hollow(mirrored) and _is_hollow(sent):
        return True
    if isinstance(mirrored, bool) or isinstance(sent, bool):
        return mirrored is sent
    if isinstance(mirrored, int | Decimal) and isinstance(sent, int | Decimal):
        return Decimal(mirrored) == Decimal(sent)
    if isinstance(mirrored, str) and isinstance(sent, str) and DAY_FIRST.fullmatch(sent):
        return mirrored in (sent, _year_first(sent))
    return type(mirrored) is type(sent) and bool(mirrored == sent)


def _is_hollow(value: Any) -> bool:
    """Say whether a value is null, or an object of nulls only, which leaves nothing in any column."""
    return value is None or (isinstance(value, dict) and bool(value) and all(map(_is_hollow, value.values())))


def instants(text: str, zone: ZoneInfo) -> Sequence[datetime]:
    """Return the instants that a time of an upstream can mean: two in the autumn hour that comes twice."""
    if dotnet := re.fullmatch(r"/Date\((-?\d+)(?:[+-]\d{4})?\)/", text):
        return [EPOCH + timedelta(milliseconds=int(dotnet[1]))]
    try:
        moment = datetime.fromisoformat(_year_first(text))
    except ValueError:
        return []
    if moment.tzinfo:
        return [moment]
    return [moment.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]


def _year_first(text: str) -> str:
    """Return 28-11-2026 10:00 as 2026-11-28 10:00."""
    parts = DAY_FIRST.fullmatch(text)
    return f"{parts[3]}-{parts[2]}-{parts[1]}{parts[4] or ''}" if parts else text
