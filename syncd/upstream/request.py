"""An account as one run uses it: charges, signs, sends, retries and judges each request.

The only place that retries. What a status or a transport error means is decided in `faults.py`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from syncd import log
from syncd.config.duration import spoken
from syncd.contract import Answer, Lane
from syncd.contract.early import IS_FORETOLD
from syncd.contract.second_ways import PREFIX
from syncd.errors import BadCredentials, BadRequest, NotSent, ScopeMissing, Throttled, Unreachable, UpstreamError
from syncd.log import counters
from syncd.records.presplit import presplit
from syncd.storage.state.runs import Spent
from syncd.upstream import faults
from syncd.upstream.account import Account
from syncd.upstream.client import aiohttp
from syncd.upstream.seat import OWN_SEAT, Seat
from syncd.upstream.waits import Waits
from syncd.upstream.wire import CannotSend, Request

TRIES: Final = 4
"""Sendings of one request, the first included, before it fails for a passing fault."""
RUN_RETRIES: Final = 20
"""Retries of one run: an upstream that fails every other request is not worth a day's budget."""
PATIENCE_S: Final[Mapping[Lane, float]] = {"live": 90.0, "backfill": 2 * 86_400.0}
"""Longest single wait for the budget: a live run leaves it to the next tick, a backfill waits for tomorrow."""
NOTES_MAX: Final = 30
"""Remarks that are kept for one run's record."""

TRANSPORT: Final = (CannotSend, aiohttp.ClientError, TimeoutError, OSError)
"""What a request raises that got no whole answer."""

_log = log.get(__name__)


async def _at_once() -> None:
    pass


@dataclass(slots=True)
class RunUpstream:
    """An account as one run sees it; implements `syncd.contract.Upstream` and counts what the run costs.

    seat         is given back while the run waits
    patience_s   longest single wait for the budget, or for a server that asked to be left alone; 0: by the lane
    hears        is called with every good answer of a walk
    turn         is awaited with an answer in hand, before anybody reads it
    is_answered  whether a request of the walk has been answered well
    """

    account: Account
    stream: str
    lane: Lane
    seat: Seat = OWN_SEAT
    patience_s: float = 0.0
    requests: int = 0
    retries: int = 0
    waits: Waits = field(default_factory=Waits)
    notes: list[str] = field(default_factory=list)
    hears: Callable[[Answer], None] = lambda _answer: None
    is_answered: bool = False
    turn: Callable[[], Awaitable[object]] = _at_once

    def __post_init__(self) -> None:
        self.patience_s = self.patience_s or PATIENCE_S[self.lane]

    @property
    def spent(self) -> Spent:
        """What the run has cost so far."""
        return Spent(self.requests, self.waits.total_s, self.lane)

    @property
    def is_probe(self) -> bool:
        """Whether the run only finds out if an earlier failure is over: until it is, no request is sent twice."""
        return not self.is_answered and self.account.health.is_failing(self.stream)

    def charge_to_backfill(self) -> None:
        """Charge the requests that follow to the backfill lane; how long they may wait stays."""
        self.lane = "backfill"

    def note(self, text: str) -> None:
        """Keep a remark for the run's record; only the first NOTES_MAX."""
        if len(self.notes) < NOTES_MAX:
            self.notes.append(text)

    async def request(
        self, method: str, path: str, *, params: Sequence[tuple[str, str]] = (), query: str = "", json: Any = None
    ) -> Answer:
        """Send a signed request and return its successful answer; see `syncd.contract.Upstream`."""
        what = f"{self.account.name}.{self.stream}: {method} {path}"
        request = Request(what=what, method=method, path=path, params=params, query=query, json=json)
        answer = await self._signed(request)
        self.is_answered = True
        self.hears(answer)
        return answer

    async def send_login(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, json: Any = None
    ) -> Answer:
        """Send the unsigned request of a login; see `syncd.contract.Send`."""
        what = f"{self.account.name}: login, {method} {path}"
        request = Request(what=what, method=method, path=path, json=json)
        try:
            return await self._unsigned(request, headers or {})
        except (BadRequest, ScopeMissing) as error:
            raise BadCredentials(str(error), hint=faults.LOGIN_HINT, status=error.status) from None

    async def _signed(self, request: Request) -> Answer:
        """Sign and send until the answer is good, or a fault is final.

        The first 401, and the first request that cannot be written with what the session holds, lead to a new login.
        """
        attempt, may_renew = 0, True
        while True:
            async with self.seat.waiting():  # another run may be logging in
                headers, login = await self.account.session.signed(self.send_login, self.note)
            tried = await self._try(request, headers)
            if isinstance(tried, Answer):
                return tried
            if IS_FORETOLD.get():
                self._heed(tried)
                raise tried
            if isinstance(tried, BadCredentials | NotSent) and may_renew:
                may_renew = False
                if await self._renewed(tried, request.path, login):
                    continue
            if tried.status in (406, 415) and self.account.speak_plainly():
                self.note(f"{PREFIX}the server accepts none of our headers (406); only the plainest are sent")
                continue
            await self._pause(tried, attempt)
            attempt += 1

    async def _unsigned(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Send until the answer is good, or a fault is final."""
        attempt = 0
        while not isinstance(tried := await self._try(request, headers), Answer):
            await self._pause(tried, attempt)
            attempt += 1
        return tried

    async def _try(self, request: Request, headers: Mapping[str, str]) -> Answer | UpstreamError:
        """Charge and send a request once; return its good answer, or the fault that was met."""
        try:
            answer = await self._charged(request, headers)
        except TRANSPORT as error:
            counters.answered(self.account.name, None)
            self.seat.heard(is_answering=False)
            return faults.of_transport(request.what, error, self.account.proxy)
        await self.turn()
        await presplit(answer)
        return self.account.judge(request.what, answer) or answer

    async def _charged(self, request: Request, headers: Mapping[str, str]) -> Answer:
        """Wait as long as the server asked for, for a free slot and for the budget; then send."""
        slot = self.account.slot(self.lane)
        async with self.seat.waiting():
            await self._wait_while_held(request.what)
            charge = await self.account.purse.charge(
                self.lane, patience_s=self.patience_s, endpoint=request.endpoint, slot=slot
            )
        try:
            self.waits.add(charge.asked_at, charge.at)
            self.requests += 1
            return await self.account.send(request, headers, self.seat, charged_at=charge.at, note=self.note)
        finally:
            slot.release()

    async def _wait_while_held(self, what: str) -> None:
        """Wait while the server asked not to be asked. Raises Unreachable if that is longer than a run may wait."""
        wait_s = self.account.held_s(self.stream)
        if wait_s > self.patience_s:
            raise Unreachable(
                f"{what} was not sent: the server asked to be left alone for {spoken(wait_s)} more (Retry-After)",
                retry_after_s=wait_s,
            )
        if wait_s:
            until = self.account.clock().timestamp() + wait_s
            await self.account.backoff.sleep(wait_s)
            self.waits.add(until - wait_s, until)

    async def _renewed(self, fault: UpstreamError, path: str, login: int) -> bool:
        """Say whether a fault is worth a second request; log in again first, where a new login could help."""
        if isinstance(fault, NotSent):
            self.note(str(fault))
            if not self.account.session.refused():
                return False
            await self.account.session.log_in(self.send_login, login, self.note)
            return True
        before = self.account.session.form
        if self.account.session.refused():
            self.note(f"401 on {path}: logged in again")
            await self.account.session.log_in(self.send_login, login, self.note)
            after = self.account.session.form
            if before and after and after != before:
                self.note(f"{PREFIX}the server does not take the token as {before}; it is sent as {after}")
            return True
        if self.is_probe:
            return False
        self.note(f"401 on {path}: asked again")
        return True

    def _heed(self, fault: UpstreamError) -> None:
        """Note a fault, and leave the stream alone as long as the server asked for."""
        if isinstance(fault, Unreachable | Throttled) or not IS_FORETOLD.get():  # a foretold page may well not exist
            self.note(str(fault))
        if isinstance(fault, Unreachable) and fault.retry_after_s:
            self.account.hold(self.stream, fault.retry_after_s)

    async def _pause(self, fault: UpstreamError, attempt: int) -> None:
        """Wait before the next try, or raise the fault if it is no passing one or the tries are spent."""
        self._heed(fault)
        if isinstance(fault, Unreachable) and (fault.retry_after_s or 0) > self.patience_s:
            raise fault
        is_spent = attempt + 1 >= TRIES or self.retries >= RUN_RETRIES
        if not faults.is_passing(fault, self.lane) or self.is_probe or is_spent:
            raise fault
        self.retries += 1
        _log.debug("request_retried", source=self.account.name, stream=self.stream, fault=str(fault))
        if not isinstance(fault, Throttled):  # after a 429 the budget itself says when to go on
            async with self.seat.waiting():
                await self.account.backoff.wait(attempt)
