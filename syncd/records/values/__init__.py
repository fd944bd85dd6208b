"""Single values: from JSON as sent to what PostgreSQL can hold.

    kinds       reads a value for a column of some kind, and says whether it fits
    times       times and dates as upstreams write them
    days        the same times, read fast where many of them fall on the same days
    sound       JSON text that PostgreSQL can hold
    pg_instant  instants as PostgreSQL counts them
    pg_day      days as PostgreSQL counts them

Pure functions: no I/O, no clock.
"""

from syncd.contract.toolkit import earliest_reading, latest_reading
from syncd.records.values.kinds import INT64, read
from syncd.records.values.sound import JSON_DEPTH, depth, jsonb, masked, mended, plain
from syncd.records.values.times import instant, read_date, read_timestamp

__all__ = [
    "INT64", "JSON_DEPTH", "depth", "earliest_reading", "instant", "jsonb", "latest_reading", "masked", "mended",
    "plain", "read", "read_date", "read_timestamp",
]  # fmt: skip
