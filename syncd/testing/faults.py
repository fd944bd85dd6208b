"""The fault matrix of the kit: misbehaviours that any API can show, and what a run may make of each."""

from dataclasses import dataclass, field
from typing import Any, Final

from syncd.sandbox.faults import KINDS
from syncd.testing.rig import Rig, listed

ANY: Final = frozenset({"ok", "failed", "throttled"})
NOT_OK: Final = frozenset({"failed", "throttled"})
LONG: Final[dict[str, float]] = {"hours": 26}
"""So long that every budget is open again."""
SOON: Final[dict[str, float]] = {"minutes": 1}
"""So soon that what was odd is within the overlap and is sent again."""


@dataclass(frozen=True, kw_only=True)
class Strike:
    """One fault of the sandbox.

    lasting   what a run may end as while the fault strikes every request; None: it is not tried, because each strike
              changes the world
    is_odd    what the upstream sends is not the truth, so that a run which is ok may hold something else for a while;
              of sweeps only those are tried that could bury something
    buries    the lie cannot be told from a deletion; the row must come back
    """

    name: str
    params: dict[str, Any] = field(default_factory=dict)
    after: int = 0
    lasting: frozenset[str] | None = NOT_OK
    is_odd: bool = False
    buries: bool = False

    @property
    def words(self) -> str:
        """The fault as a message tells it."""
        told = "".join(f" {name}={value}" for name, value in self.params.items())
        return f"{self.name}{told}{' from the second request on' if self.after else ''}"


def _all(*names: str, **how: Any) -> list[Strike]:
    return [Strike(name=name, **how) for name in names]


STRIKES: Final = (
    # no whole answer, or one of somebody else
    *_all("reset", "truncated-body", "corrupt-gzip", "error-500", "gateway-504", "error-xml", "firewall-page"),
    Strike(name="reset", params={"at": "start"}),
    *_all("reset", "error-500", "bad-credentials", after=1, lasting=ANY),
    *_all("auth-expired", "bad-credentials", "scope-revoked"),
    # an answer that lies
    *_all("error-in-200", "html-200", "empty-200", "redirect-other-host"),
    *_all("null-list", "missing-list", "not-found-list", "next-link-other-host", lasting=ANY),
    Strike(name="empty-list", lasting=ANY, is_odd=True, buries=True),
    # what must not matter
    *_all("unasked-gzip", "bom", "wrong-charset", "bad-date", lasting=ANY),
    *_all("clock-ahead", "clock-behind", params={"skew_s": 14_400}, lasting=ANY),
    # limits
    *_all("rate-limited", "early-429", "retry-after", "retry-after-date"),
    # lists that move
    *_all("late-commit", "duplicate-key-on-page", lasting=ANY, is_odd=True),
    *_all("row-inserted-ahead", "row-deleted-ahead", "row-moved-ahead", lasting=None, is_odd=True),
    Strike(name="clamped-limit", params={"rows": 2}, lasting=ANY),
    # odd rows
    *_all("unknown-field", "missing-field", "null-field", "wrong-type", "nul-in-text", "lone-surrogate", "null-record",
          "null-key", lasting=ANY, is_odd=True),
    Strike(name="row-vanishes", lasting=ANY, is_odd=True, buries=True),
)  # fmt: skip


async def outlives(rig: Rig, stream: str, strike: Strike) -> list[str]:
    """Let a fault strike once and then for good, in live runs and in sweeps; return what went wrong.

    The stream must be clean before. It is clean afterwards, unless something is told.
    """
    has_sweep = rig.source.stream(stream).sweep_s is not None
    kinds = ["live", "sweep"] if has_sweep and (strike.buries or not strike.is_odd) else ["live"]
    wrong: list[str] = []
    for kind in kinds:
        rig.change(stream)
        if kind == "sweep" or not has_sweep:
            rig.delete(stream)
        rig.time.pass_by(**(SOON if strike.is_odd else {"minutes": 20}))
        for times in (1, None) if strike.lasting is not None else (1,):
            wrong += [f"{strike.words}, {kind}: {told}" for told in await _struck(rig, stream, strike, kind, times)]
        rig.time.pass_by(**(SOON if strike.is_odd else LONG))
        try:
            await rig.clean(stream)
            await rig.require_equal(stream, "after a clean run", deletions=not has_sweep)
            if kind == "sweep":
                await rig.clean(stream, "sweep")
                await rig.require_equal(stream, "after a clean sweep")
        except AssertionError as error:
            wrong.append(f"{strike.words}, {kind}: {error}")
        if wrong:
            break
    return wrong


def knows(rig: Rig, strike: Strike) -> bool:
    """Say whether a fault can happen to this API at all."""
    return rig.source.type in KINDS[strike.name].apis


async def _struck(rig: Rig, stream: str, strike: Strike, kind: str, times: int | None) -> list[str]:
    """Run once under the fault, and judge what the run says and what it did."""
    faults = rig.sandbox.faults
    faults.add(strike.name, api=rig.source.type, stream=stream, times=times, after=strike.after, **strike.params)
    before = faults.hits(strike.name)
    result = await rig.run(stream, kind, accept_deletions=False)
    hits = faults.hits(strike.name) - before
    faults.clear()
    wrong = []
    if times is None and hits and result.outcome not in (strike.lasting or ANY):
        wrong.append(f"the run is {result.outcome} although every request met the fault")
    if result.outcome not in ANY or type(result.error).__name__ == "Defect":
        wrong.append(f"the run is {result.outcome}: {result.error!r}")
    if not strike.buries and (buried := await rig.wrongly_buried(stream)):
        wrong.append(f"rows were buried:{listed(buried)}")
    if result.outcome == "ok" and not strike.is_odd:
        found = await rig.differences(stream, deletions=False)
        if found:
            wrong.append(f"the run says ok and lost something:{listed(found)}")
    return wrong
