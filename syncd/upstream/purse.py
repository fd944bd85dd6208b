"""The budget of one account, kept in PostgreSQL for all processes: charges each try, learns from each answer.

The package `budget` decides; this module stores. Each source has one JSON state in `syncd.budgets`. It is written only
if its version is still the one that was read.
"""

import asyncio
from datetime import UTC, datetime
from weakref import WeakValueDictionary

import msgspec

from syncd.clock import Clock, Sleep
from syncd.config import BudgetConfig
from syncd.config.duration import spoken
from syncd.contract import Lane
from syncd.errors import Throttled
from syncd.storage.postgres.database import Database
from syncd.upstream import budget

_SAVE_BUDGET = """
UPDATE syncd.budgets SET version = version + 1, state = $3, minute_limit = $4, minute_remaining = $5, day_limit = $6,
  day_remaining = $7, day_reset_at = $8, closed_until = $9, day_used_live = $10, day_used_backfill = $11,
  updated_at = $12
WHERE source = $1 AND version = $2
"""


class Charge(msgspec.Struct, frozen=True):
    """One request charged: when it began to wait, and the instant under which it is counted, in epoch seconds."""

    asked_at: float
    at: float


class Purse:
    """One source's budget as this process sees it; Postgres holds the truth that all processes share.

    A request is charged by one UPDATE that succeeds only if no other process wrote meanwhile. What responses say is
    merged into the state and stored with the next charge; a 429 is stored at once. The requests of a lane for one
    endpoint wait in line: only the first one asks the budget. So a closed endpoint holds up no other.
    """

    def __init__(
        self, database: Database, source: str, limits: BudgetConfig, *, zone: str, clock: Clock, sleep: Sleep
    ) -> None:
        self._database = database
        self._source = source
        self.policy = budget.Policy(
            per_minute=limits.per_minute,
            per_day=limits.per_day,
            live_reserve=limits.live_reserve,
            backfill_minute_share=limits.backfill_share,
            day_zone=zone,
        )
        self._clock = clock
        self._sleep = sleep
        self._state: budget.State | None = None
        self._version = 0
        self._gate = asyncio.Lock()
        self._lines: WeakValueDictionary[tuple[Lane, str], asyncio.Lock] = WeakValueDictionary()
        self._unsaved: list[budget.Observation] = []
        self.opens_at: float | None = None
        """When the budget opens that a request is waiting for (epoch seconds); None while none waits."""

    async def charge(
        self, lane: Lane, *, patience_s: float, endpoint: str = "", slot: asyncio.Semaphore | None = None
    ) -> Charge:
        """Charge one request to an endpoint, waiting until the budget allows it.

        A `slot` is taken before the budget is asked, given back while the request waits, and held on return.
        Raises Throttled if it would have to wait for longer than `patience_s` in one go.
        """
        asked_at = self._clock().timestamp()
        line = self._lines.setdefault((lane, endpoint), asyncio.Lock())
        async with line:
            while True:
                wait, charged_at = await self._try_charge_in(slot, lane, endpoint)
                if wait is None:
                    return Charge(asked_at, charged_at)
                delay = max(0.01, wait.until - self._clock().timestamp())
                if delay > patience_s:
                    raise Throttled(
                        f"{self._source}: the budget is spent ({wait.reason}) for {spoken(delay)} more",
                        hint=f"It opens at {datetime.fromtimestamp(wait.until, UTC):%Y-%m-%d %H:%M:%S} UTC.",
                        retry_after_s=delay,
                    )
                self.opens_at = wait.until
                try:
                    await self._sleep(min(delay, budget.RECHECK_S))
                finally:
                    self.opens_at = None

    async def _try_charge_in(
        self, slot: asyncio.Semaphore | None, lane: Lane, endpoint: str
    ) -> tuple[budget.Wait | None, float]:
        """Charge as `_try_charge` does, in a slot that is kept only if the request was charged."""
        if slot is None:
            return await self._try_charge(lane, endpoint)
        await slot.acquire()
        is_charged = False
        try:
            wait, charged_at = await self._try_charge(lane, endpoint)
            is_charged = wait is None
            return wait, charged_at
        finally:
            if not is_charged:
                slot.release()

    async def _try_charge(self, lane: Lane, endpoint: str) -> tuple[budget.Wait | None, float]:
        """Charge by what this process knows; before it is told to wait, the stored state is read again."""
        async with self._gate:
            known = self._state
            while True:
                state, heeded, now = await self._heeded()
                state, wait = budget.acquire(state, self.policy, now, lane, endpoint)
                if wait is not None and known is not None:
                    self._state = known = None  # another process may have opened it
                elif await self._save(state, heeded, now):
                    return wait, now

    async def observe(self, observation: budget.Observation) -> None:
        """Take in what a response says of the budget; other processes learn of a closed or opened window at once."""
        self._unsaved.append(observation)
        if observation.status == 429 or (self._state and budget.is_struck(self._state)):
            await self.flush(always=True)

    async def flush(self, *, always: bool = False) -> None:
        """Store what responses said since the last charge; unless `always`, only if the summary changes by it.

        What is not stored now is stored with the next charge.
        """
        async with self._gate:
            while self._unsaved:
                state, heeded, now = await self._heeded()
                known = self._state or state
                if not always and budget.summary(state, self.policy, now) == budget.summary(known, self.policy, now):
                    return
                await self._save(state, heeded, now)

    async def _heeded(self) -> tuple[budget.State, int, float]:
        """Return the state with what responses said merged in, how many of them, and the instant of it."""
        state, heeded, now = await self._loaded(), len(self._unsaved), self._clock().timestamp()
        for observation in self._unsaved[:heeded]:
            state = budget.observe(state, self.policy, observation, now)
        return state, heeded, now

    async def _loaded(self) -> budget.State:
        if self._state is None:
            async with self._database.connection() as conn:
                row = await conn.fetchrow("SELECT version, state FROM syncd.budgets WHERE source = $1", self._source)
                if row is None:
                    await conn.execute(
                        "INSERT INTO syncd.budgets (source, version, state, updated_at) VALUES ($1, 0, '{}', $2)"
                        " ON CONFLICT DO NOTHING",
                        self._source, self._clock(),
                    )  # fmt: skip
            self._version, text = (row["version"], row["state"]) if row else (0, "{}")
            self._state = budget.decode(text)
        return self._state

    async def _save(self, state: budget.State, heeded: int, now: float) -> bool:
        """Write the state unless somebody else wrote since it was read; then forget what was read."""
        if state is self._state:
            return True
        view = budget.summary(state, self.policy, now)
        async with self._database.connection() as conn:
            status = await conn.execute(
                _SAVE_BUDGET, self._source, self._version, budget.encode(state), view.minute_limit,
                view.minute_remaining, view.day_limit, view.day_remaining, _instant(view.day_reset_at),
                _instant(view.closed_until), view.day_used_live, view.day_used_backfill, _instant(now),
            )  # fmt: skip
        if status != "UPDATE 1":
            self._state = None
            return False
        self._state, self._version = state, self._version + 1
        del self._unsaved[:heeded]
        return True

    def has_room(self, lane: Lane) -> bool:
        """Say whether a lane may send a request that could be in vain, as far as this process knows the budget."""
        return self._state is None or budget.has_room(self._state, self.policy, self._clock().timestamp(), lane)

    async def forecast(self, requests: int, lane: Lane) -> budget.Forecast:
        """Estimate what so many requests will take."""
        async with self._gate:
            self._state = None
            return budget.forecast(await self._loaded(), self.policy, self._clock().timestamp(), requests, lane)


def _instant(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)
