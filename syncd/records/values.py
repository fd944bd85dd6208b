"""One value as sent, read for a column: what PostgreSQL can hold of it, and whether that is all.

Values that PostgreSQL cannot hold are kept as an object that it can: `{"$json": "<the JSON text as sent>"}` for NUL,
lone surrogates, NaN and numbers beyond `numeric`; `{"$base64": "…"}` for text that is not UTF-8.

Pure functions: no I/O, no clock.
"""

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Raw

from syncd.contract import Kind

INT64 = range(-(2**63), 2**63)
JSON_DEPTH = 200
"""Deepest nesting that is stored as jsonb; msgspec and PostgreSQL both recurse."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_BIG_NUMBER = re.compile(rb"[0-9.]{300}|[eE][+-]?[0-9]{3}")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_DOTNET_DATE = re.compile(r"/Date\((-?\d{1,17})(?:[+-]\d{4})?\)/")
_LOCAL_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,18})")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
_WORDS = {"yes": True, "no": False, "true": True, "false": False, "y": True, "n": False, "1": True, "0": False}


def mended(body: bytes) -> bytes:
    """Read JSON leniently (NaN, lone surrogates, control characters, bad UTF-8) and write it soundly.

    Text that even a lenient reader refuses is returned as it is, for the strict decoder to name.
    """
    try:
        tree = json.loads(
            body.decode("utf-8", "surrogateescape"),
            strict=False,
            parse_float=lambda text: Raw(text.encode()),
            parse_int=lambda text: Raw(text.encode()),
            parse_constant=lambda text: {"$json": text},
        )
        return msgspec.json.encode(_wrapped(tree))
    except (ValueError, RecursionError):
        return body


def _wrapped(value: Any) -> Any:
    match value:
        case str():
            return _wrapped_text(value)
        case list():
            return [_wrapped(element) for element in value]
        case dict():
            return {plain(name): _wrapped(element) for name, element in value.items()}
        case _:
            return value


def _wrapped_text(text: str) -> Any:
    try:
        text.encode()
    except UnicodeEncodeError:
        try:
            # surrogateescape made U+DC80 to U+DCFF of the bytes that are no UTF-8
            sent = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return {"$json": json.dumps(text)}
        return {"$base64": base64.b64encode(sent).decode()} if _escaped(text) else {"$json": json.dumps(text)}
    return text


def _escaped(text: str) -> bool:
    return all(not 0xD800 <= ord(sign) <= 0xDFFF or 0xDC80 <= ord(sign) <= 0xDCFF for sign in text)


def plain(text: str) -> str:
    """Return text that PostgreSQL can hold: NUL and lone surrogates as U+FFFD."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode() if _odd(text) else text


def _odd(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return "\0" in text


def masked(raw: bytes) -> str:
    """Return the shape of a value for a drift sample: letters as x, digits as 9, at most 40 signs."""
    text = raw[:160].decode("utf-8", "replace")
    return re.sub(r"[^\W\d_]", "x", re.sub(r"\d", "9", text))[:40]


def jsonb(raw: bytes) -> bytes:
    """Return JSON text that PostgreSQL takes as jsonb: as sent where it can, else wrapped in `{"$json": …}`."""
    if (
        (b"\\u0000" in raw and _NUL.search(raw))
        or (_BIG_NUMBER.search(raw) and _has_big_number(_STRING.sub(b"", raw)))
        or _depth(raw) > JSON_DEPTH
    ):
        return b'{"$json":' + msgspec.json.encode(raw.decode("utf-8", "replace")) + b"}"
    return raw


def _has_big_number(raw: bytes) -> bool:
    return any(
        len(token) > 100 or (exponent and abs(int(exponent)) > 300)
        for token, exponent in re.findall(rb"(-?\d[\d.]*(?:[eE]([+-]?\d{1,6})\d*)?)", raw)
    )


def _depth(raw: bytes) -> int:
    if raw.count(b"[") + raw.count(b"{") <= JSON_DEPTH:
        return 0
    depth = deepest = 0
    for sign in _STRING.sub(b"", raw):
        depth += (sign in b"[{") - (sign in b"]}")
        deepest = max(deepest, depth)
    return deepest


def instant(text: str, zone: ZoneInfo) -> tuple[datetime | None, bool]:
    """Read an upstream's time as an aware instant; a time without a zone is local time in `zone`.

    Returns the instant (None if unreadable) and whether it alone gives the text back. A local time that comes twice is
    the first of the two; one that never comes (the spring gap) is read with the offset before the gap, and does not
    give its text back. `/Date(ms±zzzz)/` counts UTC milliseconds whatever its suffix (FACTS, GHS).
    """
    if dotnet := _DOTNET_DATE.fullmatch(text):
        try:
            moment = EPOCH + timedelta(milliseconds=int(dotnet[1]))
        except OverflowError:
            return None, False
        return (None, False) if moment.year == 1 else (moment, True)
    if not (parts := _LOCAL_TIME.fullmatch(text)):
        return None, False
    day, clock, fraction, offset = parts.groups()
    try:
        naive = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0')[:6]:0<6}")
        if offset:
            return datetime.fromisoformat(f"{naive.isoformat()}{offset.replace('Z', '+00:00')}"), len(
                fraction or ""
            ) < 7
        moment = naive.replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None, False
    return moment, moment.astimezone(zone).replace(tzinfo=None) == naive and len(fraction or "") < 7


def earliest_reading(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return a zone-less time that means `moment` or earlier, whether it is read as UTC or as local time in `zone`.

    Holds in the autumn hour that comes twice, too: every offset of the days around counts.
    """
    return moment.astimezone(UTC).replace(tzinfo=None) + min(timedelta(0), *_offsets(moment, zone))


def latest_reading(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return a zone-less time that means `moment` or later, whether it is read as UTC or as local time in `zone`."""
    return moment.astimezone(UTC).replace(tzinfo=None) + max(timedelta(0), *_offsets(moment, zone))


def _offsets(moment: datetime, zone: ZoneInfo) -> list[timedelta]:
    around = [(moment + timedelta(days=days)).astimezone(zone) for days in (-1, 0, 1)]
    return [local.utcoffset() or timedelta(0) for local in around]


def _read_text(value: Any, raw: bytes) -> tuple[Any, bool]:
    if isinstance(value, str):
        return (plain(value), False) if _odd(value) else (value, True)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return raw.decode(), False
    if isinstance(value, dict) and value.keys() in ({"$json"}, {"$base64"}):
        return _unwrapped(value), False
    return None, False


def _unwrapped(value: dict[str, Any]) -> str | None:
    try:
        if "$base64" in value:
            return base64.b64decode(value["$base64"]).decode("utf-8", "replace").replace("\0", "\ufffd")
        text = json.loads(value["$json"])
    except (ValueError, TypeError):
        return None
    return plain(text) if isinstance(text, str) else None


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
    return number, not isinstance(value, str)


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


def read_date(value: Any, zone: ZoneInfo) -> tuple[Any, bool]:
    """Read a date; of a date with a time only the day fits."""
    if not isinstance(value, str):
        return None, False
    if _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value), True
        except ValueError:
            return None, False
    moment, _ = instant(value, zone)
    if moment is None:
        return None, False
    return (date.fromisoformat(value[:10]) if _DATE.match(value) else moment.astimezone(zone).date()), False


def read_timestamp(value: Any, zone: ZoneInfo) -> tuple[Any, bool]:
    """Read an instant; a bare date is its midnight in `zone`, and does not fit."""
    if not isinstance(value, str):
        return None, False
    if _DATE.fullmatch(value):
        return instant(f"{value} 00:00:00", zone)[0], False
    return instant(value, zone)


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
