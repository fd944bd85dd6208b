"""Decide when a request may be sent: the windows and lanes of one source, as pure arithmetic.

Owns what is known of one source's budget (`State`) and every rule about it. Never reads a clock, sleeps or does I/O.
Instants are epoch seconds (UTC) of one clock for all processes, best the database's; `now` is the caller's reading.
Numbers without another origin are our choice.

How to use it: read the state, call `acquire`, and store the state that comes back in one `UPDATE … WHERE version = …`
(with a Wait too, unless it is the object that was passed in). Send only after that. Every try is charged before it is
sent, so a crash can only over-count. Call `observe` with every response. Sleep until `Wait.until`, but never longer
than RECHECK_S before asking again, because clocks and other processes move.

    charges   what was sent, per slot of time           sights   what responses said, per few seconds
    day       the day's window                          minute   the moving minute's window, and the pace of a lane
    closing   what a 429 does, and to which scope       ladder   what one scope learns from refusals
    endpoints   what passed at each of them             decisions   acquire and observe: all windows together
    headers   a response's headers → Observation        stored   State ↔ the JSON in syncd.budgets
    outlook   summary and forecast, for people
"""

from syncd.upstream.budget.closing import PROBE_POLL_S, PROBE_S, is_struck
from syncd.upstream.budget.day import DAY_GUARD_S, RESET_SLACK_S
from syncd.upstream.budget.decisions import RECHECK_S, acquire, observe
from syncd.upstream.budget.endpoints import endpoint_of
from syncd.upstream.budget.headers import RETRY_AFTER_S, read_headers
from syncd.upstream.budget.outlook import Forecast, Summary, forecast, has_room, summary
from syncd.upstream.budget.state import (
    EMPTY,
    Closing,
    Day,
    Endpoint,
    Limits,
    Observation,
    Pace,
    Policy,
    Reason,
    State,
    Wait,
)
from syncd.upstream.budget.stored import decode, encode

__all__ = [
    "DAY_GUARD_S",
    "EMPTY",
    "PROBE_POLL_S",
    "PROBE_S",
    "RECHECK_S",
    "RESET_SLACK_S",
    "RETRY_AFTER_S",
    "Closing",
    "Day",
    "Endpoint",
    "Forecast",
    "Limits",
    "Observation",
    "Pace",
    "Policy",
    "Reason",
    "State",
    "Summary",
    "Wait",
    "acquire",
    "decode",
    "encode",
    "endpoint_of",
    "forecast",
    "has_room",
    "is_struck",
    "observe",
    "read_headers",
    "summary",
]
