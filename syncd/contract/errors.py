"""The errors that a source raises and catches. Each text is a sentence for the operator; `hint` says what to do.

Raised by a walk:  BadPayload (the answer breaks the documented form), BadCredentials (a login was refused),
                   ConfigError (an option is wrong), UsageError (a cursor set by hand is wrong).
Caught by a walk:  what a request raises: NotFound (404), BadRequest (400 and other 4xx), ScopeMissing (403), Throttled
                   (the budget is spent), and UpstreamError, of which all these are kinds.
Whatever a walk does not catch ends its run.
"""

from syncd.errors import (
    BadCredentials,
    BadPayload,
    BadRequest,
    ConfigError,
    NotFound,
    ScopeMissing,
    SyncdError,
    Throttled,
    UpstreamError,
    UsageError,
)

__all__ = [
    "BadCredentials", "BadPayload", "BadRequest", "ConfigError", "NotFound", "ScopeMissing", "SyncdError", "Throttled",
    "UpstreamError", "UsageError",
]  # fmt: skip
