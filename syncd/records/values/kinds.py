"""One value as sent, read for a column of some kind: what PostgreSQL can hold of it, and whether that is all of it."""

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from syncd.contract import Kind
from syncd.records.values.sound import is_odd, jsonb, plain, unwrapped
from syncd.records.values.times import read_date, read_timestamp

INT64 = range(-(2**63), 2**63)

_INTEGER = re.compile(r"-?(0|[1-9]\d{0,18})", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?", re.ASCII)
_WORDS = {"yes": True, "no": False, "true": True, "false": False, "y": True, "n": False, "1": True, "0": False}


def _read_text(value: Any, raw: bytes) -> tuple[Any, bool]:
    if isinstance(value, str):
        return (plain(value), False) if is_odd(value) else (value, True)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return raw.decode(), False
    if isinstance(value, dict) and value.keys() in ({"$json"}, {"$base64"}):
        return unwrapped(value), False
    return None, False


def _read_bigint(value: Any, raw: bytes) -> tuple[Any, bool]:
    match value:
        case bool():
            return None, False
        case int():
            return (value, True) if value in INT64 else (None, False)
        case float() if value.is_integer() and int(value) in INT64:
            return int(value), False
        case str() if _INTEGER.fullmatch(value) and int(value) in INT64:
            return int(value), False
        case _:
            return None, False


def _read_numeric(value: Any, raw: bytes) -> tuple[Any, bool]:
    text = value if isinstance(value, str) else raw.decode("utf-8", "replace")
    if isinstance(value, bool) or not (isinstance(value, (int, float)) or _NUMBER.fullmatch(text)):
        return None, False
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None, False
    if not number.is_finite() or len(text) > 100 or abs(number.adjusted()) > 300:
        return None, False
    return number or Decimal(0), not isinstance(value, str)  # PostgreSQL knows no negative zero


def _read_boolean(value: Any, raw: bytes) -> tuple[Any, bool]:
    if isinstance(value, bool):
        return value, True
    return _WORDS.get(str(value).lower()) if isinstance(value, (str, int)) else None, False


def _read_uuid(value: Any, raw: bytes) -> tuple[Any, bool]:
    try:
        read = uuid.UUID(value)
    except (ValueError, AttributeError, TypeError):
        return None, False
    return read, str(read) == value


_READ: Mapping[Kind, Callable[[Any, bytes], tuple[Any, bool]]] = {
    Kind.TEXT: _read_text,
    Kind.BIGINT: _read_bigint,
    Kind.NUMERIC: _read_numeric,
    Kind.BOOLEAN: _read_boolean,
    Kind.UUID: _read_uuid,
}


def read(raw: bytes, kind: Kind, zone: ZoneInfo) -> tuple[Any, bool]:
    """Read one value as sent for a column of that kind.

    Returns the typed value and whether it holds all that was sent; if not, the value as sent belongs in `_extra`.
    A value of another type is read where only one reading is possible ("8" as 8, "NO" as false), else it is None.
    """
    if raw == b"null":
        return None, True
    if kind is Kind.JSON:
        return jsonb(raw).decode("utf-8", "replace"), True
    value = _value(raw)
    if kind is Kind.SHA256:
        return hashlib.sha256(value.encode("utf-8", "replace") if isinstance(value, str) else raw).hexdigest(), True
    if kind is Kind.DATE:
        return read_date(value, zone)
    if kind is Kind.TIMESTAMP:
        return read_timestamp(value, zone)
    return _READ[kind](value, raw)


def _value(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            return json.loads(raw.decode("utf-8", "surrogateescape"), strict=False)
        except (ValueError, RecursionError):
            return None
