"""One account at one upstream: what all its runs in this process share.

Owns the connection, the login, the purse, the health and the limit of requests under way. Knows no API: how to sign
and how to read the vendor's error text comes from the source. `request.py` sends and retries, `faults.py` judges.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from syncd import log
from syncd.clock import Clock, Sleep
from syncd.config import SourceConfig
from syncd.contract import Answer, Lane, Source
from syncd.errors import Unreachable, UpstreamError
from syncd.frozen import dataclass
from syncd.log import counters
from syncd.upstream import budget, faults
from syncd.upstream.client import aiohttp
from syncd.upstream.health import Health
from syncd.upstream.purse import Purse
from syncd.upstream.seat import Seat
from syncd.upstream.session import Session
from syncd.upstream.strangers import of_stranger
from syncd.upstream.vault import Vault
from syncd.upstream.wire import Request, Wire

_log: Final = log.get(__name__)

WAIT_S: Final = 0.5
"""First wait between two tries; doubled each time, with full jitter on its second half."""
WAIT_MAX_S: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """The waits between two tries of one request; `jitter` returns a number from 0 to 1."""

    sleep: Sleep
    jitter: Callable[[], float]

    async def wait(self, attempt: int) -> None:
        """Wait before the next try; the first attempt is number 0."""
        full = min(WAIT_MAX_S, WAIT_S * 2.0**attempt)
        await self.sleep(full / 2 + full / 2 * self.jitter())


class Account:
    """The connection to one source, shared by all its runs in this process."""

    def __init__(
        self,
        source: Source,
        settings: SourceConfig,
        purse: Purse,
        vault: Vault,
        http: aiohttp.ClientSession,
        *,
        clock: Clock,
        sleep: Sleep,
        jitter: Callable[[], float],
    ) -> None:
        self.name = settings.name
        self.source = source
        self.purse = purse
        self.session = Session(source.auth(settings.options), clock, vault)
        self.health = Health(settings.name, clock)
        self.backoff = Backoff(sleep=sleep, jitter=jitter)
        self.proxy = settings.proxy
        self._wire = Wire(
            http, settings.base_url, source.headers(settings.options), clock=clock, proxy=settings.proxy,
            timeouts=settings.timeouts,
        )  # fmt: skip
        self.clock = clock
        self._told: set[str] = set()
        self._ways: dict[str, set[str]] = {}
        self._held: dict[str, tuple[datetime, datetime]] = {}
        self._slots: Mapping[Lane, asyncio.Semaphore] = {
            "live": asyncio.Semaphore(settings.in_flight), "backfill": asyncio.Semaphore(settings.in_flight)
        }  # fmt: skip

    def slot(self, lane: Lane) -> asyncio.Semaphore:
        """Return what to hold while a request is charged and under way, but not while it waits for the budget.

        A request is charged only when it can be sent at once, because the budget's windows count from the charge.
        """
        return self._slots[lane]

    async def send(
        self,
        request: Request,
        headers: Mapping[str, str],
        seat: Seat,
        *,
        charged_at: float,
        note: Callable[[str], None],
    ) -> Answer:
        """Send one charged request once, without judging the answer; raises what `Wire.send` raises.

        Session and purse take over what the response says. `charged_at` is the charge's instant in epoch seconds;
        `note` is told if the session was dropped. The `seat` is lent out meanwhile.
        """
        received = await self._wire.send(request, headers, seat)
        answer = received.answer
        counters.answered(self.name, answer.status)
        if odd := self.session.received(received):
            note(f"the session was dropped, because it cannot be sent back: {odd}")
            self._tell_dropped(odd)
        seen = budget.read_headers(
            answer.headers, answer.status, sent_at=charged_at, received_at=received.at.timestamp(),
            endpoint=request.endpoint,
        )  # fmt: skip
        await self.purse.observe(self._with_limits(seen, answer))
        return answer

    def _with_limits(self, seen: budget.Observation, answer: Answer) -> budget.Observation:
        """Add what the source reads from headers of its own."""
        limits = self.source.limits_of(answer.headers)
        if limits is None:
            return seen
        told: dict[str, Any] = {
            "minute_limit": limits.per_minute, "minute_remaining": limits.minute_left,
            "day_limit": limits.per_day, "day_remaining": limits.day_left,
        }  # fmt: skip
        return msgspec.structs.replace(seen, **{name: value for name, value in told.items() if value is not None})

    def _tell_dropped(self, odd: str) -> None:
        """Tell the log once of each oddity for which the session was dropped."""
        if odd not in self._told:
            self._told.add(odd)
            _log.warning("session_dropped", source=self.name, reason=odd)

    def hold(self, stream: str, wait_s: float) -> None:
        """Leave a stream's requests alone for so long, because the server asked for it (Retry-After)."""
        now = self.clock()
        self._held[stream] = (now, now + timedelta(seconds=wait_s))

    def held_s(self, stream: str) -> float:
        """Return for how many more seconds a stream is to be left alone; a clock that was set back ends it."""
        now = self.clock()
        begun_at, until = self._held.get(stream, (now, now))
        return (until - now).total_seconds() if begun_at <= now < until else 0.0

    def speak_plainly(self) -> bool:
        """Send only the plainest headers from now on; say whether that is new."""
        is_new, self._wire.is_plain = not self._wire.is_plain, True
        return is_new

    def ways(self, stream: str) -> set[str]:
        """Return the second ways that a stream's server needs, as far as this process knows; walks add to them."""
        return self._ways.setdefault(stream, set())

    def judge(self, what: str, answer: Answer) -> UpstreamError | None:
        """Return the error that an answer stands for, None for a good one."""
        reason = self.reason(answer)
        stranger = of_stranger(answer, has_reason=bool(reason))
        fault = faults.of_answer(what, answer, reason, stranger and log.mask(stranger))
        if isinstance(fault, Unreachable):
            told = budget.read_headers(answer.headers, answer.status, sent_at=0, received_at=self.clock().timestamp())
            fault.retry_after_s = told.retry_after_s
        return fault

    def reason(self, answer: Answer) -> str:
        """Return the vendor's error text, "" for none; secrets that it echoes are masked.

        The body is masked before the text is read from it, because the text may be cut in the middle of a secret.
        """
        if self.source.fault_of(answer) is None:
            return ""
        body = log.mask(answer.body.decode("utf-8", "replace")).encode()
        return log.mask(self.source.fault_of(dataclasses.replace(answer, body=body)) or "")
