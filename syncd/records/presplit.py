"""Large answers are split before anybody asks for their members, step by step, so that the event loop goes on.

A chunk of an array is found with the decoder: a piece of the text that begins with an element and ends before a comma
is whole only if it decodes. Where that does not help, brackets and texts are counted. What is no sound JSON object is
left to `split`, which judges it as it judges any answer.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Final, cast

import msgspec
from msgspec import Raw

from syncd.contract import Answer
from syncd.records.giant import CHUNK_RECORDS, Giant, GiantArray
from syncd.records.split import elements

GIANT_BYTES: Final = 2**22
"""A smaller answer is split in one go, which takes some 20 ms; our choice."""
CHUNK_BYTES: Final = 2**18
"""A chunk is about so long at most; our choice."""
FIRST_BYTES: Final = 2**15
"""Of the first chunk, which tells how long elements are."""
TRIES: Final = 24
"""Places at which a chunk may end that are tried before brackets are counted."""

TEXT: Final = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_SIGN: Final = re.compile(TEXT + rb"|[\[\]{},]", re.DOTALL)
_NAME: Final = re.compile(rb"\s*(" + TEXT + rb")\s*:\s*", re.DOTALL)
_PLAIN: Final = re.compile(TEXT + rb"|[^\s,\[\]{}\"]+", re.DOTALL)
_BLANK: Final = re.compile(rb"\s*")
_BETWEEN: Final = re.compile(rb"\}\s*(,)\s*\{")
_DECODE: Final = msgspec.json.Decoder(list[Raw]).decode


class _Unsound(Exception):
    """The text is no JSON object as a whole."""


async def presplit(answer: Answer) -> None:
    """Split a large answer that is a JSON object into its members, letting others have a turn now and then."""
    if len(answer.body) < GIANT_BYTES or answer.members:
        return
    try:
        members = [member async for member in _Splitter(answer.body).members()]
    except (_Unsound, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    answer.members.update(members)


class _Splitter:
    """Splits one object, from its beginning to its end."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._chunk_bytes = FIRST_BYTES

    async def members(self) -> AsyncIterator[tuple[str, bytes]]:
        """Give name and value of each member."""
        at = self._after(0, b"{")
        if self._sign(at) != b"}":
            while True:
                named = _NAME.match(self._body, at)
                if named is None:
                    raise _Unsound
                value, at = await self._value(named.end())
                yield msgspec.json.decode(named[1], type=str), value
                at = self._skip(at)
                if self._sign(at) != b",":
                    break
                at += 1
        if self._skip(self._after(at, b"}")) != len(self._body):
            raise _Unsound

    async def _value(self, at: int) -> tuple[bytes, int]:
        """Return the value that begins there, and where it ends."""
        match self._sign(at):
            case b"[":
                return await self._array(at)
            case b"{":
                end = await self._bracketed(at)
            case _:
                plain = _PLAIN.match(self._body, at)
                if plain is None:
                    raise _Unsound
                end = plain.end()
        return self._body[at:end], end

    async def _array(self, begin: int) -> tuple[bytes, int]:
        """Return the array that begins there; one that is large stays where it is."""
        at, ends, counts = begin + 1, list[int](), [0]
        while True:
            end, count = self._chunk(at)
            if count:
                ends.append(end)
                counts.append(counts[-1] + count)
            if self._sign(end) == b"]":
                break
            at = end + 1
            await asyncio.sleep(0)
        if end + 1 - begin < GIANT_BYTES:
            return self._body[begin : end + 1], end + 1
        giant = Giant(self._body, begin + 1, ends, counts[1:], partial(elements, name="the answer"))
        return cast("bytes", GiantArray(self._body, begin, end + 1, giant)), end + 1

    def _chunk(self, begin: int) -> tuple[int, int]:
        """Return where a chunk that begins there ends, at a comma or the closing bracket, and how many elements."""
        tries = _BETWEEN.finditer(self._body, begin + self._chunk_bytes, begin + self._chunk_bytes + CHUNK_BYTES)
        for _, between in zip(range(TRIES), tries, strict=False):
            end = between.start(1)
            try:
                count = len(_DECODE(b"[%b]" % self._body[begin:end]))
            except (msgspec.MsgspecError, RecursionError):
                continue
            self._chunk_bytes = min(CHUNK_BYTES, CHUNK_RECORDS * (end - begin) // count)
            return end, count
        return self._counted(begin)

    def _counted(self, begin: int) -> tuple[int, int]:
        """Return the same by counting brackets and texts."""
        depth = commas = 0
        for sign in _SIGN.finditer(self._body, begin):
            match sign[0]:
                case b"[" | b"{":
                    depth += 1
                case b"}":
                    depth -= 1
                case b"]" if depth:
                    depth -= 1
                case b"]":
                    is_empty = not commas and not self._body[begin : sign.start()].strip()
                    return sign.start(), 0 if is_empty else commas + 1
                case b"," if not depth:
                    commas += 1
                    if sign.start() - begin >= self._chunk_bytes:
                        return sign.start(), commas
        raise _Unsound

    async def _bracketed(self, begin: int) -> int:
        """Return where the object that begins there ends."""
        depth, turn_at = 0, begin + CHUNK_BYTES
        for sign in _SIGN.finditer(self._body, begin):
            if sign.start() > turn_at:
                turn_at = sign.start() + CHUNK_BYTES
                await asyncio.sleep(0)
            depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(sign[0], 0)
            if not depth:
                return sign.end()
        raise _Unsound

    def _skip(self, at: int) -> int:
        blank = _BLANK.match(self._body, at)
        return blank.end() if blank else at

    def _sign(self, at: int) -> bytes:
        at = self._skip(at)
        return self._body[at : at + 1]

    def _after(self, at: int, sign: bytes) -> int:
        at = self._skip(at)
        if self._body[at : at + 1] != sign:
            raise _Unsound
        return at + 1
