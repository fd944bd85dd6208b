"""The row of a run: a run that was declared dead meanwhile writes nothing more, and does not call itself ok."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from syncd.contract import Page, Walk
from syncd.engine.deletions import SweepRefused
from syncd.engine.order import Order
from syncd.engine.syncer import Syncer
from syncd.errors import RunFenced
from syncd.sources import registry
from syncd.storage.state import runs
from syncd.upstream.wire import http_session
from tests.support.bench import Bench


async def test_a_run_that_is_declared_dead_after_its_last_page_is_not_called_ok(bench: Bench) -> None:
    """The walk needs a moment to find out that no page follows; in this moment another process takes the stream."""
    committed = asyncio.Event()
    kinds = registry()
    stores = kinds["cyclesoftware"].stream("stores")

    async def ends_late(walk: Walk) -> AsyncIterator[Page]:
        async for page in stores.walk(walk):
            yield replace(page, scope=None, whole_walk=False)
        await committed.wait()
        await bench.db.unlock(runs.stream_lock("shop", "stores", "live"))  # as if its connection had been lost
        await runs.open_run(
            bench.db, "shop", "stores", kind="live", lane="live", cursor_kind="live", now=bench.time.now()
        )

    streams = tuple(
        replace(stream, walk=ends_late) if stream is stores else stream for stream in kinds["cyclesoftware"].streams
    )
    late = {**kinds, "cyclesoftware": replace(kinds["cyclesoftware"], streams=streams)}
    async with http_session() as http:
        syncer = Syncer(bench.config, late, bench.db, http, clock=bench.time.now, sleep=bench.time.sleep)
        with pytest.raises(RunFenced, match=r"^shop\.stores: run 1 was declared dead by another process"):
            await syncer.run("shop", "stores", Order(progress=lambda _result: committed.set()))
    rows = await bench.fetch("SELECT run_id, outcome, error_kind, pages FROM syncd.runs ORDER BY run_id")
    assert [tuple(row) for row in rows] == [(1, "aborted", "Killed", 1), (2, "running", None, 0)]
    assert await bench.rows("cyclesoftware.stores")


async def test_a_daemon_that_starts_declares_only_runs_dead_whose_lock_nobody_holds(bench: Bench) -> None:
    """A sweep by windows is charged to the backfill lane, but holds the lock of live runs."""
    now = bench.time.now()
    opened = {}
    for stream, kind in (("payments", "sweep"), ("payments", "backfill"), ("stores", "live")):
        opened[stream, kind] = await runs.open_run(
            bench.db,
            "shop",
            stream,
            kind=kind,
            lane="live" if kind == "live" else "backfill",
            cursor_kind=kind,
            now=now,
        )
    await bench.db.unlock(runs.stream_lock("shop", "stores", "live"))  # as if its process had died
    assert await runs.recover(bench.db, now=now) == 1
    found = await bench.fetch("SELECT stream, kind FROM syncd.runs WHERE outcome = 'running' ORDER BY run_id")
    assert [tuple(row) for row in found] == [("payments", "sweep"), ("payments", "backfill")]


async def test_any_number_of_dead_runs_is_closed_in_a_few_statements(bench: Bench) -> None:
    """Whoever steps in for a worker has a lease for all of it."""
    now, asked = bench.time.now(), list[str]()
    await bench.fetch(
        "INSERT INTO syncd.runs (source, stream, kind, lane, started_at, outcome)"
        " SELECT 'shop' || n, 'orders', kind, 'live', $1, 'running'"
        " FROM generate_series(1, 50) n, unnest(ARRAY['live', 'sweep']) kind",
        now,
    )
    assert await bench.db.try_lock(runs.stream_lock("shop7", "orders", "live"))  # somebody is at it
    async with bench.db.connection() as one, bench.db.connection() as other:
        for conn in (one, other):
            conn.add_query_logger(lambda query: asked.append(query.query))
    assert await runs.recover(bench.db, now=now, of=[f"shop{number}" for number in range(1, 41)]) == 78
    assert 3 <= len(asked) < 10, asked
    left = await bench.fetch("SELECT DISTINCT source FROM syncd.runs WHERE outcome = 'running' ORDER BY source")
    assert {row["source"] for row in left} == {"shop7", *(f"shop{number}" for number in range(41, 51))}
    assert await bench.db.try_lock(runs.stream_lock("shop8", "orders", "live")), "its lock was given back"


async def test_the_run_after_a_refused_listing_lists_everything_anew(bench: Bench) -> None:
    """Its last page would be all that a resumed run asks for, and its first page would be missing for ever."""
    kinds = registry()
    stores = kinds["cyclesoftware"].stream("stores")
    resumed: list[bool] = []
    lost = False

    async def in_two_pages(walk: Walk) -> AsyncIterator[Page]:
        resumed.append(bool(walk.cursor and "pass" in walk.cursor))
        async for page in stores.walk(walk):
            head, rest = page.records[:1], page.records[1:]
            if not resumed[-1]:
                first = replace(page, records=[] if lost else head, keys=None, scope=None, whole_walk=False)
                yield replace(first, cursor={"pass": {"page": 1}})
            yield replace(page, records=rest, keys=None, doubt="its first page was empty" if lost else None)

    streams = tuple(
        replace(stream, walk=in_two_pages) if stream is stores else stream for stream in kinds["cyclesoftware"].streams
    )
    paged = {**kinds, "cyclesoftware": replace(kinds["cyclesoftware"], streams=streams)}
    async with http_session() as http:
        syncer = Syncer(bench.config, paged, bench.db, http, clock=bench.time.now, sleep=bench.time.sleep)
        assert (await syncer.run("shop", "stores", Order())).outcome == "ok"
        rows = await bench.rows("cyclesoftware.stores")
        assert len(rows) > 1
        lost = True
        bench.time.pass_by(hours=1)
        refused = await syncer.run("shop", "stores", Order())
        assert (refused.outcome, type(refused.error)) == ("failed", SweepRefused)
        lost = False
        bench.time.pass_by(hours=1)
        assert (await syncer.run("shop", "stores", Order())).outcome == "ok"
    assert resumed == [False, False, False]
    assert await bench.rows("cyclesoftware.stores") == rows


_READ = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'syncd.runs'::regclass"


async def test_what_opening_a_run_reads_does_not_grow_with_the_runs_that_are_kept(bench: Bench) -> None:
    await bench.fetch(
        "INSERT INTO syncd.runs (source, stream, kind, lane, started_at, outcome)"
        " SELECT 'shop', 'stores', 'live', 'live', now() - n * interval '1 min', 'ok' FROM generate_series(1, 3000) n"
    )
    await bench.fetch("ANALYZE syncd.runs")
    async with bench.db.transaction() as conn:
        before = await conn.fetchval(_READ) or 0
        opened = await conn.fetchrow(
            "SELECT * FROM syncd.open_run(1, 'shop', 'stores', 'live', 'live', 'live', now(), 'here', 1)"
        )
        assert (opened["taken"], opened["dead"]) == (True, 0)
        assert await conn.fetchval(_READ) - before <= 1
        again = await conn.fetchval(
            "SELECT dead FROM syncd.open_run(1, 'shop', 'stores', 'live', 'live', 'live', now(), 'here', 1)"
        )
        assert again == 1  # and it finds those under way
        await conn.execute("SELECT pg_advisory_unlock_all()")
