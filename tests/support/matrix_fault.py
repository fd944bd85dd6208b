"""What the fault matrix expects of one fault."""

from dataclasses import dataclass, field
from typing import Any

from syncd.sandbox.faults import KINDS, Stage

OK = frozenset({"ok"})
FAILED = frozenset({"failed"})
THROTTLED = frozenset({"throttled"})
EITHER = OK | FAILED
MAYBE_THROTTLED = OK | THROTTLED
BUDGET_OPENS = {"hours": 26.0}
SOON = {"minutes": 1.0}
AT_ONCE = {"minutes": 5.0}
"""Within the overlap of a cursor: what was sent wrong once is asked for again."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is expected of one fault.

    once, lasting   outcomes allowed while it strikes one request, and while it strikes all (None: not tried)
    says            what the run's record says of it (error, notes); None where nothing went wrong
    leaves          the table in which it leaves a trace: drift or rejects
    after           requests that it lets pass first, so that it strikes in mid-run
    rest            time that passes before the clean run
    wait            time that passes before it strikes
    strikes         False where syncd never asks in the way that provokes it
    re_asked        True where some sources ask once more before they believe it, so that once may leave no word
    deletes         True where it deletes upstream: only a sweep finds that
    ties            True if all changes are made in one second
    changes_soon    True if more changes before the clean run: a cursor that is ahead would pass over them
    buries          True where the upstream's lie cannot be told from a deletion; the row must then come back
    sweeps          False where there is nothing to see in a sweep
    refuses_once    True where the first clean run may refuse to bury: it went on behind records without keys
    """

    name: str
    streams: tuple[str, ...]
    once: frozenset[str] = OK
    lasting: frozenset[str] | None = FAILED
    says: str | None = None
    leaves: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    after: int = 0
    rest: dict[str, float] = field(default_factory=lambda: BUDGET_OPENS)
    buries: bool = False
    sweeps: bool = True
    target: str | None = None
    wait: dict[str, float] = field(default_factory=dict)
    strikes: bool = True
    re_asked: bool = False
    deletes: bool = False
    ties: bool = False
    changes_soon: bool = False
    refuses_once: bool = False

    @property
    def shown(self) -> str:
        """The name with its parameters."""
        at = " on the second request" if self.after else ""
        return self.name + "".join(f" {name}={value}" for name, value in self.params.items()) + at

    @property
    def moves_the_world(self) -> bool:
        """Whether the upstream itself changes once it has answered, so that only a later run can know."""
        return KINDS[self.name].stage is Stage.WORLD
