"""A refusal in the middle of lookups, through the real road of a run: sandbox, wire, purse, mirror.

Time is injected: a wait for the budget passes at once, and the clock tells how long it was.
"""

import pytest

from tests.support.bench import Bench, MakeBench
from tests.support.search import sampled

LOOKUPS = [("cyclesoftware", "shop.leads", 12), ("autengo", "cars.contacts", 60)]


async def looked_up(make_bench: MakeBench) -> Bench:
    return await make_bench(leads=24, contacts=120)


@pytest.mark.parametrize(("api", "selector", "least"), LOOKUPS)
@pytest.mark.parametrize("after", sampled([0, 5], every=2))
async def test_one_stray_429_among_lookups_costs_moments(
    make_bench: MakeBench, api: str, selector: str, least: int, after: int
) -> None:
    bench = await looked_up(make_bench)
    bench.sandbox.faults.add("early-429", api=api, stream=selector.partition(".")[2], times=1, after=after)
    began_at = bench.time.at
    result = await bench.sync(selector)
    assert result.outcome == "ok", result.error
    assert bench.sandbox.faults.hits("early-429") == 1
    table = "cyclesoftware.leads" if api == "cyclesoftware" else "autengo.contacts"
    assert len(await bench.rows(table)) >= least
    assert (bench.time.at - began_at).total_seconds() <= 3.0


async def test_a_retry_after_for_one_endpoint_holds_up_no_other(make_bench: MakeBench) -> None:
    bench = await looked_up(make_bench)
    bench.sandbox.faults.add("retry-after", api="autengo", stream="contacts", times=1, seconds=30)
    began_at = bench.time.at
    assert (await bench.sync("cars.contacts")).outcome == "ok"
    waited_s = (bench.time.at - began_at).total_seconds()
    assert 30 <= waited_s <= 34
    bench.sandbox.faults.add("retry-after", api="autengo", stream="contacts", times=1, seconds=600)
    assert (await bench.sync("cars.contacts")).outcome == "throttled"
    began_at = bench.time.at
    assert (await bench.sync("cars.vehicles")).outcome == "ok"
    assert (bench.time.at - began_at).total_seconds() < 1


async def test_after_a_storm_of_refusals_what_the_headers_leave_is_used_at_once(make_bench: MakeBench) -> None:
    bench = await looked_up(make_bench)
    for name, times in (("early-429", 9), ("rate-limited", 2), ("retry-after", 3)):
        bench.sandbox.faults.add(name, api="cyclesoftware", times=times)
    for _ in range(6):
        await bench.sync("shop.leads")
        bench.time.pass_by(seconds=10)
    bench.sandbox.faults.clear()
    bench.time.pass_by(seconds=75)  # the minute that was said to be spent
    result = await bench.sync("shop.leads")  # waits until the last refusal's closure ends
    assert result.outcome == "ok", result.error
    began_at = bench.time.at
    for selector in ("shop.leads", "shop.customers", "shop.stores", "shop.leads"):
        result = await bench.sync(selector)
        assert result.outcome == "ok", result.error
    assert (bench.time.at - began_at).total_seconds() <= 2
