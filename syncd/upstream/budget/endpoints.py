"""Endpoints: what passed at each of them in the last minute, and what 429s have done to it.

An endpoint is a method and a path in which ids are replaced, so that the lookups of a stream share one. Counts are per
second, because a vendor may limit seconds. Knows no rule about 429s.
"""

import math
import re
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from syncd.upstream.budget.state import Closing, Endpoint

KEPT_S: Final = 62
"""A request leaves the minute of an endpoint 61 to 62 s after its charge: 1 s for the time on the wire."""
ENDPOINTS_MAX: Final = 16
"""The least recently used one is forgotten first; no API of ours has more that are busy in one minute."""
PACE_REQUESTS: Final = 10
"""A pace is measured over at least so many requests; fewer in a minute are no pace."""
_VERSION: Final = re.compile(r"v[0-9]+")


@lru_cache(maxsize=1_024)
def endpoint_of(method: str, path: str) -> str:
    """Return the endpoint of a request: segments with digits are ids, except for versions like v1."""
    return f"{method} {'/'.join(_named(segment) for segment in path.split('/'))}"


def _named(segment: str) -> str:
    is_id = any(character.isdigit() for character in segment) and not _VERSION.fullmatch(segment)
    return "*" if is_id else segment


class Traffic(NamedTuple):
    """What passed in one scope, as far as it has not been refused.

    minute    requests of the 60 s before the instant
    window    requests that may still count at the server
    pace      requests per second of the last seconds; None: too few for a pace
    leaves_at when the oldest of the window leaves it
    """

    minute: int
    window: int
    pace: float | None
    leaves_at: float


def traffic(endpoints: tuple[Endpoint, ...], at: float) -> Traffic:
    """Return what passed at these endpoints together."""
    second = math.floor(at)
    counts = [0] * KEPT_S  # the newest first
    for endpoint in endpoints:
        for age, count in enumerate(reversed(endpoint.counts), start=second - endpoint.second):
            if age < KEPT_S:
                counts[max(0, age)] += count
    oldest = max((age for age, count in enumerate(counts) if count), default=0)
    partial = counts[60] * (1 - (at - second))
    return Traffic(
        minute=sum(counts[:60]) + round(partial),
        window=sum(counts),
        pace=_pace(counts, at - second),
        leaves_at=second - oldest + KEPT_S,
    )


def _pace(counts: list[int], begun_s: float) -> float | None:
    """Return the pace of counts per second, the newest first; so much of the newest second has gone by.

    The last whole second tells it if it holds enough, else as many seconds as hold enough.
    """
    last = counts[0] + counts[1] * (1 - begun_s)
    if last >= PACE_REQUESTS:
        return last
    passed = 0
    for age, count in enumerate(counts):
        passed += count
        if passed >= PACE_REQUESTS:
            return passed / max(1.0, age + begun_s)
    return None


def found(endpoints: tuple[Endpoint, ...], name: str) -> Endpoint:
    """Return an endpoint, a new one if it is not known."""
    return next((one for one in endpoints if one.name == name), Endpoint(name=name))


def stored(endpoints: tuple[Endpoint, ...], endpoint: Endpoint) -> tuple[Endpoint, ...]:
    """Put an endpoint last, as the one used most recently."""
    return (*(one for one in endpoints if one.name != endpoint.name), endpoint)[-ENDPOINTS_MAX:]


def counted(endpoint: Endpoint, at: float) -> Endpoint:
    """Count one request; an instant before the newest second counts in that."""
    second = max(endpoint.second, math.floor(at))
    gap = second - endpoint.second
    if not endpoint.counts or gap >= KEPT_S:
        return replace(endpoint, second=second, counts=(1,))
    before, count = (endpoint.counts, 0) if gap else (endpoint.counts[:-1], endpoint.counts[-1])
    counts = (*before, *(0,) * (gap - 1), count + 1)
    return replace(endpoint, second=second, counts=counts[-KEPT_S:])


def uncounted(endpoint: Endpoint, at: float) -> Endpoint:
    """Take back a request that was refused."""
    index = len(endpoint.counts) - 1 - (endpoint.second - math.floor(at))
    if not 0 <= index < len(endpoint.counts) or not endpoint.counts[index]:
        return endpoint
    before, count, after = endpoint.counts[:index], endpoint.counts[index], endpoint.counts[index + 1 :]
    return replace(endpoint, counts=(*before, count - 1, *after))


def is_idle(endpoint: Endpoint, now: float) -> bool:
    """Tell whether nothing of an endpoint is worth keeping."""
    return endpoint.closing == Closing() and endpoint.second + KEPT_S < now


def set_back(endpoint: Endpoint, now: float, closing: Closing) -> Endpoint:
    """Follow a clock that was set back."""
    return msgspec.structs.replace(endpoint, second=min(endpoint.second, math.floor(now)), closing=closing)
