"""Splits JSON that is nested too deeply for a decoder, which calls itself at every level.

Looks only at texts and brackets. What stands between them is not judged.
"""

import json
import re
from typing import Final

import msgspec
from msgspec import Raw

from syncd.records.values import plain

_SIGN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)
_MEMBER: Final = re.compile(rb'\s*("(?:[^"\\]|\\.)*")\s*:(.*)', re.DOTALL)
_CLOSES: Final = {b"[": b"]", b"{": b"}"}


def shallow_array(body: bytes) -> list[Raw]:
    """Return the elements of an array, each as sent. Raises DecodeError if its brackets do not match."""
    return [Raw(part) for part in _parts(body, b"[")]


def shallow_object(body: bytes) -> dict[str, Raw]:
    """Return the members of an object, each as sent. Raises DecodeError if it has no names, or unmatched brackets."""
    members: dict[str, Raw] = {}
    for part in _parts(body, b"{"):
        found = _MEMBER.fullmatch(part)
        if found is None:
            raise msgspec.DecodeError("expected a name and a value in an object")
        members[_name(found[1])] = Raw(found[2].strip())
    return members


def _name(text: bytes) -> str:
    try:
        return plain(json.loads(text.decode("utf-8", "replace"), strict=False))
    except ValueError:
        raise msgspec.DecodeError("the name of a member is no JSON text") from None


def _parts(body: bytes, opening: bytes) -> list[bytes]:
    """Return what stands between the commas of the outermost brackets."""
    text = body.strip()
    if text[:1] != opening:
        raise msgspec.DecodeError("expected " + ("an array" if opening == b"[" else "an object"))
    parts: list[bytes] = []
    closing: list[bytes] = []
    begin = 1
    for sign in _SIGN.finditer(text):
        if sign[0] in _CLOSES:
            closing.append(_CLOSES[sign[0]])
        elif sign[0] in (b"]", b"}"):
            if closing.pop() != sign[0]:
                break
            if not closing:
                if text[sign.end() :]:
                    break
                last = text[begin : sign.start()].strip()
                return [*parts, last] if last or parts else []
        elif sign[0] == b"," and len(closing) == 1:
            parts.append(text[begin : sign.start()].strip())
            begin = sign.end()
    raise msgspec.DecodeError("brackets do not match")
