"""What `syncd check` finds: one thing that was looked at, how it stands, and what its failure means."""

from dataclasses import dataclass
from typing import Literal

UPSTREAM, CONFIGURATION, DATABASE = 1, 2, 3
"""Exit codes of what can fail (DESIGN section 7); the gravest counts."""


@dataclass(kw_only=True)
class Finding:
    """One thing that was looked at; `hint` is the mending step, `exit_code` what its failure means."""

    what: str
    state: Literal["ok", "warning", "failed"]
    detail: str = ""
    hint: str = ""
    exit_code: int = 0
