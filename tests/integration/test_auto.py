"""`every = "auto"` in a daemon: its runs decide when it runs next, and the status tells what is in force."""

from datetime import timedelta
from typing import Any

import pytest

from syncd.clock import utc_now
from syncd.config import Auto
from syncd.engine.pace import Look, Paces
from syncd.engine.schedule import History
from syncd.engine.syncer import Syncer
from syncd.service.timetable import Timetable
from syncd.sources import registry
from syncd.upstream.wire import http_session
from tests.support.bench import MakeBench
from tests.support.command import WallClock, syncd
from tests.support.daemon import load, until, write

AUTO = Auto(every_s=300.0, min_s=60.0, max_s=1_200.0)
EVERY = 'every = "auto"\nevery_min = "1m"\nevery_max = "20m"'


async def test_a_stream_that_changes_is_asked_sooner_than_one_that_does_not(make_bench: MakeBench) -> None:
    bench = await make_bench(time=WallClock(), customers=5)
    await bench.sync("shop.customers")
    await bench.sync("shop.stores")
    path = write(bench, {"shop.customers": EVERY, "shop.stores": EVERY})
    await bench.fetch("UPDATE syncd.runs SET started_at = started_at - interval '1 day 1 hour'")
    for stream, found in (("customers", 3), ("stores", 0)):
        await bench.fetch(
            "INSERT INTO syncd.runs (source, stream, kind, lane, started_at, finished_at, outcome, requests,"
            " rows_updated) SELECT 'shop', $1, 'live', 'live', at, at, 'ok', 1, $2"
            " FROM generate_series($3::timestamptz, $4, '5 minutes') AS at",
            stream, found, utc_now() - timedelta(hours=3), utc_now() - timedelta(minutes=4),
        )  # fmt: skip

    def schedules(status: Any) -> dict[str, str]:
        return {stream["stream"]: stream["schedule"] for stream in status["streams"] if stream["state"] != "disabled"}

    told = schedules((await syncd("status", "--json", "--config", path)).json)
    assert told["stores"].startswith("auto (60 s to 20 min), now every 20 min")
    assert told["customers"].startswith("auto (60 s to 20 min), now every ")
    assert "now every 20 min" not in told["customers"]
    shown = await syncd("status", "--config", path)
    assert "shop.stores runs at its own pace: auto (60 s to 20 min), now every 20 min" in shown.out


async def test_a_run_that_ends_well_sets_the_next_one_by_what_was_found(make_bench: MakeBench) -> None:
    bench = await make_bench(time=WallClock(), customers=5)
    settings = load(write(bench, {"shop.customers": EVERY, "shop.stores": EVERY}))
    paces, now = Paces(), utc_now()
    paces.plan((name, AUTO) for name in ("customers", "stores"))
    for back in range(36, 0, -1):
        at_s = (now - timedelta(minutes=5 * back)).timestamp()
        paces.look("customers", Look(at_s=at_s, found=3, requests=1))
        paces.look("stores", Look(at_s=at_s, found=0, requests=1))
    histories = {("shop", name): History(ok_at=now) for name in ("customers", "stores")}
    async with http_session() as http:
        syncer = Syncer(settings, registry(), bench.db, http)
        timetable = Timetable(syncer, histories, on_outage=lambda error: pytest.fail(str(error)), paces={"shop": paces})
        try:
            timetable.plan()
            for pair in histories:
                timetable.move(pair, utc_now())

            async def both_rest() -> dict[str, float]:
                rows = await bench.fetch("SELECT stream, started_at FROM syncd.runs WHERE outcome = 'ok'")
                due = timetable.next_runs()
                rests = {
                    row["stream"]: (due["shop", row["stream"]] - row["started_at"]).total_seconds() for row in rows
                }
                return rests if len(rests) == 2 and min(rests.values()) > 0 else {}

            rests = await until(both_rest)
        finally:
            await timetable.close(grace_s=5)
    assert 55 <= rests["customers"] < 600
    assert rests["stores"] > 600
