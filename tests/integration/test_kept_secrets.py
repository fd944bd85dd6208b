"""Refresh tokens that are replaced each time they are used, with the login that the guide shows."""

import asyncio
import json as jsons
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from syncd import log
from syncd.clock import Sleep
from syncd.config import DatabaseConfig, Secret
from syncd.contract import Answer
from syncd.contract.errors import BadCredentials
from syncd.errors import DatabaseError
from syncd.storage.postgres import database
from syncd.storage.postgres.database import Database
from syncd.upstream.session import Session
from syncd.upstream.vault import STORE_TRIES, Vault
from tests.support.bench import Bench
from tests.support.search import trial

GUIDE = Path(__file__).parents[2] / "docs" / "add-an-api.md"
FIRST = "first-refresh-token-0000"


def login_of_the_guide(first: str) -> Any:
    """Make the class `Login` as the guide shows it."""
    [code] = [
        block for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL) if "keeper_of" in block
    ]
    names: dict[str, Any] = {}
    exec(compile(code, str(GUIDE), "exec"), names)  # noqa: S102  our own page
    return names["Login"]({"client_id": "app", "refresh_token": Secret(first)})


@dataclass
class Vendor:
    """Gives a new refresh token for each; one that is used twice ends the chain, unless there is a time of grace."""

    bench: Bench
    has_grace: bool = False
    current: str = FIRST
    used: dict[str, str] = field(default_factory=dict)
    refused: int = 0
    asked: int = 0
    at_once: int = 0
    most_at_once: int = 0

    async def send(self, method: str, path: str, *, headers: Mapping[str, str] = {}, json: Any = None) -> Answer:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        token = json["refresh_token"]
        self.at_once -= 1
        if token == self.current:
            self.current = self.used[token] = f"rotated-refresh-token-{len(self.used) + 1:04}"
        elif not (self.has_grace and self.used.get(token) == self.current):
            self.refused += 1
            raise BadCredentials("invalid_grant", status=400)
        body = {"access_token": f"access-token-{self.asked:04}", "refresh_token": self.current}
        now = self.bench.time.now()
        return Answer(status=200, headers={}, body=jsons.dumps(body).encode(), sent_at=now, served_at=now)

    async def send_and_die(self, *words: Any, **more: Any) -> Answer:
        await self.send(*words, **more)
        raise RuntimeError("the process dies before it has read the answer")

    def process(self, opened: Database, *, first: str = FIRST, sleep: Sleep | None = None) -> Session:
        """Return the session of a process that was just started."""
        vault = Vault(opened, "web", clock=self.bench.time.now, sleep=sleep or self.bench.time.sleep)
        return Session(login_of_the_guide(first), self.bench.time.now, vault)


async def sign(session: Session, vendor: Vendor, *, dies: bool = False) -> str:
    headers, _ = await session.signed(vendor.send_and_die if dies else vendor.send, lambda _text: None)
    return headers["Authorization"]


@pytest.fixture
async def other(bench: Bench) -> AsyncIterator[Database]:
    """The database as another process has it."""
    opened = await database.connect(DatabaseConfig(url=Secret(bench.db_url), data_dir=bench.folder))
    yield opened
    await opened.close()


@trial
async def test_a_chain_of_tokens_survives_restarts_and_is_shared_by_processes(bench: Bench, other: Database) -> None:
    vendor = Vendor(bench)
    for _ in range(2):
        assert (await sign(vendor.process(bench.db), vendor)).startswith("Bearer access-token-")

    async def sleep(_seconds: float) -> None:
        await asyncio.sleep(0.05)

    sessions = [vendor.process(opened, sleep=sleep) for opened in (bench.db, other, bench.db, other)]
    for _ in range(2):
        await asyncio.gather(*(sign(session, vendor) for session in sessions))
        bench.time.pass_by(minutes=30)  # all their access tokens are due
    assert (vendor.refused, vendor.most_at_once, len(vendor.used)) == (0, 1, 2 + 2 * len(sessions))
    [row] = await bench.fetch("SELECT * FROM syncd.kept_secrets")
    assert row["source"] == "web"
    assert vendor.current.encode()[:12] not in row["sealed"]
    signed = await sign(sessions[0], vendor)
    assert log.mask(f"{vendor.current} came with {signed}") == "*** came with ***"

    vendor.current = again = "second-consent-refresh-token"
    assert await sign(vendor.process(other, first=again), vendor)
    assert await sign(vendor.process(bench.db, first=again), vendor)
    assert vendor.refused == 0, "what was kept for the old configuration was sent"


@pytest.mark.parametrize("has_grace", [True, False])
async def test_a_crash_before_the_successor_is_kept_sends_the_old_token_once_more(
    bench: Bench, has_grace: bool
) -> None:
    vendor = Vendor(bench, has_grace=has_grace)
    assert await sign(vendor.process(bench.db), vendor)
    with pytest.raises(RuntimeError, match="dies"):
        await sign(vendor.process(bench.db), vendor, dies=True)
    if has_grace:
        assert await sign(vendor.process(bench.db), vendor)
        assert await sign(vendor.process(bench.db), vendor)
        return
    with pytest.raises(BadCredentials, match="invalid_grant"):
        await sign(vendor.process(bench.db), vendor)


async def test_no_token_is_sent_whose_successor_could_not_be_stored(bench: Bench) -> None:
    vendor, session = Vendor(bench), None
    async with bench.db.connection() as conn:
        await conn.execute("ALTER TABLE syncd.kept_secrets RENAME TO away")
    session = vendor.process(bench.db)
    with pytest.raises(DatabaseError):
        await sign(session, vendor)
    assert vendor.asked == 0
    async with bench.db.connection() as conn:
        await conn.execute("ALTER TABLE syncd.away RENAME TO kept_secrets")
    assert await sign(session, vendor)


async def test_a_process_remembers_what_it_could_not_store(bench: Bench) -> None:
    vendor = Vendor(bench)

    async def send(*words: Any, **more: Any) -> Answer:
        answer = await vendor.send(*words, **more)
        async with bench.db.connection() as conn:
            await conn.execute("ALTER TABLE syncd.kept_secrets RENAME TO away")
        return answer

    session, before = vendor.process(bench.db), bench.time.now()
    with pytest.raises(DatabaseError):
        await session.signed(send, lambda _text: None)
    assert (bench.time.now() - before).total_seconds() >= STORE_TRIES, "it was tried again after a while"
    async with bench.db.connection() as conn:
        await conn.execute("ALTER TABLE syncd.away RENAME TO kept_secrets")
    assert await sign(session, vendor)
    assert await sign(vendor.process(bench.db), vendor), "it is stored now"
    assert vendor.refused == 0
