"""The numbers of the metrics are those of a whole status, look after look, whatever happened between."""

from datetime import datetime
from typing import Any, Final

from syncd.status import Measure, Status, is_sweep_failing, is_sweep_refused
from syncd.storage.state import operators
from tests.support.bench import Bench
from tests.support.past_runs import add_run
from tests.support.site import reader_of

WELL: Final = ("shop.customers", "shop.stores", "lease.orders", "parts.orders")


def expected(whole: Status) -> list[Measure]:
    def seconds(at: datetime | None) -> float | None:
        return at.timestamp() if at else None

    return [
        Measure(
            source=one.source,
            stream=one.stream,
            state=one.state,
            ok_at=seconds(one.last_ok_at),
            next_at=seconds(one.next_run_at),
            swept_at=seconds(one.swept_at),
            is_sweep_refused=is_sweep_refused(one),
            is_sweep_failing=is_sweep_failing(one),
            rejects=one.rejects,
            drift=one.drift_count,
            rows=one.rows,
        )
        for one in whole.streams
    ]


async def test_the_numbers_are_those_of_a_whole_status_look_after_look(bench: Bench) -> None:
    told, seen = reader_of(bench), set[str]()

    async def agree(*, after_s: float = 1.0) -> None:
        bench.time.pass_by(seconds=after_s)
        told.clear_status()  # what a look has found stays known
        measures, whole = await told.measures(), await reader_of(bench).status()
        counts = after_s > 60  # else they may be those of the look before
        assert [one if counts else one._replace(rows=None) for one in measures.streams] == [
            one if counts else one._replace(rows=None) for one in expected(whole)
        ]
        assert measures.budgets == [(one.source, one.budget) for one in whole.sources if one.budget]
        assert (measures.status.summary, measures.status.notices) == (whole.summary, whole.notices)
        assert any(one.rejects for one in measures.streams)
        assert any(one.drift for one in measures.streams)
        seen.update(one.state for one in whole.streams)

    for odd in ("missing-key", "unknown-field"):
        bench.sandbox.faults.add(odd, api="cyclesoftware", stream="customers", times=1)
    for selector in WELL:
        assert (await bench.sync(selector)).outcome == "ok"
    assert (await bench.sync("lease.orders", kind="sweep")).outcome == "ok"
    bench.sandbox.faults.add("empty-list", api="cyclesoftware", stream="customers")
    await bench.sync("shop.customers", kind="sweep")
    bench.sandbox.faults.clear()
    await agree()
    failed: dict[str, Any] = {"error": "503", "error_kind": "ServerError", "finished_at": bench.time.now()}
    await add_run(bench, "parts.orders", "failed", kind="sweep", **failed)
    await add_run(bench, "cars.vehicles", "running")  # nobody holds its lock: its process ended without a word
    await add_run(bench, "lease.orders", "failed", **failed)
    await bench.fetch("DELETE FROM cyclesoftware.stores WHERE ctid IN (SELECT ctid FROM cyclesoftware.stores LIMIT 1)")
    await agree()
    async with bench.db.transaction() as conn:
        await operators.pause(conn, [("shop", "customers")], bench.time.now(), "ada")
    await agree()
    async with bench.db.transaction() as conn:
        await operators.resume(conn, [("shop", "customers")])
    await add_run(bench, "shop.customers", "ok", finished_at=bench.time.now())
    await agree()
    await bench.fetch("DELETE FROM syncd.runs WHERE source = 'cars'")  # by hand: nothing tells of it
    await agree(after_s=200.0)
    await agree(after_s=3 * 86_400.0)
    assert seen == {"fresh", "late", "failing", "paused", "never", "disabled", "off"}


async def test_what_was_measured_is_known_while_the_database_is_away(bench: Bench) -> None:
    assert (await bench.sync("shop.stores")).outcome == "ok"
    told = reader_of(bench)
    await told.measures()
    whole = await reader_of(bench).status()
    assert told.known is not None
    assert [(one.name, one.state) for one in told.known.streams] == [(one.name, one.state) for one in whole.streams]
