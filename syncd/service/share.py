"""The accounts of one worker among many: what the timetable does when shards come and go.

Decides nothing about shards: `scale.membership` does.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final, Protocol

from syncd import status
from syncd.clock import utc_now
from syncd.config import Config
from syncd.engine.pace import Paces
from syncd.errors import DatabaseUnavailable, SyncdError, WorkerLost
from syncd.log import counters
from syncd.records.rows import Key
from syncd.scale.membership import Hint, Household, Membership
from syncd.service.process import memory
from syncd.service.timetable import Histories, Timetable, wanted_of
from syncd.status import Pair
from syncd.storage.postgres.database import Database

ACCOUNTS_AT_ONCE: Final = 500
"""Accounts whose histories are read at once: of 17,000 they take as much memory as a fifth of the program."""
ELSEWHERE: Final = "passed on"
"""What becomes of a callback whose account another worker has."""


class Serving(Protocol):
    """What the service does for its share."""

    async def protect(self, config: Config) -> None:
        """Let the log mask the secrets of these accounts."""

    async def reload(self) -> SyncdError | None:
        """Read the configuration again; return why it was refused."""

    def differ(self, names: Sequence[str]) -> None:
        """Show whose configuration has differed from most for over a minute; nobody's: all agree again."""

    def away(self, error: DatabaseUnavailable) -> None:
        """Hold runs back until the database is there again."""

    def forfeit(self, error: WorkerLost) -> None:
        """End this life at once."""


class Share:
    """The accounts that this worker runs, from `join` to `leave`, or to `abandon` if it was declared lost."""

    def __init__(
        self,
        database: Database,
        life: Serving,
        *,
        config: Callable[[], Config],
        address: Callable[[], str | None],
        drain_s: float,
    ) -> None:
        self._database, self._life, self._config = database, life, config
        self._drain_s = drain_s
        self._timetable: Timetable | None = None
        household = Household(
            adopt=self._adopt, drop=self._drop, forfeit=self._forfeit, reload=self._reload, hear=self._hear,
            run_now=self._run_now, differ=life.differ, away=life.away, lost=life.forfeit,
        )  # fmt: skip
        self._membership = Membership(database, household, config=config, address=address)
        self.join = self._membership.join
        self.holds = self._membership.holds
        self.accounts = self._membership.accounts
        self.leave = self._membership.leave
        self.abandon = self._membership.abandon

    def begin(self, timetable: Timetable) -> None:
        """Take shards from now on, after `join`."""
        self._timetable = timetable
        self._membership.begin()

    @property
    def leads(self) -> bool:
        """Whether this worker does what one does for all."""
        return self._membership.leads

    @property
    def shards(self) -> frozenset[int]:
        """The shards whose accounts this worker runs."""
        return frozenset(self._membership.running)

    async def line(self) -> str:
        """Return in one line what this worker has."""
        held, crew = len(self._membership.running), [one for one in self._membership.crew if one.is_alive]
        return f"{held} of {self._membership.shards} shards, one of {len(crew)} workers"

    def pass_on(self, pair: Pair, key: Key | None) -> str:
        """Let the worker that has the account know of a callback; return in words what becomes of it."""
        self._membership.pass_on((*pair, key))
        return ELSEWHERE

    def ask_to_run(self, pair: Pair) -> None:
        """Let the worker that has the account run a stream now."""
        self._membership.ask_to_run(*pair)

    # --- What the membership asks for

    async def _adopt(self, shards: Collection[int]) -> None:
        """Run the accounts of these shards; the timetable leaves out those that were taken away meanwhile."""
        names = self._membership.accounts(shards)
        every, histories, paces, taken = self._config(), Histories(), dict[str, Paces](), list[str]()
        for at in range(0, len(names), ACCOUNTS_AT_ONCE):
            some = [name for name in names[at : at + ACCOUNTS_AT_ONCE] if self._membership.holds(name)]
            if not some:  # workers that joined meanwhile have these
                continue
            mine = replace(every, sources={name: every.sources[name] for name in some})
            await self._life.protect(mine)
            histories.add(await status.histories(self._database, list(wanted_of(mine))))
            paces.update(await status.read_paces(self._database, mine, now=utc_now()))
            taken += some
        await self._planned().adopt(taken, histories, paces)
        if len(names) > ACCOUNTS_AT_ONCE:
            await asyncio.to_thread(memory.give_back)

    async def _drop(self, shard: int) -> None:
        await self._end({shard}, self._drain_s)

    async def _forfeit(self, shards: Collection[int]) -> None:
        await self._end(shards, 0.0)

    async def _end(self, shards: Collection[int], grace_s: float) -> None:
        accounts = frozenset(self._membership.accounts(shards))
        await self._planned().drop(accounts, grace_s=grace_s)
        counters.forget(accounts)

    async def _reload(self) -> str | None:
        error = await self._life.reload()
        return str(error) if error else None

    def _hear(self, hint: Hint) -> None:
        source, stream, key = hint
        self._planned().hear((source, stream), key)

    def _run_now(self, source: str, stream: str) -> None:
        self._planned().run_now([(source, stream)])

    def _planned(self) -> Timetable:
        if self._timetable is None:
            raise AssertionError("a worker takes shards once it has a timetable")
        return self._timetable
