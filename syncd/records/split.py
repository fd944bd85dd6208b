"""Splits JSON into its parts, each as sent: an answer into members, an array into elements.

Knows no table. Text that is no sound JSON is mended first, if that is possible.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import msgspec
from msgspec import Raw

from syncd.contract import Answer
from syncd.errors import BadPayload
from syncd.records.giant import GiantArray
from syncd.records.known import recognized
from syncd.records.shallow import shallow_array, shallow_object
from syncd.records.values import mended

OBJECT = msgspec.json.Decoder(dict[str, Raw])
ARRAY = msgspec.json.Decoder(list[Raw])
LONG_BYTES: Final = 2**14
"""A shorter array is split when it is asked for; our choice."""
IN_PLACE: Final = b"-271828182845904523e-17"
"""A number that no vendor sends."""
_UNSOUND: Final = (UnicodeDecodeError, msgspec.MsgspecError, RecursionError)


def envelope(sent: Answer | bytes) -> dict[str, bytes]:
    """Split a JSON object into its members, each as sent. Raises BadPayload if it is no JSON object.

    An answer keeps its members, because they are asked for twice: by who looks for an error in it, and by the walk.
    """
    if not isinstance(sent, Answer):
        return _members(sent)
    if not sent.members:
        sent.members.update(_members(sent.body))
    return dict(sent.members)


def detail(answer: Answer) -> dict[str, bytes]:
    """Split an answer that is one record; also a large array in it is a text. Raises BadPayload as `envelope` does."""
    return {name: bytes(raw) for name, raw in envelope(answer).items()}


def _members(body: bytes) -> dict[str, bytes]:
    if isinstance(body, GiantArray):
        raise BadPayload("expected a JSON object, got an array")
    if body.lstrip()[:1] != b"{":  # nothing that could be mended makes an object of it
        raise BadPayload(f"expected a JSON object, got {kind_of(body)}")
    try:
        return _members_and_elements(body) or {name: bytes(raw) for name, raw in decoded(OBJECT, body).items()}
    except (msgspec.MsgspecError, RecursionError):
        raise BadPayload(f"expected a JSON object, got {kind_of(body)}") from None


def listed(raw: bytes) -> list[Raw]:
    """Return the elements of an array, or the values of a map whose names are numbers: so PHP writes a list with gaps.

    Raises MsgspecError for anything else.
    """
    if raw.lstrip()[:1] != b"{":
        found: list[Raw] = decoded(ARRAY, raw)
        return found
    fields = decoded(OBJECT, raw)
    if not all(name.isdecimal() for name in fields):
        raise msgspec.ValidationError("expected an array")
    return list(fields.values())


def _members_and_elements(body: bytes) -> dict[str, bytes] | None:
    """Split an object of which one member is a long array, and that array, too; None for any other text.

    Each byte is read once: the small members with a number in the array's place, and the array alone.
    """
    begin, end = body.find(b"["), body.rfind(b"]") + 1
    if end - begin < LONG_BYTES:
        return None
    try:
        around = body[:begin] + IN_PLACE + body[end:]
        _require_utf8(around)
        members = {name: bytes(raw) for name, raw in OBJECT.decode(around).items()}
        names = [name for name, raw in members.items() if raw == IN_PLACE]
        if len(names) != 1:  # the brackets stand in a text, or deeper
            return None
        text = memoryview(body)[begin:end]
        if known := recognized(text, _parts):
            return members | {names[0]: cast("bytes", GiantArray(body, begin, end, known))}
        array = SplitArray(text)
        array.parts = _parts(array)
        return members | {names[0]: array}
    except _UNSOUND:
        return None


def _parts(array: bytes) -> list[bytes]:
    _require_utf8(array)
    return list(map(bytes, ARRAY.decode(array)))


class Elements(list[bytes]):
    """The elements of a JSON array, with the array itself: to decode them together it need not be joined again."""

    def __init__(self, found: Iterable[bytes], array: bytes) -> None:
        super().__init__(found)
        self.array = array


class SplitArray(bytes):
    """The text of an array that was split together with its answer; `parts` are its elements.

    They do not lead back to it: a page must go as soon as nobody has it, and not wait for the search for cycles.
    """

    parts: list[bytes]


def elements(raw: bytes | None, name: str) -> Sequence[bytes]:
    """Split a JSON array into its elements, each as sent; `name` is the array's, for the error.

    Those of a large array are split chunk by chunk, when they are needed.
    Raises BadPayload if it is missing or no array.
    """
    if isinstance(raw, GiantArray):
        return raw.elements
    if isinstance(raw, SplitArray):
        return Elements(raw.parts, raw)
    try:
        found, array = sound(ARRAY, raw or b"")
        return Elements(map(bytes, found), array)
    except (msgspec.MsgspecError, RecursionError):
        got = "nothing" if raw is None else kind_of(raw)
        raise BadPayload(f"expected an array in `{name}`, got {got}") from None


def sound(decoder: "msgspec.json.Decoder[Any]", body: bytes) -> tuple[Any, bytes]:
    """Decode one level of JSON; text that is unsound (NaN, lone surrogates, bad UTF-8) is mended first.

    Also return the text that was decoded. Text that is nested too deeply for a decoder is split by its brackets: each
    part is then judged alone.
    """
    try:
        _require_utf8(body)
        return decoder.decode(body), body
    except _UNSOUND:
        pass
    try:
        body = mended(body)
        return decoder.decode(body), body
    except RecursionError:
        return (shallow_object(body) if decoder is OBJECT else shallow_array(body)), body


def _require_utf8(body: bytes) -> None:
    """Raise UnicodeDecodeError for bad UTF-8, which the decoder passes over in texts that it only skips."""
    if not body.isascii():
        body.decode()


def decoded(decoder: "msgspec.json.Decoder[Any]", body: bytes) -> Any:
    """Decode one level of JSON, mended first where it is unsound."""
    return sound(decoder, body)[0]


def scalar(raw: bytes | None) -> Any:
    """Read a small value of an envelope (a number, a text, null); None if it is missing, unreadable or large."""
    if isinstance(raw, GiantArray):
        return None
    try:
        return msgspec.json.decode(raw or b"null")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def kind_of(body: bytes) -> str:
    """Say in words what a text is that should have been other JSON, without showing its content."""
    start = body.lstrip()[:1]
    if not start:
        return "an empty body"
    names = {b"<": "HTML or XML", b"[": "an array", b"{": "an object, or a broken one", b'"': "a text", b"n": "null"}
    return names.get(start, "something else")
