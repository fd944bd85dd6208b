"""The example of a consumer in docs/consumer.py follows the change feed."""

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from syncd.storage.state import retention
from tests.support.bench import Bench, MakeBench
from tests.support.feed import CUSTOMERS, LONGEST_S, NUMBERS, SIZES, STREAM, first_customer, newest
from tests.support.search import trial

CONSUMER = Path(__file__).parents[2] / "docs" / "consumer.py"


class Follower:
    """docs/consumer.py in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> dict[str, Any]:
        assert self.process.stdout
        text = await asyncio.wait_for(self.process.stdout.readline(), LONGEST_S)
        assert text, "it has ended"
        return cast("dict[str, Any]", json.loads(text))

    async def until(self, last: int) -> list[dict[str, Any]]:
        """Return what it says up to the change of that number."""
        found = [await self.line()]
        while found[-1]["id"] < last:
            found.append(await self.line())
        return found

    async def killed(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def following(bench: Bench, place: Path, *tables: str, url: str | None = None) -> AsyncIterator[Follower]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CONSUMER), url or bench.db_url, str(place), *tables,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Follower(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@trial
async def test_the_example_follows_real_runs_over_its_own_death(make_bench: MakeBench, tmp_path: Path) -> None:
    bench = await make_bench(keeps=True, **SIZES)
    place = tmp_path / "place.txt"
    place.write_text("0")
    alive: dict[str, set[str]] = {CUSTOMERS: set(), NUMBERS: set()}

    def heed(changes: list[dict[str, Any]]) -> None:
        for change in changes:
            keys, key = alive[change["table"]], json.dumps(change["key"])
            (keys.discard if change["operation"] == "delete" else keys.add)(key)

    async with following(bench, place) as follower:
        await bench.sync(STREAM)
        heed(await follower.until(await newest(bench)))
        await follower.killed()
    bench.sandbox.delete("cyclesoftware", "customers", first_customer(bench)["customer_id"])
    bench.sandbox.evolve(80)
    bench.time.pass_by(days=8)
    await bench.sync(STREAM, "sweep", accept_deletions=True)
    missed = await newest(bench)
    async with following(bench, place) as follower:
        heed(await follower.until(missed))
        bench.sandbox.evolve(80)
        bench.time.pass_by(hours=1)
        await bench.sync(STREAM)
        assert await newest(bench) > missed
        heed(await follower.until(await newest(bench)))
    for table, keys in alive.items():
        rows = await bench.rows(table)
        names = ("customer_id",) if table == CUSTOMERS else ("customer_id", "phone_number_id")
        assert keys == {json.dumps({name: row[name] for name in names}) for row in rows}
        assert keys


async def test_the_example_begins_with_the_tables_and_says_when_it_must_begin_anew(
    make_bench: MakeBench, tmp_path: Path
) -> None:
    bench = await make_bench(keeps=True, **SIZES)
    await bench.sync(STREAM)
    place = tmp_path / "place.txt"
    async with following(bench, place) as follower:
        begun = [await follower.line(), await follower.line()]
        assert {line["table"]: line["rows"] for line in begun} == {
            table: len(await bench.rows(table)) for table in (CUSTOMERS, NUMBERS)
        }
        after = await newest(bench)
        await bench.sync("lease.companies")
        assert [change["table"] for change in await follower.until(await newest(bench))] == ["cyclis.companies"] * (
            await newest(bench) - after
        )
    bench.time.pass_by(days=31)
    place.write_text("1")
    await retention.prune(bench.db, {"changes": bench.time.now()})
    async with following(bench, place) as follower:
        _, said = await asyncio.wait_for(follower.process.communicate(), LONGEST_S)
        assert follower.process.returncode == 1
    assert b"no longer kept" in said
    assert f"remove {place} and start again" in said.decode()
    assert b"Traceback" not in said


async def test_the_example_begins_with_a_table_that_has_no_change_yet(make_bench: MakeBench, tmp_path: Path) -> None:
    bench = await make_bench(**SIZES)
    assert (await bench.sync("shop.customers")).outcome == "ok"
    assert await bench.fetch("SELECT 1 FROM syncd.changes") == []
    async with following(bench, tmp_path / "place.txt", CUSTOMERS) as follower:
        said = await follower.line()
    assert said["table"] == CUSTOMERS
    assert said["rows"] > 0


async def test_the_example_says_in_a_sentence_that_a_role_is_missing(make_bench: MakeBench, tmp_path: Path) -> None:
    bench = await make_bench(**SIZES)
    url = re.sub(r"(?<=//)[^/@]*@", "nobody_here@", bench.db_url)
    assert "nobody_here" in url
    async with following(bench, tmp_path / "place.txt", url=url) as follower:
        _, said = await asyncio.wait_for(follower.process.communicate(), LONGEST_S)
    assert b"Traceback" not in said
    assert b"the database refuses this" in said
