"""The road from a stream of one account to its table, and one pass along it: values that the steps of a run share.

Never decides and never does anything.
"""

from collections.abc import Awaitable, Callable

from syncd.clock import Clock
from syncd.contract import Cursor, Identity, Stream, Walk
from syncd.engine.order import Order, Result
from syncd.engine.plan import Plan
from syncd.engine.prefetch import PageReader
from syncd.frozen import dataclass
from syncd.storage.mirror.target import Target
from syncd.storage.mirror.turns import Turns
from syncd.storage.postgres.database import Database
from syncd.storage.state.runs import Run
from syncd.upstream.account import Account
from syncd.upstream.request import RunUpstream


@dataclass(frozen=True, kw_only=True)
class Route:
    """From a stream of one account to its table, with what its runs use on the way.

    identity          the account as the configuration names it
    target            where the rows of the stream go; `target_of` says it for another stream of the source
    learn_forgotten   reads anew who of the source was forgotten, for all records that are read from then on
    require_ready     raises DatabaseChanged unless the database has the tables that the source's own migrations make
    max_records       where a run is stopped whose list does not end; None: see `growth`
    begin_walk        makes what a walk may know, from the order, the run's upstream and the cursor to start from
    """

    source: str
    stream: Stream
    identity: Identity
    account: Account
    target: Target
    target_of: Callable[[str], Target]
    database: Database
    clock: Clock
    learn_forgotten: Callable[[], Awaitable[object]]
    begin_walk: Callable[[Order, RunUpstream, Cursor | None], Awaitable[Walk]]
    require_ready: Callable[[], Awaitable[None]]
    max_records: int | None = None


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One run's walk through its stream; `result` and `reader` change from page to page."""

    route: Route
    run: Run
    order: Order
    upstream: RunUpstream
    result: Result
    plan: Plan
    walk: Walk
    turns: Turns
    reader: PageReader
