"""The options that a source declares: their types, how they are declared, and those that several sources share."""

from typing import Final

from syncd.config import (
    Option,
    Secret,
    duration_option,
    flag_option,
    optional_text,
    optional_url,
    secret_option,
    text_option,
    whole_option,
    zone_option,
)

__all__ = [
    "CALLBACK_OPTIONS", "CALLBACK_SECRET_IN", "CALLBACK_URL", "DAY_S", "HOUR_S", "LISTENS", "MINUTE_S", "OVERLAP",
    "Option", "Secret", "duration_option", "flag_option", "optional_text", "optional_url", "secret_option",
    "text_option", "whole_option", "zone_option",
]  # fmt: skip

MINUTE_S: Final = 60.0
HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0

OVERLAP: Final = duration_option(
    "overlap",
    "how far before its cursor a live run asks again, for changes that are committed late",
    default=10 * MINUTE_S,
    minimum=MINUTE_S,
    maximum=7 * DAY_S,
)
"""Of a source whose lists can be asked for by time of change; see `toolkit.overlap_of`."""

LISTENS: Final = flag_option("callbacks", "listen for callbacks, too (docs/callbacks.md)", default=False)
CALLBACK_URL: Final = optional_url("callback_url", "public address under which the vendor reaches http.callback_listen")
CALLBACK_SECRET_IN: Final = text_option(
    "callback_secret_in",
    "where the secret of the address stands: its path, or its password, which logs of proxies do not hold",
    default="path",
    choices=("path", "password"),
)
CALLBACK_OPTIONS: Final = (LISTENS, CALLBACK_URL, CALLBACK_SECRET_IN)
"""Of a source that has callbacks."""
