"""Second ways: what a walk asks instead, where a server refuses what no document promises.

A walk may ask for things that we chose: an offset between two pages, a number of rows, an order. A server is free to
refuse each. The refusal is answered by a plainer question, which is told once, and asked at once from then on.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from syncd.contract.errors import UpstreamError
from syncd.contract.walk import Walk

REFUSALS: Final = frozenset({400, 405, 406, 409, 413, 414, 415, 416, 422, 431, 501})
"""Statuses that may mean: this question is not taken. A 404 is none, because it speaks of what was asked for."""
PREFIX: Final = "second way: "
"""Begins the note of a run that took one; `syncd check` looks for it."""

T = TypeVar("T")


def is_refusal(error: UpstreamError) -> bool:
    """Say whether a server may have refused the question, and not the account or the thing asked for."""
    return error.status in REFUSALS


def take(walk: Walk, told: str) -> None:
    """Remember a second way for the stream, as long as this process lives, and tell it in the run's record once."""
    if told not in walk.ways:
        walk.ways.add(told)
        walk.note(f"{PREFIX}{told}")


async def either(walk: Walk, told: str, first: Callable[[], Awaitable[T]], second: Callable[[], Awaitable[T]]) -> T:
    """Return what `first` gives; if the server refuses it, what `second` gives, from then on at once.

    `told` says in words what is refused and what is asked instead. Raises the error of `first` if both are refused.
    """
    if told in walk.ways:
        return await second()
    try:
        return await first()
    except UpstreamError as error:
        if not is_refusal(error):
            raise
        try:
            found = await second()
        except UpstreamError as again:
            if not is_refusal(again):
                raise
            raise error from None
        take(walk, told)
        return found
