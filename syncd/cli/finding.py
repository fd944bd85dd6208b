"""What `syncd check` finds: one thing that was looked at, how it stands, and what its failure means."""

from typing import Literal

import msgspec

from syncd.errors import SyncdError

UPSTREAM, CONFIGURATION, DATABASE = 1, 2, 3
"""Exit codes of what can fail (DESIGN section 7); the gravest counts."""


class Finding(msgspec.Struct, kw_only=True):
    """One thing that was looked at; `hint` is the mending step, `exit_code` what its failure means."""

    what: str
    state: Literal["ok", "warning", "failed"]
    detail: str = ""
    hint: str = ""
    exit_code: int = 0


def failed(what: str, error: SyncdError, exit_code: int) -> Finding:
    """Return what an error says of the thing that was looked at."""
    return Finding(what=what, state="failed", detail=str(error), hint=error.hint, exit_code=exit_code)
