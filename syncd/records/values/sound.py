"""JSON text that PostgreSQL can hold, and what stands for text that it cannot.

Values that PostgreSQL cannot hold are kept as an object that it can: `{"$json": "<the JSON text as sent>"}` for NUL,
lone surrogates, NaN and numbers beyond `numeric`; `{"$base64": "…"}` for text that is not UTF-8.
"""

import base64
import json
import re
from typing import Any

import msgspec
from msgspec import Raw

JSON_DEPTH = 200
"""Deepest nesting that is stored as jsonb; msgspec and PostgreSQL both recurse."""

_BIG_NUMBER = re.compile(rb"[0-9.]{300}|[eE][+-]?[0-9]{3}")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_BRACKET = re.compile(rb"[\[\]{}]")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')


def mended(body: bytes) -> bytes:
    """Read JSON leniently (NaN, lone surrogates, control characters, bad UTF-8) and write it soundly.

    Text that even a lenient reader refuses is returned as it is, for the strict decoder to name. Raises RecursionError
    for text that is nested too deeply.
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
    except ValueError:
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


def unwrapped(value: dict[str, Any]) -> str | None:
    """Return the text that a `$json` or `$base64` object stands for, as far as PostgreSQL can hold it."""
    try:
        if "$base64" in value:
            return base64.b64decode(value["$base64"]).decode("utf-8", "replace").replace("\0", "\ufffd")
        text = json.loads(value["$json"])
    except (ValueError, TypeError):
        return None
    return plain(text) if isinstance(text, str) else None


def plain(text: str) -> str:
    """Return text that PostgreSQL can hold: NUL and lone surrogates as U+FFFD."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode() if is_odd(text) else text


def is_odd(text: str) -> bool:
    """Say whether PostgreSQL cannot hold a text."""
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
        or depth(raw) > JSON_DEPTH
    ):
        return b'{"$json":' + msgspec.json.encode(raw.decode("utf-8", "replace")) + b"}"
    return raw


def _has_big_number(raw: bytes) -> bool:
    return any(
        len(token) > 100 or (exponent and abs(int(exponent)) > 300)
        for token, exponent in re.findall(rb"(-?\d[\d.]*(?:[eE]([+-]?\d{1,6})\d*)?)", raw)
    )


def depth(raw: bytes) -> int:
    """Return how deeply a JSON text is nested; 0 where it has too few brackets to be nested deeper than JSON_DEPTH."""
    if raw.count(b"[") + raw.count(b"{") <= JSON_DEPTH:
        return 0
    level = deepest = 0
    for sign in _BRACKET.findall(_STRING.sub(b"", raw)):
        level += 1 if sign in b"[{" else -1
        deepest = max(deepest, level)
    return deepest
