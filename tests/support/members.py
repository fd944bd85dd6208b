"""Members without processes: memberships that share one loop, each with a household that notes what it is asked for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from functools import partial
from typing import Any

from syncd.config import Config
from syncd.scale.membership import Household, Membership
from syncd.storage.postgres.database import Database


class Recording:
    """A household that notes what it is asked for; what it begins ends once `may_end` is set, as it is at first."""

    def __init__(self, database: Database, config: Config) -> None:
        self.said: list[tuple[str, Any]] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.database = database
        self.config = config
        household = Household(
            adopt=self.adopt, drop=self.drop, forfeit=self.forfeit, reload=self.reload,
            hear=partial(self.note, "hear"), run_now=lambda *pair: self.note("run_now", pair),
            differ=partial(self.note, "differ"), away=partial(self.note, "away"),
            lost=partial(self.note, "lost"),
        )  # fmt: skip
        self.membership = Membership(database, household, config=lambda: self.config, address=lambda: None)

    def note(self, what: str, value: Any) -> None:
        self.said.append((what, value))

    def of(self, what: str) -> list[Any]:
        return [value for said, value in self.said if said == what]

    async def adopt(self, shards: Collection[int]) -> None:
        self.note("adopt", set(shards))
        await self.may_end.wait()

    async def drop(self, shard: int) -> None:
        self.note("drop", shard)

    async def forfeit(self, shards: Collection[int]) -> None:
        self.note("forfeit", set(shards))

    async def reload(self) -> str | None:
        self.note("reload", None)
        await self.may_end.wait()
        return "it is wrong"


@contextlib.asynccontextmanager
async def member(db_url: str, config: Config) -> AsyncIterator[Recording]:
    database = Database(db_url, "here", pool_size=2)
    recording = Recording(database, config)
    await recording.membership.join()
    recording.membership.begin()
    try:
        yield recording
    finally:
        await (recording.membership.abandon() if recording.of("lost") else recording.membership.leave())
        await database.close()
