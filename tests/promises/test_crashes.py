"""What is left after a kill -9 at every point of a run, after the database died under one, or its disk was full."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import asyncpg
import msgspec
import pytest

from syncd import config as configuration
from syncd.engine.order import Order
from syncd.errors import DatabaseError
from syncd.storage.postgres import database, embedded, migrations
from syncd.storage.postgres.database import Database
from tests.support.bench import Bench, MakeBench, open_bench
from tests.support.crashes import CRASHES, Crash, RealTime, killed
from tests.support.crashing import POINTS
from tests.support.daemon import Events, Now, count, serving, until, was_told, write
from tests.support.forgetting import CANARIES, KEY, canary, leaks
from tests.support.search import sampled, trial
from tests.support.truth import NAMES, differences, told
from tests.support.watch import Watch

ROOT = Path(__file__).parents[2]
CUSTOMERS = 30
PAGE = 10
STREAM = "shop.customers"
WATCHED = ("cyclesoftware.customers", "cyclesoftware.customer_phone_numbers")


async def changed_world(make_bench: MakeBench) -> Bench:
    """Return a bench with a mirror of customers who have all changed since, and as many new ones, in that order.

    Its streams keep their history and tell of their changes.
    """
    bench = await make_bench(customers=CUSTOMERS, page_size=PAGE, time=RealTime(), keeps=True)
    assert (await bench.sync(STREAM)).outcome == "ok"
    world = bench.sandbox.world
    for key in list(world["cyclesoftware", "customers"].keys()):
        customer = world.get("cyclesoftware", "customers", key)
        customer["street"] += " (nieuw)"
        customer["phone_numbers"][0]["phone_number"] += "9"
        bench.sandbox.put("cyclesoftware", "customers", customer)
    for _ in range(CUSTOMERS):
        bench.sandbox.put("cyclesoftware", "customers", world.fresh("cyclesoftware", "customers"))
    return bench


async def committed(bench: Bench) -> int:
    """Return how many customers of the list, from its start, the mirror shows as they are now.

    Fails if that is no start of the list, or if a customer and its phone numbers do not belong together.
    """
    found = await differences(bench, STREAM, shown=10_000)
    stale = {int(key) for key in re.findall(r"cyclesoftware\.customers \('(\d+)',\)", told(found))}
    numbers = {int(key) for key in re.findall(r"customer_phone_numbers \('(\d+)', ", told(found))}
    in_order = list(bench.sandbox.world["cyclesoftware", "customers"].keys())
    count = len(in_order) - len(stale)
    assert stale == set(in_order[count:]), "the pages committed are no start of the list"
    assert numbers == {key for key in stale if bench.sandbox.get("cyclesoftware", "customers", key)["phone_numbers"]}
    return count


async def runs(bench: Bench) -> list[asyncpg.Record]:
    return await bench.fetch("SELECT * FROM syncd.runs WHERE stream = 'customers' ORDER BY run_id")


@pytest.mark.parametrize("crash", sampled(CRASHES, every=2), ids=lambda crash: f"{crash.point} {crash.times}")
async def test_a_killed_run_leaves_whole_pages_and_the_next_one_goes_on(make_bench: MakeBench, crash: Crash) -> None:
    bench = await changed_world(make_bench)
    watch = Watch(bench.db, WATCHED)
    await watch.look()
    assert await killed(bench, crash.point, crash.times, "sync", STREAM) == -signal.SIGKILL

    count = await committed(bench)
    wrong = await watch.faults()
    assert not wrong, told(wrong)
    assert watch.versions >= min(count, CUSTOMERS), "a row that changed is parted from what it was"
    first, dead = await runs(bench)
    assert (first["outcome"], dead["outcome"]) == ("ok", "running")
    assert abs(dead["pages"] - crash.pages) <= 1, "it died somewhere else"
    assert count == (dead["pages"] * (PAGE - 1) + 1 if dead["pages"] else 0), "rows and the run's pages differ"
    cursor = msgspec.json.decode((await bench.fetch("SELECT cursor FROM syncd.cursors"))[0]["cursor"])
    assert cursor.get("pass", {"offset": 0})["offset"] == count, "the cursor is not where the rows are"
    assert dead["rows_updated"] + dead["rows_inserted"] == count

    result = await bench.sync(STREAM)
    assert result.outcome == "ok"
    _, dead, last = await runs(bench)
    assert (dead["outcome"], dead["error_kind"]) == ("aborted", "Killed")
    assert dead["finished_at"] is not None
    assert dead["rows_updated"] + dead["rows_inserted"] + last["rows_updated"] + last["rows_inserted"] == 2 * CUSTOMERS
    found = await differences(bench)
    assert [line for line in found if line.startswith("cyclesoftware.customer")] == [], told(found)
    assert len(await bench.rows("cyclesoftware.customers", "true")) == 2 * CUSTOMERS
    wrong = await watch.faults()
    assert not wrong, told(wrong)


ERASING = [
    *(pytest.param("while erasing", times, marks=() if times in (1, 12) else trial) for times in (1, 4, 8, 12, 16, 20)),
    ("before erasing is committed", 1),
]


@pytest.mark.parametrize(("point", "times"), ERASING)
async def test_a_person_is_forgotten_wholly_or_not_at_all(make_bench: MakeBench, point: str, times: int) -> None:
    bench = await make_bench(customers=12, time=RealTime(), keeps=True)
    for city in ("Hier", "Daar"):
        bench.sandbox.put("cyclesoftware", "customers", canary(bench) | {"city": city})
        assert (await bench.sync(STREAM)).outcome == "ok"
    told_of = sorted(await leaks(bench, *CANARIES, KEY))
    assert len(told_of) == len(CANARIES) + 1
    assert await killed(bench, point, times, "forget", "shop", str(KEY), "--yes") == -signal.SIGKILL
    assert sorted(await leaks(bench, *CANARIES, KEY)) == told_of
    assert await bench.fetch("SELECT FROM syncd.forgotten") == []
    assert (await bench.sync(STREAM, "sweep")).outcome == "ok"

    assert await killed(bench, point, 10_000, "forget", "shop", str(KEY), "--yes") == 0
    assert await leaks(bench, *CANARIES, KEY) == []
    bench.sandbox.put("cyclesoftware", "customers", canary(bench) | {"city": "Ergens"})
    assert await killed(bench, "before the commit", 1, "sync", STREAM) == -signal.SIGKILL
    assert (await bench.sync(STREAM, "sweep")).outcome == "ok"
    assert await leaks(bench, *CANARIES, KEY) == []


def test_every_point_of_the_driver_is_used() -> None:
    erasing = {point for point in POINTS if "erasing" in point}
    assert {crash.point for crash in CRASHES} | {"SIGTERM"} == set(POINTS) - erasing
    assert len(erasing) == 2
    assert len({crash.point for crash in CRASHES}) == 8


async def test_sigterm_ends_a_command_at_a_page_boundary(make_bench: MakeBench) -> None:
    bench = await changed_world(make_bench)
    assert await killed(bench, "SIGTERM", 2, "sync", STREAM) == 1
    run = (await runs(bench))[-1]
    assert run["outcome"] == "aborted"
    assert run["pages"] in (2, 3), "the page under way may still be committed"
    assert "page boundary" in run["error"]
    assert await committed(bench) == run["pages"] * (PAGE - 1) + 1
    assert (await bench.sync(STREAM)).outcome == "ok"
    assert await committed(bench) == 2 * CUSTOMERS


async def test_a_first_load_that_is_killed_again_and_again_comes_to_its_end(make_bench: MakeBench) -> None:
    bench = await make_bench(customers=60, page_size=PAGE, time=RealTime())
    before = 0
    for _ in range(3):
        assert await killed(bench, "after the commit", 2, "sync", STREAM) == -signal.SIGKILL
        count = await committed(bench)
        assert count > before, "it does not get on"
        before = count
    assert (await bench.sync(STREAM)).outcome == "ok"
    assert await committed(bench) == 60
    outcomes = [run["outcome"] for run in await runs(bench)]
    assert outcomes == ["aborted", "aborted", "aborted", "ok"]


@pytest.mark.parametrize(
    "selector",
    sampled(
        ["shop.customers", "shop.sales_orders", "cars.vehicles", "cars.models", "cars.contacts", "parts.products"],
        every=2,
    ),
)
async def test_what_changes_behind_a_resume_point_is_seen_by_the_run_that_goes_on_there(
    make_bench: MakeBench, selector: str
) -> None:
    bench = await make_bench(
        customers=30, sales_orders=30, vehicles=30, products=12, page_size=5, lines={"autengo": "limit = 5"}
    )
    source, _, stream = selector.partition(".")
    api, world = NAMES[source], bench.sandbox.world
    for name in (f"{source}.makes", selector) if stream == "models" else (selector,):
        assert (await bench.sync(name)).outcome == "ok"
    keys = list(world[api, stream].keys())
    for key in keys:
        bench.time.pass_by(seconds=1)
        world.change(api, stream, key)
    bench.time.pass_by(minutes=1)
    order = Order()
    order.progress = lambda result: order.stop.set() if result.pages == 2 else None
    assert (await bench.syncer.run(source, stream, order)).outcome == "aborted"
    bench.time.pass_by(minutes=1)
    for key in keys:  # as a transaction commits them that began before the run that was stopped
        world.change(api, stream, key, modified_at=bench.time.now() - timedelta(minutes=2, seconds=40))
    if stream == "models":
        bench.sandbox.delete(api, stream, keys[0])

    assert (await bench.sync(selector)).outcome == "ok"
    found = await differences(bench, selector)
    assert not found, told(found)


# --- The database dies ------------------------------------------------------------------------------------------------


@dataclass
class OwnServer:
    """A server that a test may kill, and its folder, which may be a small disk of its own."""

    db: Database
    folder: Path
    settings: configuration.DatabaseConfig
    is_small_disk: bool


@pytest.fixture(scope="module")
async def own_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OwnServer]:
    folder = tmp_path_factory.mktemp("own")
    mount = shutil.which("mount")
    mounted = bool(mount) and os.geteuid() == 0
    if mounted:
        done = await asyncio.create_subprocess_exec(
            str(mount), "-t", "tmpfs", "-o", "size=160m,mode=755", "tmpfs", str(folder), stderr=subprocess.DEVNULL
        )
        mounted = await done.wait() == 0
    settings = configuration.DatabaseConfig(url=configuration.Secret("embedded"), data_dir=folder / "data")
    opened = await database.connect(settings)
    await migrations.migrate(opened)
    yield OwnServer(opened, folder, settings, mounted)
    await opened.close()
    await embedded.stop(settings.data_dir)
    if mounted:
        done = await asyncio.create_subprocess_exec("umount", "-l", str(folder))
        await done.wait()


@pytest.fixture
async def own_bench(own_server: OwnServer, tmp_path: Path) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        async with own_server.db.connection() as conn:
            await conn.execute(
                "TRUNCATE cyclesoftware.customers, cyclesoftware.customer_phone_numbers,"
                " history.cyclesoftware_customers, history.cyclesoftware_customer_phone_numbers,"
                " syncd.changes, syncd.runs, syncd.cursors, syncd.sources, syncd.budgets CASCADE"
            )
            await conn.execute("DELETE FROM syncd.losses")  # that truncation was ours
        yield await open_bench(stack, own_server.db, "embedded", tmp_path, customers=1500, page_size=200, keeps=True)


WAITS_FOR_ME = (
    "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
)
"""Whether any session waits for a lock that this one holds."""


@trial
@pytest.mark.parametrize("kind", ["live", "sweep"])
async def test_a_database_that_is_killed_under_a_run_costs_nothing(
    own_server: OwnServer, own_bench: Bench, kind: str
) -> None:
    bench = own_bench
    block = (
        "INSERT INTO cyclesoftware.customers (source, customer_id, _first_seen_at, _changed_at)"
        " VALUES ('shop', $1, now(), now())"
    )
    if kind == "sweep":
        assert (await bench.sync(STREAM)).outcome == "ok"
        bench.sandbox.delete("cyclesoftware", "customers", bench.sandbox.world["cyclesoftware", "customers"].keys()[7])
        for key in list(bench.sandbox.world["cyclesoftware", "customers"].keys())[::3]:
            bench.sandbox.world.change("cyclesoftware", "customers", key)
        bench.time.pass_by(days=1)
        block = "SELECT FROM cyclesoftware.customers WHERE source = 'shop' AND customer_id = $1 FOR UPDATE"
    pages: list[int] = []
    watch = Watch(bench.db, WATCHED)
    await watch.look()
    on_page_four = list(bench.sandbox.world["cyclesoftware", "customers"].keys())[702]
    order = Order(kind=kind, progress=lambda result: pages.append(result.pages))  # type: ignore[arg-type]

    async def cut_short() -> None:
        async with bench.db.transaction() as blocking:
            await blocking.execute(block, on_page_four)
            running = asyncio.ensure_future(bench.syncer.run("shop", "customers", order))
            async with asyncio.timeout(30):
                while not await blocking.fetchval(WAITS_FOR_ME):
                    assert not running.done()
            _kill(own_server)
            await running

    with pytest.raises(DatabaseError):
        await cut_short()
    assert pages == [1, 2, 3]

    result = await bench.sync(STREAM, kind)
    assert result.outcome == "ok"
    if kind == "live":
        assert result.pages < 8, "it went on, and did not begin anew"
    outcomes = [run["outcome"] for run in await runs(bench)]
    assert outcomes[-2:] == ["aborted", "ok"]
    found = await differences(bench, STREAM)
    assert not found, told(found)
    assert len(await bench.rows("cyclesoftware.customers")) == len(bench.sandbox.truth("cyclesoftware", "customers"))
    wrong = await watch.faults()
    assert not wrong, told(wrong)
    assert (watch.versions > 0) == (kind == "sweep")


def _kill(server: OwnServer) -> None:
    """Kill PostgreSQL, the processes that serve connections too: left alone they may still end what is under way."""
    pid = int(next(server.settings.data_dir.rglob("postmaster.pid")).read_text().split()[0])
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for process in (pid, *map(int, children)):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@trial
async def test_a_full_disk_ends_the_run_and_harms_nothing(own_server: OwnServer, own_bench: Bench) -> None:
    if not own_server.is_small_disk:
        pytest.skip("to fill a disk takes one of its own: mounting a tmpfs needs root")
    bench = own_bench
    ballast = own_server.folder / "ballast"
    free = shutil.disk_usage(own_server.folder).free
    ballast.write_bytes(bytes(free - 200_000))
    try:
        with pytest.raises(DatabaseError) as caught:
            await bench.sync(STREAM)
        assert "disk" in f"{caught.value} {caught.value.hint}".lower()
    finally:
        ballast.unlink()
    rows = {row["customer_id"] for row in await bench.rows("cyclesoftware.customers")}
    in_order = list(bench.sandbox.world["cyclesoftware", "customers"].keys())
    assert rows == set(in_order[: len(rows)])
    assert len(rows) < len(in_order), "the disk never was full"

    assert (await bench.sync(STREAM)).outcome == "ok"
    found = await differences(bench, STREAM)
    assert not found, told(found)


async def test_a_full_disk_is_one_outage_that_ends_when_a_write_succeeds(
    own_server: OwnServer, own_bench: Bench, tmp_path: Path, events: Events
) -> None:
    """The server answers all the while: every two seconds the outage was told to be over, and began again."""
    if not own_server.is_small_disk:
        pytest.skip("to fill a disk takes one of its own: mounting a tmpfs needs root")
    server = await embedded.ensure(own_server.settings.data_dir)
    own_bench.time = Now()
    path = write(own_bench, {"shop.customers": 'every = "1s"', "shop.stores": 'every = "1s"'}, url=server.url)
    ballast = own_server.folder / "ballast"
    looking = await asyncpg.connect(**server.connect_arguments)

    async def lost() -> bool:
        """Fill what the server frees by itself, too, and say whether the daemon has noticed."""
        with ballast.open("ab") as file:
            file.write(bytes(max(0, shutil.disk_usage(own_server.folder).free - 50_000)))
        return await was_told(events, "database_lost")

    try:
        async with serving(path):
            await until(lost, 30)
            seen: set[int] = set()

            async def looked() -> bool:
                """Whether the daemon has looked for it several times since, each time over a new connection."""
                seen.add(await looking.fetchval("SELECT sum(sessions) FROM pg_stat_database"))
                return len(seen) > 4

            await until(looked, 30)
            assert [event["event"] for event in events if event["event"].startswith("database_")] == ["database_lost"]
            ballast.unlink()
            await until(lambda: was_told(events, "database_recovered"), 60)
            await until(lambda: count(own_bench, "cyclesoftware.customers"), 30)
    finally:
        ballast.unlink(missing_ok=True)
        await looking.close()
    told_of = [event["event"] for event in events if event["event"].startswith("database_")]
    assert told_of == ["database_lost", "database_recovered"]
