"""What the headers of a response say about the budget; garbage reads as absent (docs/cyclesoftware-general.txt)."""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Final

from syncd.upstream.budget.day import LONGEST_DAY_S
from syncd.upstream.budget.state import Observation

RETRY_AFTER_S: Final = 3600.0
"""A larger Retry-After is looked into every hour."""


def read_headers(
    headers: Mapping[str, str], status: int, *, sent_at: float, received_at: float, endpoint: str = ""
) -> Observation:
    """Read what a response of an endpoint says about the budget.

    Instants count from the response's own Date where it has one, so the server's clock may be wrong.
    """
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    date, retry_at = _http_date(lower.get("date")), _http_date(lower.get("retry-after"))
    server_at = received_at if date is None else date
    retry_s = (_seconds(lower, "retry-after") or 0.0) if retry_at is None else retry_at - server_at
    reset_s = (_seconds(lower, "x-ratelimit-daily-reset") or 0.0) - server_at
    return Observation(
        sent_at=sent_at,
        received_at=received_at,
        status=status,
        minute_limit=_count(lower, "minutely-limit", 1),
        minute_remaining=_count(lower, "minutely-remaining", 0),
        day_limit=_count(lower, "daily-limit", 1),
        day_remaining=_count(lower, "daily-remaining", 0),
        day_reset_at=received_at + reset_s if 0 < reset_s <= LONGEST_DAY_S else None,
        retry_after_s=min(retry_s, RETRY_AFTER_S) if retry_s > 0 else None,
        endpoint=endpoint,
    )


def _count(lower: Mapping[str, str], name: str, minimum: int) -> int | None:
    text = lower.get(f"x-ratelimit-{name}", "")
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) and int(text) >= minimum else None


def _seconds(lower: Mapping[str, str], name: str) -> float | None:
    text = lower.get(name, "")
    return float(text) if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", text) else None


def _http_date(text: str | None) -> float | None:
    from email.utils import parsedate_to_datetime  # status has budgets, and no date of a server

    try:
        parsed = parsedate_to_datetime(text or "")
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=dt.UTC)).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
