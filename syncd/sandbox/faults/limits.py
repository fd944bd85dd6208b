"""Faults of the request limits: refusals without reason, headers that lie, others who spend the same budget."""

from datetime import timedelta
from email.utils import format_datetime

from syncd.sandbox.faults.table import Armed, Moment, Stage, fault

WAIT_S = 30
HUGE_WAIT_S = 31_536_000_000  # a thousand years
LIMITED = ("cyclesoftware",)  # the only vendor that documents limits


def _refuse(moment: Moment, retry_after: str | None = None) -> None:
    moment.answer = moment.api.error(429, "Too Many Requests")
    if retry_after is not None:
        moment.answer.headers["Retry-After"] = retry_after


@fault("rate-limited", "a 429 without Retry-After; the minute is said to be spent", Stage.BEFORE)
def _rate_limited(moment: Moment, _armed: Armed) -> None:
    _refuse(moment)
    if moment.window is not None:
        moment.answered.headers["X-RateLimit-Minutely-Remaining"] = "0"


@fault("early-429", "a 429 long before the limit; the headers say that plenty remains", Stage.BEFORE)
def _early_429(moment: Moment, _armed: Armed) -> None:
    _refuse(moment)


@fault("retry-after", "a 429 with Retry-After in seconds=30", Stage.BEFORE)
def _retry_after(moment: Moment, armed: Armed) -> None:
    _refuse(moment, str(armed.params.get("seconds", WAIT_S)))


@fault("retry-after-date", "a 429 with Retry-After as an HTTP date, seconds=30 from now", Stage.BEFORE)
def _retry_after_date(moment: Moment, armed: Armed) -> None:
    at = moment.world.now() + timedelta(seconds=float(armed.params.get("seconds", WAIT_S)))
    _refuse(moment, format_datetime(at, usegmt=True))


@fault("retry-after-garbage", "a 429 with a Retry-After that means nothing", Stage.BEFORE)
def _retry_after_garbage(moment: Moment, _armed: Armed) -> None:
    _refuse(moment, "straks")


@fault("retry-after-huge", "a 429 with a Retry-After of a thousand years", Stage.BEFORE)
def _retry_after_huge(moment: Moment, _armed: Armed) -> None:
    _refuse(moment, str(HUGE_WAIT_S))


@fault("daily-exhausted", "a 429 because the day's budget is spent, until it resets", Stage.BEFORE)
def _daily_exhausted(moment: Moment, _armed: Armed) -> None:
    _refuse(moment)
    if moment.window is not None:
        moment.window.exhaust_day(moment.world.now())


@fault(
    "other-spender", "somebody else spends requests=10 of the same budget with each of ours", Stage.ASK, apis=LIMITED
)
def _other_spender(moment: Moment, armed: Armed) -> bool:
    if moment.window is None:
        return False
    moment.window.take(moment.world.now(), int(armed.params.get("requests", 10)))
    return True


@fault("reset-in-past", "a Daily-Reset that is an hour ago", Stage.WIRE, apis=LIMITED)
def _reset_in_past(moment: Moment, _armed: Armed) -> bool:
    if moment.window is None:
        return False
    moment.headers["X-RateLimit-Daily-Reset"] = str(int(moment.world.now().timestamp()) - 3_600)
    return True


@fault("no-limit-headers", "no limit headers where there should be some", Stage.WIRE, apis=LIMITED)
def _no_limit_headers(moment: Moment, _armed: Armed) -> bool:
    names = [name for name in moment.headers if name.lower().startswith("x-ratelimit-")]
    for name in names:
        del moment.headers[name]
    return bool(names)


@fault("bad-limit-headers", "limit headers that are no numbers", Stage.WIRE, apis=LIMITED)
def _bad_limit_headers(moment: Moment, _armed: Armed) -> bool:
    names = [name for name in moment.headers if name.lower().startswith("x-ratelimit-")]
    for name in names:
        moment.headers[name] = "onbeperkt"
    return bool(names)
