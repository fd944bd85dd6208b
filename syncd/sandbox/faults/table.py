"""The fault table: which faults exist, which are armed, and which of them a request meets.

Owns matching and counting. What a fault does stands beside its name in `wire`, `paging`, `data` and
`limits`, as a function of a `Moment`: the one request that it strikes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from syncd.sandbox.answer import Answer, Api, Ask
from syncd.sandbox.catalog import KEYS
from syncd.sandbox.limits import Window
from syncd.sandbox.world import World

SPEC = re.compile(r"^(?P<name>[a-z0-9-]+)(?::(?P<api>[a-z]+)(?:\.(?P<stream>[a-z_]+))?)?(?:@(?P<times>\d+))?$")
ALL_APIS = tuple(KEYS)


class Stage(Enum):
    """When a fault strikes: the order of a request's life."""

    BEFORE = 1  # instead of an answer
    ASK = 2  # the handler sees another request
    WORLD = 3  # the world moves on as soon as the handler has answered
    ANSWER = 4  # what the handler answered is changed
    WIRE = 5  # the bytes and headers on their way out


Sender = Callable[[web.Request, "Moment"], Awaitable[web.StreamResponse]]


@dataclass(kw_only=True)
class Moment:
    """One request in the hands of the faults."""

    world: World
    api: Api
    ask: Ask
    window: Window | None
    answer: Answer | None = None
    body: bytes = b""
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    sender: Sender | None = None
    cut: bool = False  # nothing of an answer goes out

    @property
    def answered(self) -> Answer:
        """The answer; there is one from stage ANSWER on."""
        if self.answer is None:
            raise RuntimeError("no answer yet")
        return self.answer


@dataclass(kw_only=True)
class Armed:
    """One fault that was added, and what became of it."""

    kind: Kind
    api: str | None
    stream: str | None
    times: int | None
    after: int
    params: dict[str, Any]
    hits: int = 0
    seen: int = 0


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of fault; `strike` returns whether it could do its deed on this request."""

    name: str
    description: str
    stage: Stage
    apis: tuple[str, ...]
    streams: tuple[str, ...] | None  # None: all but "auth"
    strike: Callable[[Moment, Armed], bool | None]


KINDS: dict[str, Kind] = {}


def fault(
    name: str,
    description: str,
    stage: Stage,
    *,
    apis: tuple[str, ...] = ALL_APIS,
    streams: tuple[str, ...] | None = None,
) -> Callable[[Callable[[Moment, Armed], bool | None]], Callable[[Moment, Armed], bool | None]]:
    """Enter the decorated function into the table; returning False means that it did not strike."""

    def enter(strike: Callable[[Moment, Armed], bool | None]) -> Callable[[Moment, Armed], bool | None]:
        KINDS[name] = Kind(name=name, description=description, stage=stage, apis=apis, streams=streams, strike=strike)
        return strike

    return enter


def parse_fault(text: str) -> dict[str, Any]:
    """Read `NAME[:API[.STREAM]][@TIMES]` into arguments of `Faults.add`; ValueError if it is no such thing."""
    match = SPEC.match(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no fault: NAME[:API[.STREAM]][@TIMES] is expected")
    parts = match.groupdict()
    return {**parts, "times": int(parts["times"]) if parts["times"] else None}


class Faults:
    """The armed faults of one sandbox."""

    def __init__(self) -> None:
        self._armed: list[Armed] = []
        self._hits: Counter[str] = Counter()

    def add(
        self,
        name: str,
        *,
        api: str | None = None,
        stream: str | None = None,
        times: int | None = None,
        after: int = 0,
        **params: Any,
    ) -> None:
        """Arm a fault: for one API or stream, at most `times` times, after skipping so many matching requests.

        Raises ValueError for a name, API or stream that is not known, or that the fault does not know.
        """
        kind = KINDS.get(name)
        if kind is None:
            raise ValueError(f"there is no fault {name!r}; there are: {', '.join(sorted(KINDS))}")
        if api is not None and api not in kind.apis:
            raise ValueError(f"fault {name!r} knows the APIs {', '.join(kind.apis)}, not {api!r}")
        known = {known for one in KEYS if api in {None, one} for known in KEYS[one]} | {"auth"}
        if stream is not None and stream not in known:
            raise ValueError(f"there is no stream {stream!r} here; there are: {', '.join(sorted(known))}")
        if stream is not None and not {stream, "*"} & {*(kind.streams or ("*",))}:
            raise ValueError(f"fault {name!r} knows the streams {', '.join(kind.streams or ())}, not {stream!r}")
        self._armed.append(Armed(kind=kind, api=api, stream=stream, times=times, after=after, params=params))

    def remove(self, name: str) -> None:
        """Disarm all faults of that name; nothing happens if there is none."""
        self._armed = [armed for armed in self._armed if armed.kind.name != name]

    def clear(self) -> None:
        """Disarm all faults; the counts of hits stay."""
        self._armed.clear()

    def hits(self, name: str) -> int:
        """Return how many requests faults of that name have struck."""
        return self._hits[name]

    def armed(self) -> list[dict[str, Any]]:
        """Return the armed faults as plain values."""
        return [
            {
                "name": armed.kind.name,
                "api": armed.api,
                "stream": armed.stream,
                "times": armed.times,
                "hits": armed.hits,
            }
            for armed in self._armed
        ]

    def strike(self, stage: Stage, moment: Moment) -> None:
        """Let every armed fault of a stage that meets this request do its deed."""
        for armed in list(self._armed):
            if armed.kind.stage is not stage or not _meets(armed, moment.ask):
                continue
            armed.seen += 1
            if armed.seen <= armed.after or armed.kind.strike(moment, armed) is False:
                continue
            armed.hits += 1
            self._hits[armed.kind.name] += 1
            if armed.times is not None and armed.hits >= armed.times:
                self._armed.remove(armed)
            if stage is Stage.BEFORE:
                return  # the first one answers


def _meets(armed: Armed, ask: Ask) -> bool:
    if ask.api not in armed.kind.apis or armed.api not in {None, ask.api}:
        return False
    asked = {ask.stream}
    if ask.stream == "customers":
        asked.add("customer_phone_numbers")
    if ask.api == "ghs" and ask.stream != "auth":
        asked.add("urgent_messages")
    if armed.stream is not None:
        return armed.stream in asked
    if armed.kind.streams is not None:
        return "*" in armed.kind.streams or bool(asked & {*armed.kind.streams})
    return ask.stream != "auth"
