"""Decide when a request may be sent: the windows and lanes of one source, as pure arithmetic.

Owns what is known of one source's budget (`State`) and every rule about it. Never reads a clock, sleeps or does I/O.
Instants are epoch seconds (UTC) of one clock for all processes, best the database's; `now` is the caller's reading.

How to use it: read the state, `acquire`, store what comes back in one `UPDATE … WHERE version = …` (with a Wait too,
unless it is the object that was passed in) and only then send. Every try is charged before it is sent, so a crash can
only over-count. `observe` every response. Sleep until `Wait.until`, but never longer than RECHECK_S before asking
again: clocks and other processes move.

The minute: the server counts the arrivals of 60 s (upstream/FACTS.md, CycleSoftware); charges are counted per slot of
half a second and leave after 61 s, against network and clock jitter. A response's Remaining plus what we had charged
in the minute before its request is the capacity that others leave us; the lowest one seen in the last minute holds,
in whatever order responses come. A backfill's share of it is our own rule, so that counts exactly 60 s.
The day: the same sum without the moving; it begins anew at the server's Reset, else at midnight in `day_zone`. A server
that says nothing of its day may begin it at another hour, or move it as the minute: then a backfill keeps to its share
of any 24 hours too, counted per part of 20 minutes.
"""

import datetime as dt
import email.utils
import math
import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

Lane = Literal["live", "backfill"]
Reason = Literal["minute window", "day window", "closed by 429", "live reserve", "pacing", "backfill share"]

RECHECK_S = 60.0  # longest sleep before asking again; our choice, as is every number here without another origin
SLOT_S = 0.5  # a power of two: slot arithmetic is exact
MINUTE_SLOTS = 120  # the server's minute
SHARE_SLOTS = MINUTE_SLOTS + 1  # leaves 60 s after the slot's end
WINDOW_SLOTS = MINUTE_SLOTS + 3  # leaves 61 s after the slot's end: tries may differ by 1 s in time on the wire
KEPT_SLOTS = WINDOW_SLOTS + 8  # 4 s more: what was charged in the minute before a request with so late a response
SIGHT_SLOTS = 8  # observations are merged per 4 s
SKEW_S = 5.0  # clocks of two processes may differ by this; further back means that the clock was set back
PROBE_S = 60.0  # a probe that was never answered (crash, lost connection) is given up after this
PROBE_POLL_S = 1.0  # meanwhile the others ask this often
CLOSE_S = (5.0, 60.0, 900.0)  # after a 429 without Retry-After: shortest, longest at first, longest after doubling
RETRY_AFTER_S = 3600.0  # a larger Retry-After is looked into every hour
CEILING_S = 900.0  # for so long a 429 that no header explains lowers the minute to what had passed,
CEILING_FLOOR = 10  # but never below this many requests
LIVE_ROOM = 0.25  # of the minute outside the backfill's share: stays free for live even when live is over 40 %
NEAR = 0.8  # a lane that has used this share of its window is paced,
FAR = 0.1  # until it uses less than this: a burst would else come back a minute later
PACE = 0.95  # of the even spacing, so that the window sets the rate and not the rounding
CATCH_UP_S = 1.0  # a paced lane that woke up late catches up this much
DAY_S = 86_400.0
LONGEST_DAY_S = 26 * 3600.0  # the autumn day has 25 hours; a Reset further away is garbage
DAY_GUARD_S = 5.0  # our day begins this much after the server's, for clocks that differ
RESET_SLACK_S = 2.0  # a Reset counts from a Date of whole seconds: told twice it differs by less than this
DAY_DOUBT_S = 3 * 3600.0  # a day found spent this early may be yesterday's; the vendors' zones differ by less
PART_S = 1200.0  # a backfill of many days begins this much later each day: 1.4 %
DAY_PARTS = 73  # leaves 24 h after the part's end
DAY_CREDIT_S = 3600.0  # live work may be this much ahead of an even spending of its day's last fifth


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's wishes for one source; limits only lower what the server says."""

    per_minute: int | None = None
    per_day: int | None = None
    live_reserve: float = 0.2  # share of the day that a backfill leaves to live
    backfill_minute_share: float = 0.6  # of what others leave us; one request at least
    day_zone: str = "UTC"  # where a day without a Reset begins; CycleSoftware: Europe/Amsterdam (upstream/FACTS.md)


class Charges(msgspec.Struct, frozen=True, array_like=True):
    """Requests charged in one slot; a slot is an instant in units of SLOT_S, rounded down."""

    slot: int
    live: int = 0
    backfill: int = 0

    def of(self, lane: Lane) -> int:
        """Return the requests of one lane."""
        return self.live if lane == "live" else self.backfill


class Sight(msgspec.Struct, frozen=True, array_like=True):
    """The least that responses to the requests of SIGHT_SLOTS slots said; capacities include our own requests."""

    slot: int
    low: int | None = None  # capacity of the minute if all in flight beside it arrived later: never too high
    high: int | None = None  # capacity of the minute if they arrived before: below the limit, others surely spend
    day: int | None = None  # capacity of the day, never too high


class State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that is known of one source's budget: at most 4 kB of JSON; read it through `summary`."""

    last_at: float = 0.0
    charges: tuple[Charges, ...] = ()
    sights: tuple[Sight, ...] = ()
    minute_limit: int | None = None
    day_limit: int | None = None
    limits_at: float = 0.0
    ceiling: int | None = None
    ceiling_until: float = 0.0
    day_began_at: float = 0.0  # 0: before we came
    day_ends_at: float | None = None
    day_live: int = 0
    day_backfill: int = 0
    day_capacity: int | None = None
    day_seen_at: float = 0.0  # 0: the server never said what remains of its day
    day_parts: tuple[Charges, ...] = ()  # what was charged in each part of the last 24 h, until it does
    closed_at: float = 0.0
    closed_until: float = 0.0
    strikes: int = 0  # closures in a row; until a success there is one probe at a time
    probe_at: float | None = None
    live_next_at: float | None = None
    backfill_next_at: float | None = None


EMPTY = State()


class Wait(msgspec.Struct, frozen=True):
    """Not now, nothing was charged: ask again at `until`, which is later than now and at most 27 hours away."""

    until: float
    reason: Reason


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What one response said about the budget; None where it said nothing sane."""

    sent_at: float  # the `now` with which the request was acquired
    received_at: float
    status: int  # 0: no response came
    minute_limit: int | None = None
    minute_remaining: int | None = None
    day_limit: int | None = None
    day_remaining: int | None = None
    day_reset_at: float | None = None  # by our clock
    retry_after_s: float | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The budget as shown to people; None: no limit is known. Used requests are our own."""

    minute_limit: int | None
    minute_remaining: int | None
    minute_used_live: int
    minute_used_backfill: int
    day_limit: int | None
    day_remaining: int | None
    day_used_live: int
    day_used_backfill: int
    day_reset_at: float
    closed_until: float | None
    live_reserve: int | None


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a number of requests will cost if others go on spending as they do now."""

    takes_s: float  # the stops at the end of each day's quota included, response times not
    quota_days: float  # in whole days of what the lane may use; 0 where no day limit is known
    left_today: float | None  # requests that the lane may still send today; None where no day limit is known


class _Minute(NamedTuple):
    """What the moving minute holds at one instant; None: no limit is known."""

    capacity: int | None
    share: int | None  # of the capacity, for backfill
    room: int  # of the capacity, kept free by backfill
    live: int
    backfill: int
    share_used: int  # by backfill, in 60 s instead of 61

    def free(self, lane: Lane) -> int | None:
        """Return how many requests the lane may send; below zero after limits shrank."""
        if self.capacity is None or self.share is None:
            return None
        free = self.capacity - self.live - self.backfill
        return free if lane == "live" else min(free - self.room, self.share - self.share_used)

    def fill(self, lane: Lane) -> float:
        """Return how much of its window the lane has used; live does not pay for what backfill used."""
        if lane == "live":
            return self.live / self.capacity if self.capacity else 1.0
        return 1.0 - (self.free(lane) or 0) / self.share if self.share else 1.0


def acquire(state: State, policy: Policy, now: float, lane: Lane) -> tuple[State, Wait | None]:
    """Charge one request to the lane, or tell until when to wait and why.

    Store the state in either case, unless it is the object that was passed in.
    """
    state = _settle(state, policy, now)
    minute = _minute(state, policy, now)
    wait = _wait_closed(state, now) or _wait_day(state, policy, now, lane) or _wait_minute(state, minute, now, lane)
    if wait is not None:
        return state, replace(wait, until=max(wait.until, now + 0.01))  # 10 ms: rounding never makes a busy loop
    is_live, next_at = lane == "live", _next_at(state, minute, now, lane)
    at = max(now, state.last_at)  # by the clock that is ahead
    state = replace(
        state,
        last_at=at,
        charges=_added(_kept(state, now), _slot(at), lane),
        day_parts=() if state.day_seen_at else _added(_kept_parts(state, now), _part(at), lane),
        day_live=state.day_live + is_live,
        day_backfill=state.day_backfill + (not is_live),
        probe_at=now if state.strikes else None,
        live_next_at=next_at if is_live else state.live_next_at,
        backfill_next_at=state.backfill_next_at if is_live else next_at,
    )
    return state, None


def observe(state: State, policy: Policy, observation: Observation, now: float) -> State:
    """Believe a response: Remaining and 429 before Limit, the later request before the earlier one."""
    state = _settle(state, policy, now)
    seen = replace(observation, sent_at=min(observation.sent_at, now))
    if seen.sent_at >= state.limits_at:
        state = _believe_limits(state, seen, now)
    if now - seen.sent_at < MINUTE_SLOTS * SLOT_S:  # an older Remaining says nothing of this minute
        state = _believe_remaining(state, seen, now)
    if seen.status == 429:
        state = _close(state, seen, now)
    elif state.strikes and seen.sent_at >= state.closed_until:  # the probe; what was sent earlier proves nothing
        state = replace(state, probe_at=None, strikes=0 if 100 <= seen.status < 500 else state.strikes)
    return replace(state, last_at=max(state.last_at, now), charges=_kept(state, now))


def summary(state: State, policy: Policy, now: float) -> Summary:
    """Show the budget as it stands."""
    state = _settle(state, policy, now)
    minute, day = _minute(state, policy, now), _day(state, policy, now)
    free = minute.free("live")
    return Summary(
        minute_limit=_least(policy.per_minute, state.minute_limit),
        minute_remaining=None if free is None else max(0, free),
        minute_used_live=minute.live,
        minute_used_backfill=minute.backfill,
        day_limit=_least(policy.per_day, state.day_limit),
        day_remaining=None if day is None else max(0, day - state.day_live - state.day_backfill),
        day_used_live=state.day_live,
        day_used_backfill=state.day_backfill,
        day_reset_at=_day_ends_at(state) - DAY_GUARD_S,
        closed_until=state.closed_until if state.strikes and state.closed_until > now else None,
        live_reserve=_reserve(state, policy, now),
    )


def forecast(state: State, policy: Policy, now: float, requests: int, lane: Lane) -> Forecast:
    """Estimate what so many requests of the lane will take (`backfill --dry-run`)."""
    state = _settle(state, policy, now)
    minute, day, ends_at = _minute(state, policy, now), _day(state, policy, now), _day_ends_at(state)
    window, slots = (minute.capacity, WINDOW_SLOTS) if lane == "live" else (minute.share, SHARE_SLOTS)
    per_s = 1e9 if window is None else max(1, window) / (slots * SLOT_S)
    at_once = math.inf if window is None else NEAR * (minute.free(lane) or 0)  # what is paced from then on evens out
    opens_at = max(now, state.closed_until) if state.strikes else now
    reserve = (_reserve(state, policy, now) or 0) if lane == "backfill" else 0
    limit = _least(policy.per_day, state.day_limit) or day
    quota = math.inf if limit is None else max(1, limit - reserve)
    left = math.inf if day is None else max(0, day - reserve - state.day_live - state.day_backfill)
    today = min(left, max(at_once, per_s * (ends_at - opens_at)))
    if requests <= today:
        takes_s = opens_at - now + (0 if requests <= at_once else requests / per_s)
    else:
        rest, daily = requests - today, min(quota, per_s * DAY_S)
        days = math.ceil(rest / daily) - 1
        takes_s = ends_at - now + days * DAY_S + (rest - days * daily) / per_s
    return Forecast(takes_s=takes_s, quota_days=requests / quota, left_today=None if math.isinf(left) else left)


def read_headers(headers: Mapping[str, str], status: int, *, sent_at: float, received_at: float) -> Observation:
    """Read what a response says about the budget; garbage reads as absent (names: docs/cyclesoftware-general.txt).

    Instants count from the response's own Date where it has one, so the server's clock may be wrong.
    """
    lower = {name.lower(): value.strip() for name, value in headers.items()}

    def count(name: str, least: int) -> int | None:
        text = lower.get(f"x-ratelimit-{name}", "")
        return int(text) if re.fullmatch(r"[0-9]{1,9}", text) and int(text) >= least else None

    def seconds(name: str) -> float | None:
        text = lower.get(name, "")
        return float(text) if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", text) else None

    date, retry_at = _http_date(lower.get("date")), _http_date(lower.get("retry-after"))
    server_at = received_at if date is None else date
    retry_s = (seconds("retry-after") or 0.0) if retry_at is None else retry_at - server_at
    reset_s = (seconds("x-ratelimit-daily-reset") or 0.0) - server_at
    return Observation(
        sent_at=sent_at,
        received_at=received_at,
        status=status,
        minute_limit=count("minutely-limit", 1),
        minute_remaining=count("minutely-remaining", 0),
        day_limit=count("daily-limit", 1),
        day_remaining=count("daily-remaining", 0),
        day_reset_at=received_at + reset_s if 0 < reset_s <= LONGEST_DAY_S else None,
        retry_after_s=min(retry_s, RETRY_AFTER_S) if retry_s > 0 else None,
    )


def _http_date(text: str | None) -> float | None:
    try:
        parsed = email.utils.parsedate_to_datetime(text or "")
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=dt.UTC)).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _slot(at: float) -> int:
    return math.floor(at / SLOT_S)


def _least(*values: int | None) -> int | None:
    return min((value for value in values if value is not None), default=None)


def _part(at: float) -> int:
    return math.floor(at / PART_S)


def _added(charges: tuple[Charges, ...], slot: int, lane: Lane) -> tuple[Charges, ...]:
    """Add one request to the newest slot."""
    last = Charges(slot)
    if charges and charges[-1].slot == slot:
        charges, last = charges[:-1], charges[-1]
    return (*charges, Charges(slot, last.live + (lane == "live"), last.backfill + (lane == "backfill")))


def _midnight_after(now: float, zone: str) -> float:
    local = dt.datetime.fromtimestamp(now, ZoneInfo(zone))
    return dt.datetime.combine(local.date() + dt.timedelta(days=1), dt.time(), local.tzinfo).timestamp()


def _settle(state: State, policy: Policy, now: float) -> State:
    """Bring the state to `now`: follow a clock that was set back, begin a new day when it is due."""
    if now < state.last_at - SKEW_S:
        state = _set_back(state, now)
    ends_at = state.day_ends_at
    if ends_at is None or ends_at > now + LONGEST_DAY_S:
        return replace(state, day_ends_at=_midnight_after(now, policy.day_zone))
    if now < ends_at + DAY_GUARD_S:
        return state
    return _begin_day(state, now, _midnight_after(now, policy.day_zone))


def _set_back(state: State, now: float) -> State:
    """Take all that lies in the future as of now: over-counted for a minute, never forgotten."""
    slot = _slot(now)
    return replace(
        state,
        last_at=now,
        charges=_gathered(state.charges, slot),
        day_parts=_gathered(state.day_parts, _part(now)),
        sights=_merged(replace(sight, slot=min(sight.slot, slot)) for sight in state.sights),
        limits_at=min(state.limits_at, now),
        ceiling_until=min(state.ceiling_until, now + CEILING_S),
        day_began_at=min(state.day_began_at, now),
        day_seen_at=min(state.day_seen_at, now),
        closed_at=min(state.closed_at, now),
        closed_until=min(state.closed_until, now + state.closed_until - state.closed_at),
        probe_at=None if state.probe_at is None else min(state.probe_at, now),
        live_next_at=None,
        backfill_next_at=None,
    )


def _gathered(charges: tuple[Charges, ...], slot: int) -> tuple[Charges, ...]:
    """Put what lies in later slots into this one."""
    later = [one for one in charges if one.slot >= slot]
    if not later:
        return charges
    one = Charges(slot, sum(one.live for one in later), sum(one.backfill for one in later))
    return (*charges[: len(charges) - len(later)], one)


def _begin_day(state: State, began_at: float, ends_at: float) -> State:
    live, backfill = _spent(state, _slot(began_at) - 1)
    state = replace(state, day_capacity=None, sights=tuple(replace(sight, day=None) for sight in state.sights))
    return replace(state, day_began_at=began_at, day_ends_at=ends_at, day_live=live, day_backfill=backfill)


def _day_ends_at(state: State) -> float:
    """Return when our day of a settled state ends."""
    return (state.day_ends_at or 0.0) + DAY_GUARD_S


def _spent(state: State, after: int, before: int | None = None) -> tuple[int, int]:
    """Return the requests of (live, backfill) charged in the slots between two, both excluded."""
    live = backfill = 0
    for charges in state.charges:
        if after < charges.slot and (before is None or charges.slot < before):
            live += charges.live
            backfill += charges.backfill
    return live, backfill


def _kept(state: State, now: float) -> tuple[Charges, ...]:
    before = _slot(now) - KEPT_SLOTS
    return tuple(charges for charges in state.charges if charges.slot > before)


def _kept_parts(state: State, now: float) -> tuple[Charges, ...]:
    before = _part(now) - DAY_PARTS
    return tuple(charges for charges in state.day_parts if charges.slot > before)


def _fresh(state: State, now: float) -> tuple[Sight, ...]:
    before = _slot(now) - WINDOW_SLOTS - SIGHT_SLOTS
    return tuple(sight for sight in state.sights if sight.slot > before)


def _merged(sights: Iterable[Sight]) -> tuple[Sight, ...]:
    merged: dict[int, Sight] = {}
    for new in sights:
        old = merged.get(new.slot, new)
        merged[new.slot] = Sight(
            new.slot, _least(old.low, new.low), _least(old.high, new.high), _least(old.day, new.day)
        )
    return tuple(merged.values())


def _minute(state: State, policy: Policy, now: float) -> _Minute:
    limit = _least(policy.per_minute, state.minute_limit, state.ceiling if now < state.ceiling_until else None)
    sights = _fresh(state, now)
    high = _least(limit, *(sight.high for sight in sights))
    live, backfill = _spent(state, _slot(now) - WINDOW_SLOTS)
    capacity = _least(limit, *(sight.low for sight in sights))
    return _Minute(
        capacity=capacity,
        share=None if high is None else max(1, math.floor(high * policy.backfill_minute_share + 1e-9)),
        room=math.floor((capacity or 0) * LIVE_ROOM * (1 - policy.backfill_minute_share) + 1e-9),
        live=live,
        backfill=backfill,
        share_used=_spent(state, _slot(now) - SHARE_SLOTS)[1],
    )


def _day(state: State, policy: Policy, now: float) -> int | None:
    """Return the day's capacity: what we may spend from its begin to its end."""
    recent = _least(*(sight.day for sight in _fresh(state, now)))
    return _least(policy.per_day, state.day_limit, state.day_capacity if recent is None else recent)


def _reserve(state: State, policy: Policy, now: float) -> int | None:
    limit = _least(policy.per_day, state.day_limit) or _day(state, policy, now)
    return None if limit is None else max(0, min(limit - 1, math.ceil(limit * policy.live_reserve - 1e-9)))


def _wait_closed(state: State, now: float) -> Wait | None:
    if state.strikes and now < state.closed_until:
        return Wait(state.closed_until, "closed by 429")
    if state.strikes and state.probe_at is not None and now < state.probe_at + PROBE_S:
        return Wait(min(now + PROBE_POLL_S, state.probe_at + PROBE_S), "closed by 429")
    return None


def _wait_day(state: State, policy: Policy, now: float, lane: Lane) -> Wait | None:
    day, ends_at = _day(state, policy, now), _day_ends_at(state)
    if day is None:
        return None
    free = day - state.day_live - state.day_backfill
    if free < 1:
        return Wait(ends_at, "day window")
    if lane == "backfill":  # not paced over the day: nobody waits for its rest, which comes tomorrow
        reserve = _reserve(state, policy, now) or 0
        if free <= reserve:
            return Wait(ends_at, "live reserve")
        return None if state.day_seen_at else _wait_parts(state, now, day, reserve)
    last_fifth = (1 - NEAR) * (day - state.day_backfill)
    even_at = ends_at - DAY_CREDIT_S - DAY_S * free / last_fifth
    return Wait(even_at, "pacing") if now < even_at else None


def _wait_parts(state: State, now: float, day: int, reserve: int) -> Wait | None:
    """Keep a backfill to its share of the last 24 hours, too."""
    parts = _kept_parts(state, now)
    live, backfill, opens_at = sum(part.live for part in parts), sum(part.backfill for part in parts), now
    for part in parts:
        if backfill + max(reserve, live) < day:
            break
        live, backfill = live - part.live, backfill - part.backfill
        opens_at = (part.slot + DAY_PARTS) * PART_S
    return Wait(opens_at, "live reserve") if opens_at > now else None


def _wait_minute(state: State, minute: _Minute, now: float, lane: Lane) -> Wait | None:
    free = minute.free(lane)
    if free is None or minute.capacity is None or minute.share is None:
        return None
    used = minute.live + minute.backfill
    if used >= minute.capacity:
        until = _leaves_at(state, now, used - minute.capacity + 1, WINDOW_SLOTS, ("live", "backfill"))
        binding = [sight.slot for sight in _fresh(state, now) if sight.low is not None and sight.low <= used]
        forgotten_at = (max(binding) + SIGHT_SLOTS + WINDOW_SLOTS) * SLOT_S if binding else math.inf
        return Wait(min(until, forgotten_at), "minute window")
    if free < 1:
        share_at = _leaves_at(state, now, minute.share_used - minute.share + 1, SHARE_SLOTS, ("backfill",))
        room_at = _leaves_at(state, now, used - minute.capacity + minute.room + 1, WINDOW_SLOTS, ("live", "backfill"))
        return Wait(max(share_at, room_at), "backfill share")
    next_at = state.live_next_at if lane == "live" else state.backfill_next_at
    paced = next_at is not None and now < next_at and minute.fill(lane) >= FAR
    return Wait(next_at, "pacing") if next_at is not None and paced else None


def _leaves_at(state: State, now: float, count: int, slots: int, lanes: tuple[Lane, ...]) -> float:
    """Return when so many of the lanes' charges will have left a window of so many slots."""
    if count <= 0:
        return now
    for charges in state.charges:
        if charges.slot > _slot(now) - slots:
            count -= sum(charges.of(lane) for lane in lanes)
            if count <= 0:
                return (charges.slot + slots) * SLOT_S
    return now + slots * SLOT_S


def _next_at(state: State, minute: _Minute, now: float, lane: Lane) -> float | None:
    """Return when a lane that sends now may send again; None: it is not paced.

    The spacing is the shortest that can be kept up, given what is free and when the lane's own charges leave.
    """
    free, fill = minute.free(lane), minute.fill(lane)
    before = state.live_next_at if lane == "live" else state.backfill_next_at
    if free is None or fill < (NEAR if before is None else FAR):
        return None
    slots = WINDOW_SLOTS if lane == "live" else SHARE_SLOTS
    earned, spacing_s = free - 1, 0.0
    for charges in state.charges:
        left_s = (charges.slot + slots) * SLOT_S - now
        if left_s > 0 and charges.of(lane):
            if left_s > CATCH_UP_S:
                spacing_s = max(spacing_s, left_s / (earned + 1))
            earned += charges.of(lane)
    spacing_s = max(spacing_s, slots * SLOT_S / (earned + 1))
    return max(now - CATCH_UP_S, before or now) + PACE * spacing_s


def _believe_limits(state: State, seen: Observation, now: float) -> State:
    limits = (seen.minute_limit or state.minute_limit, seen.day_limit or state.day_limit)
    state = replace(state, limits_at=seen.sent_at, minute_limit=limits[0], day_limit=limits[1])
    if seen.day_reset_at is None or seen.day_reset_at <= now:
        return state
    if seen.day_reset_at > _day_ends_at(state) + DAY_S / 2:  # the server's day has begun before ours
        return _begin_day(state, seen.sent_at, seen.day_reset_at)
    if abs(seen.day_reset_at - (state.day_ends_at or 0.0)) < RESET_SLACK_S:
        return state  # it would be news with every answer
    return replace(state, day_ends_at=seen.day_reset_at)


def _believe_remaining(state: State, seen: Observation, now: float) -> State:
    slot = _slot(seen.sent_at)
    low = high = day = None
    if seen.minute_remaining is not None:
        low = seen.minute_remaining + sum(_spent(state, slot - MINUTE_SLOTS, slot)) + 1
        high = max(low, seen.minute_remaining + sum(_spent(state, slot - WINDOW_SLOTS)))
    if seen.day_remaining is not None and seen.sent_at >= state.day_began_at and not _doubts_day(state, seen, now):
        day = seen.day_remaining + 1 + max(0, state.day_live + state.day_backfill - sum(_spent(state, slot - 1)))
        if seen.sent_at >= state.day_seen_at:
            state = replace(state, day_seen_at=seen.sent_at, day_capacity=day)
    return replace(state, sights=_merged((*_fresh(state, now), Sight(slot - slot % SIGHT_SLOTS, low, high, day))))


def _doubts_day(state: State, seen: Observation, now: float) -> bool:
    """Tell whether a day found spent may be yesterday's: ours has just begun, and the server names no Reset."""
    young = state.day_began_at > 0 and now < state.day_began_at + DAY_DOUBT_S
    return seen.day_remaining == 0 and seen.day_reset_at is None and young


def _close(state: State, seen: Observation, now: float) -> State:
    """Close after a 429. Those of one flight are one event; the next one, of a probe, doubles the wait."""
    again = state.strikes > 0 and seen.sent_at <= state.closed_at
    until = state.closed_until if again else now
    if seen.retry_after_s is not None:
        until = max(until, now + seen.retry_after_s)
    elif seen.day_remaining == 0 and not _doubts_day(state, seen, now):
        until = max(until, _day_ends_at(state))
    elif not again:
        shortest_s, first_s, longest_s = CLOSE_S
        oldest = min((charges.slot for charges in _kept(state, now)), default=_slot(now))
        leaves_s = min(first_s, max(shortest_s, (oldest + WINDOW_SLOTS) * SLOT_S - now))
        doubled_s = 2 * (state.closed_until - state.closed_at) if state.strikes else 0.0
        until = now + min(longest_s, max(leaves_s, doubled_s))
    if seen.minute_remaining != 0 and seen.day_remaining != 0:  # no header explains it: the limit is a lie, or unknown
        passed = sum(_spent(state, _slot(seen.sent_at) - MINUTE_SLOTS, _slot(seen.sent_at)))
        ceiling = _least(max(CEILING_FLOOR, passed), state.ceiling if now < state.ceiling_until else None)
        state = replace(state, ceiling=ceiling, ceiling_until=now + CEILING_S)
    if again:
        return replace(state, closed_until=until)
    return replace(state, closed_at=now, closed_until=until, strikes=state.strikes + 1, probe_at=None)
