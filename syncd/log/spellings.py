"""How one text can be spelt within another: encoded, escaped, or read in the wrong character set.

Finds the places of given texts in a line, however they are spelt there. Knows nothing of logging.
Two ways meet: spellings that depend on the whole text (base64, hex, a wrong reading) are looked for as they are;
escapes, which may stand for any single character, are first undone in the line.
"""

import base64
import html
import html.entities
import json
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import accumulate, combinations
from typing import Final
from urllib.parse import quote, quote_plus

import msgspec

from syncd.log.finder import HEAD_CHARS, Finder, Span

DEPTH: Final = 3
"""Escapes within escapes that are undone: a percent-encoded text in a JSON text in a JSON text."""
BASE64_CHARS: Final = 8
"""What base64 shares with its surroundings is left out; a rest that is shorter is no sure sign of anything."""


def spellings(text: str) -> frozenset[str]:
    """Return what stands for the text in a line as it is written."""
    encoded = text.encode("utf-8", "surrogatepass")
    wide = text.encode("utf-16-le", "surrogatepass")
    dumped = json.dumps(text)[1:-1]
    return frozenset(
        {
            text,
            text.encode("utf-8", "backslashreplace").decode(),
            *_twins(text),
            quote(encoded, safe=""), quote(encoded), quote_plus(encoded),
            dumped, dumped.replace("/", "\\/"),  # as PHP writes it
            json.dumps(text, ensure_ascii=False)[1:-1],
            repr(text)[1:-1], ascii(text)[1:-1],
            html.escape(text),
            *_hex(encoded),
            *_base64(encoded), *_base64(wide),
            base64.b64encode(encoded).decode().rstrip("="), base64.urlsafe_b64encode(encoded).decode().rstrip("="),
            *_misread(text, encoded), wide.decode("latin-1"),
        }
    ) - {""}  # fmt: skip


def _twins(text: str) -> Iterable[str]:
    """Yield the text as others may write it without any escape: in other normal forms, with other ends of lines."""
    for form in ("NFC", "NFD"):
        yield unicodedata.normalize(form, text)
    if "\n" in text:
        lines = text.replace("\r\n", "\n")
        yield from (lines, lines.replace("\n", "\r\n"))


def _hex(encoded: bytes) -> Iterable[str]:
    for between in ("", ":", " ", "-"):
        digits = encoded.hex(between) if between else encoded.hex()
        yield from (digits, digits.upper())


def _base64(encoded: bytes) -> Iterable[str]:
    """Yield what base64 holds of a text that stands anywhere in a longer one: it depends on the place modulo three."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + encoded).decode().rstrip("=")
        shared = (0, 2, 3)[before]
        ends = len(whole) - (1 if (before + len(encoded)) % 3 else 0)
        core = whole[shared:ends]
        if len(core) >= BASE64_CHARS:
            yield from (core, core.replace("+", "-").replace("/", "_"))


def _misread(text: str, encoded: bytes) -> Iterable[str]:
    """Yield the text as a reader with the wrong character set sees it, in either direction."""
    for charset in ("latin-1", "cp1252"):
        yield encoded.decode(charset, "replace")
        yield text.encode(charset, "replace").decode("utf-8", "replace")


def _as_bytes(text: str) -> frozenset[str]:
    """Return the bytes that stand for the text once escapes are undone, each byte as one character."""
    found = {_raw(form) for form in (text, *_twins(text))} | {_raw(_raw(text))}
    return frozenset(found | {text.encode("latin-1", "replace").decode("latin-1")})


def _raw(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


class Spelt:
    """Masks texts however they are spelt: its own and those of another one beside it."""

    def __init__(self, texts: Iterable[str] = (), *, beside: "Spelt | None" = None) -> None:
        self._plain = Finder(())
        self._undone = Finder(())
        self._beside = beside
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Mask one more text."""
        if len(text) >= HEAD_CHARS:
            for form in spellings(text):
                self._plain.add(form)
            for form in _as_bytes(text):
                self._undone.add(form)

    def remove(self, text: str) -> None:
        """Mask a text no more, unless it was added more often."""
        if len(text) >= HEAD_CHARS:
            for form in spellings(text):
                self._plain.remove(form)
            for form in _as_bytes(text):
                self._undone.remove(form)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to mask."""
        return self._plain.is_empty and (self._beside is None or self._beside.is_empty)

    def plain_spans(self, line: str) -> list[Span]:
        """Return where spellings of the texts stand in a line as it is written."""
        spans = self._plain.spans(line)
        return _merged(spans + self._beside.plain_spans(line)) if self._beside else spans

    def undone_spans(self, text: str) -> list[Span]:
        """Return where the texts stand in a line whose escapes are undone."""
        spans = self._undone.spans(text)
        return _merged(spans + self._beside.undone_spans(text)) if self._beside else spans

    def mask(self, line: str, mask: str) -> str:
        """Return the line with each of the texts replaced."""
        if self.is_empty:
            return line
        line = _replaced(line, self.plain_spans(line), mask)
        if not _escapes().search(line):
            return line
        raw = _raw(line)
        spans = [span for reading in _readings(raw) for span in reading.origins(self.undone_spans(reading.text))]
        if not spans:
            return line
        return _replaced(raw, _merged(spans), mask).encode("latin-1").decode("utf-8", "replace")


def _replaced(line: str, spans: Sequence[Span], mask: str) -> str:
    kept, at = [], 0
    for begin, end in spans:
        kept += [line[at:begin], mask]
        at = end
    return "".join((*kept, line[at:])) if kept else line


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for begin, end in sorted(spans):
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


# --- Escapes ----------------------------------------------------------------------------------------------------------

_PERCENT: Final = r"%u(?P<pu>[0-9a-f]{4})|%(?P<percent>[0-9a-f]{2})"
_ENTITY: Final = r"&\#x(?P<ex>[0-9a-f]{1,6});?|&\#(?P<ed>[0-9]{1,7});?|&(?P<name>[a-z][a-z0-9]{1,31};)"
_BACKSLASH: Final = (
    r"\\u(?P<high>d[89ab][0-9a-f]{2})\\u(?P<low>d[c-f][0-9a-f]{2})|\\u(?P<u>[0-9a-f]{4})|\\u\{(?P<braced>[0-9a-f]{1,6})\}"
    r"|\\U(?P<U>[0-9a-f]{8})|\\x(?P<x>[0-9a-f]{2})|\\(?P<octal>[0-3][0-7]{2})|\\(?P<sign>.)"
)
_QUOTED: Final = r"=(?P<quoted>[0-9a-f]{2})|(?P<soft>=\r?\n)"
_KINDS: Final = (_PERCENT, _ENTITY, _BACKSLASH)


@cache  # when a line is to be masked first: it takes as long as to import a tenth of the program
def _families() -> list[re.Pattern[str]]:
    """Return each kind alone, as what another undoes may belong to the text; and together, as real lines have them."""
    together = (*((kind,) for kind in (*_KINDS, _QUOTED)), *combinations(_KINDS, 2), _KINDS)
    return [re.compile("|".join(kinds), re.IGNORECASE | re.DOTALL) for kinds in together]


@cache
def _escapes() -> re.Pattern[str]:
    """Return what finds an escape of any kind."""
    kinds = "|".join(re.sub(r"\?P<\w+>", "?:", kind) for kind in (*_KINDS, _QUOTED))
    return re.compile(kinds, re.IGNORECASE)


_SIGNS: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "a": "\a"}


def _undone(match: re.Match[str]) -> str:
    """Return what an escape stands for, each byte of it as one character."""
    kind, value = match.lastgroup or "", match[match.lastgroup or 0]
    match kind:
        case "percent" | "x" | "quoted":
            return chr(int(value, 16))
        case "octal":
            return chr(int(value, 8))
        case "soft":
            return ""
        case "sign":
            return _SIGNS.get(value, value)
        case "name":
            return _raw(html.entities.html5.get(value, match[0]))
        case "low":
            pair = int(match["high"], 16), int(value, 16)
            return _raw(chr(0x10000 + (pair[0] - 0xD800) * 0x400 + pair[1] - 0xDC00))
        case _:
            number = int(value, 10 if kind == "ed" else 16)
            return _raw(chr(number)) if number <= 0x10FFFF else match[0]


class _Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A line with one layer of escapes undone, and where each of its parts came from."""

    text: str
    begins: Sequence[int]
    sources: Sequence[Span]
    is_escape: Sequence[bool]
    onward: Callable[[Span], Span]

    def origins(self, spans: Iterable[Span]) -> list[Span]:
        """Return where these places stand in the line as it was written."""
        return [self.onward(self._before(span)) for span in spans]

    def _before(self, span: Span) -> Span:
        first, last = bisect_right(self.begins, span[0]) - 1, bisect_right(self.begins, span[1] - 1) - 1
        begin = self.sources[first][0] + (0 if self.is_escape[first] else span[0] - self.begins[first])
        end = self.sources[last][1] if self.is_escape[last] else self.sources[last][0] + span[1] - self.begins[last]
        return begin, end


def _readings(raw: str) -> Iterable[_Reading]:
    """Yield the line with escapes undone: of each family, layer by layer."""
    seen = {raw}
    for family in _families():
        text: str = raw
        onward: Callable[[Span], Span] = _as_it_is
        for _ in range(DEPTH):
            reading = _read(family, text, onward)
            if reading is None:
                break
            if reading.text not in seen:
                seen.add(reading.text)
                yield reading
            text, onward = reading.text, _composed(reading)


def _as_it_is(span: Span) -> Span:
    return span


def _composed(reading: _Reading) -> Callable[[Span], Span]:
    return lambda span: reading.origins([span])[0]


def _read(family: re.Pattern[str], text: str, onward: Callable[[Span], Span]) -> _Reading | None:
    parts, sources, is_escape, at = [], [], [], 0
    for match in family.finditer(text):
        for piece, source, escape in (
            (text[at : match.start()], (at, match.start()), False),
            (_undone(match), match.span(), True),
        ):
            if piece:
                parts.append(piece)
                sources.append(source)
                is_escape.append(escape)
        at = match.end()
    if not at:
        return None
    if at < len(text):
        parts.append(text[at:])
        sources.append((at, len(text)))
        is_escape.append(False)
    begins = [0, *accumulate(len(part) for part in parts)][:-1]
    return _Reading(text="".join(parts), begins=begins, sources=sources, is_escape=is_escape, onward=onward)
