"""The values of the arithmetic: what is known of one source's budget, what an answer says, and what is wished.

Instants are epoch seconds (UTC) of one clock for all processes. `stored.py` gives the form in which PostgreSQL holds a
state.
"""

from typing import Final, Literal

import msgspec

from syncd.upstream.budget.charges import Charges

NEVER: Final = 0.0
"""An instant that has not come yet; one object for all fields, because msgspec knows defaults by identity."""
HELD: Final = 1.0
"""The factor of a limit that is held."""
Reason = Literal["minute window", "day window", "closed by 429", "live reserve", "pacing", "backfill share"]


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's wishes for one source; limits only lower what the server says.

    live_reserve           the share of the day that a backfill leaves to live runs
    backfill_minute_share  the backfill's share of what others leave us of the minute; one request at least
    day_zone               where a day without a Reset begins; CycleSoftware: Europe/Amsterdam (upstream/FACTS.md)
    """

    per_minute: int | None = None
    per_day: int | None = None
    live_reserve: float = 0.2
    backfill_minute_share: float = 0.6
    day_zone: str = "UTC"


class Sight(msgspec.Struct, frozen=True, array_like=True):
    """The least that responses to the requests of SIGHT_SLOTS slots said; capacities include our own requests.

    low   the minute's capacity if every request in flight beside it arrived later: never too high
    high  the minute's capacity if they arrived before it: if it is below the limit, others surely spend
    day   the day's capacity, never too high
    """

    slot: int
    low: int | None = None
    high: int | None = None
    day: int | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits that the server stated last; `at` is when the request was charged whose response stated them."""

    minute: int | None = None
    day: int | None = None
    at: float = NEVER


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """The day that runs: its bounds, and what was spent and said of it.

    began_at        0 if it began before we came
    live, backfill  our own requests since then
    capacity        what we may spend from its begin to its end, by the latest response; holds when no sight does
    seen_at         when the request was charged whose response told of it; 0 while the server never said what remains
    parts           what was charged in each part of the last 24 hours; kept until the server says what remains
    """

    began_at: float = NEVER
    ends_at: float | None = None
    live: int = 0
    backfill: int = 0
    capacity: int | None = None
    seen_at: float = NEVER
    parts: tuple[Charges, ...] = ()


class Closing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What 429s have done to one scope: an endpoint, or the whole source.

    at, until                closed since and until when
    strikes                  refusals in a row; until a success there is one probe at a time
    probe_at                 when the probe was charged that is under way
    ceiling, ceiling_until   how many requests of a minute are believed to pass, and until when that is believed
    passed                   good answers since the refusal at `at`
    peak_per_s               the pace at that refusal, halved and rising again; 0: the pace was none
    limit_per_s              the pace that is believed to pass; 0: no limit is believed
    raised, raised_at        by what factor ceiling and limit are tried beyond, since when; 1: they are held
    proven                   how often a trial beyond was refused
    lifted                   how often the server's headers made an end of a ceiling or limit
    next_at                  when the pace allows the next request
    """

    at: float = NEVER
    until: float = NEVER
    strikes: int = 0
    probe_at: float | None = None
    ceiling: int | None = None
    ceiling_until: float = NEVER
    passed: int = 0
    peak_per_s: float = NEVER
    limit_per_s: float = NEVER
    raised: float = HELD
    raised_at: float = NEVER
    proven: int = 0
    lifted: int = 0
    next_at: float = NEVER


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One endpoint: what passed in each second until `second`, the newest last, and what 429s have done to it."""

    name: str
    second: int = 0
    counts: tuple[int, ...] = ()
    closing: Closing = Closing()


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """When each lane may send again; None: the lane is not paced."""

    live: float | None = None
    backfill: float | None = None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one source's budget; read it through `summary`.

    last_at    the latest instant that any process has told of
    charges    what was charged in the last minute, per slot
    sights     what responses of the last minute said
    closing    what 429s have done to the whole source
    endpoints  those of the last minute and those that 429s have done something to; used most recently last
    """

    last_at: float = NEVER
    charges: tuple[Charges, ...] = ()
    sights: tuple[Sight, ...] = ()
    limits: Limits = Limits()
    day: Day = Day()
    closing: Closing = Closing()
    pace: Pace = Pace()
    endpoints: tuple[Endpoint, ...] = ()


EMPTY: Final = State()


class Wait(msgspec.Struct, frozen=True):
    """Not now, nothing was charged: ask again at `until`, which is later than now and at most 27 hours away."""

    until: float
    reason: Reason


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What one response said about the budget; None where it said nothing sane.

    sent_at       the `now` with which the request was charged
    status        0 if no response came
    day_reset_at  by our clock
    endpoint      what was asked, see `endpoint_of`; "": not known, so a refusal is the source's
    """

    sent_at: float
    received_at: float
    status: int
    minute_limit: int | None = None
    minute_remaining: int | None = None
    day_limit: int | None = None
    day_remaining: int | None = None
    day_reset_at: float | None = None
    retry_after_s: float | None = None
    endpoint: str = ""


def least(*values: int | None) -> int | None:
    """Return the smallest of the limits that are known, None if none is."""
    smallest = None  # a loop, because min() of a generator takes six times as long, and each request asks many times
    for value in values:
        if value is not None and (smallest is None or value < smallest):
            smallest = value
    return smallest
