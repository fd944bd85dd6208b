"""Servers that refuse what no document promises: the second way is taken, told once, and buries nothing unproven."""

import json
from typing import Any

import pytest

from syncd.contract.second_ways import PREFIX
from tests.support.bench import Bench, MakeBench
from tests.support.command import WallClock, syncd
from tests.support.search import sampled
from tests.support.truth import NAMES, differences

PAGE = 4
SIZES: dict[str, Any] = {"customers": 14, "vehicles": 14, "orders": 230, "stock_items": 60, "sales_orders": 14}


@pytest.fixture
async def small(make_bench: MakeBench) -> Bench:
    """A bench whose lists have several pages."""
    return await make_bench(page_size=PAGE, lines={"autengo": f"limit = {PAGE}"}, **SIZES)


def refuse(bench: Bench, selector: str, name: str, **params: Any) -> None:
    source, _, stream = selector.partition(".")
    bench.sandbox.faults.add(name, api=NAMES[source], stream=stream, **params)


async def ways(bench: Bench, selector: str) -> list[str]:
    """Return the second ways that runs of a stream have told of, in their order."""
    rows = await bench.fetch("SELECT source, stream, notes FROM syncd.runs ORDER BY run_id")
    told = [note for row in rows if f"{row['source']}.{row['stream']}" == selector for note in _notes(row["notes"])]
    return [note.removeprefix(PREFIX) for note in told if note.startswith(PREFIX)]


def _notes(value: Any) -> list[str]:
    return json.loads(value) if isinstance(value, str) else value or []


OFFSETS = {"shop.customers": PAGE, "cars.vehicles": PAGE, "parts.orders": 100}


REFUSALS = ((400, None), (400, "html"), (400, "empty"), (404, None), (422, None))


@pytest.mark.parametrize(
    ("selector", "status", "form"),
    sampled(((stream, *refusal) for refusal in REFUSALS for stream in OFFSETS), every=4),
)
async def test_a_server_that_takes_only_its_own_offsets_is_mirrored(
    small: Bench, selector: str, status: int, form: str | None
) -> None:
    refuse(small, selector, "own-offsets-only", rows=OFFSETS[selector], status=status, form=form)
    if selector == "cars.vehicles":  # else it walks by value, and asks for no offset but 0
        refuse(small, selector, "parameter-refused", which="order[field]")
    for kind in ("live", "sweep"):
        small.time.pass_by(hours=1)
        result = await small.sync(selector, kind)
        assert result.outcome == "ok", result.error
        assert await differences(small, selector) == []
    assert small.sandbox.faults.hits("own-offsets-only") == 1
    told = [way for way in await ways(small, selector) if "order" not in way]
    assert told == ["the server takes only offsets that it handed out; pages are asked for without overlap"]


@pytest.mark.parametrize("selector", ["shop.customers", "cars.vehicles"])
async def test_such_a_walk_buries_what_asking_by_key_confirms(small: Bench, selector: str) -> None:
    source, _, stream = selector.partition(".")
    refuse(small, selector, "own-offsets-only", rows=PAGE)
    assert (await small.sync(selector)).outcome == "ok"
    keys = small.sandbox.world[NAMES[source], stream].keys()
    small.sandbox.delete(NAMES[source], stream, keys[-1])
    small.time.pass_by(hours=1)
    result = await small.sync(selector, "sweep")
    assert (result.outcome, result.counts.deleted) == ("ok", 1)
    assert await differences(small, selector) == []


async def test_such_a_walk_buries_nothing_where_no_request_by_key_exists(small: Bench) -> None:
    refuse(small, "parts.orders", "own-offsets-only", rows=100)
    assert (await small.sync("parts.orders")).outcome == "ok"
    small.sandbox.delete("ghs", "orders", small.sandbox.world["ghs", "orders"].keys()[5])
    small.time.pass_by(hours=1)
    result = await small.sync("parts.orders", "sweep")
    assert (result.outcome, result.counts.deleted) == ("ok", 0)
    assert len(await differences(small, "parts.orders")) == 1
    small.sandbox.faults.clear()
    small.syncer.account("parts").ways("orders").clear()  # as a new process begins
    assert (await small.sync("parts.orders", "sweep")).counts.deleted == 1


REFUSED = [
    ("shop.sales_orders", {"which": "include_deleted"}, "the server refuses include_deleted=1"),
    ("shop.stock", {"batch": 5}, "the server refuses 100 keys in one request; 5 are asked for"),
    ("cars.vehicles", {"which": "limit"}, "the server refuses our number of rows (limit)"),
    ("cars.vehicles", {"which": "limit", "most": 3}, "the server refuses our number of rows (limit)"),
    ("cars.vehicles", {"which": "order[field]"}, "the server refuses the order"),
    ("cars.vehicles", {"which": "and[updated]"}, "the server refuses the filter on times"),
    ("parts.orders", {"which": "take", "most": 25}, "the server refuses our number of rows (take)"),
]


@pytest.mark.parametrize(("selector", "params", "told"), sampled(REFUSED, every=3), ids=str)
async def test_what_is_refused_is_left_out_and_told_once(
    small: Bench, selector: str, params: dict[str, Any], told: str
) -> None:
    source, _, stream = selector.partition(".")
    refuse(small, selector, "parameter-refused", **params)
    for _ in range(3):
        small.time.pass_by(hours=1)
        result = await small.sync(selector)
        assert result.outcome == "ok", result.error
        assert await differences(small, selector) == []
        if selector != "shop.stock":
            key = small.sandbox.world[NAMES[source], stream].keys()[2]
            small.sandbox.world.change(NAMES[source], stream, key)
    assert small.sandbox.faults.hits("parameter-refused") >= 1
    [way] = await ways(small, selector)
    assert way.startswith(told)


@pytest.mark.parametrize("header", ["Accept", "Accept-Encoding", "Accept-Language"])
async def test_headers_of_ours_that_are_not_acceptable_are_left_out(small: Bench, header: str) -> None:
    value = {"Accept": "json", "Accept-Encoding": "br", "Accept-Language": "de"}[header]
    refuse(small, "cars.makes", "header-refused", which=header, value=value)
    assert (await small.sync("cars.makes")).outcome == "ok"
    assert await ways(small, "cars.makes") == [
        "the server accepts none of our headers (406); only the plainest are sent"
    ]


async def test_a_token_goes_where_the_server_takes_it(small: Bench) -> None:
    refuse(small, "cars.makes", "header-refused", which="X-Authorization", status=401)
    result = await small.sync("cars.makes")
    assert result.outcome == "ok", (result.error, small.sandbox.requests)
    assert await ways(small, "cars.makes") == [
        "the server does not take the token as X-Authorization: Bearer; it is sent as Authorization: JWT"
    ]


async def test_a_refusal_of_everything_is_told_as_it_came(small: Bench) -> None:
    for selector in ("cars.vehicles", "shop.sales_orders", "parts.orders", "shop.stock", "shop.customers"):
        source, _, stream = selector.partition(".")
        small.sandbox.faults.add("error-500", api=NAMES[source], stream=stream, status=400)
        result = await small.sync(selector)
        assert (result.outcome, type(result.error).__name__) == ("failed", "BadRequest"), selector
        assert await ways(small, selector) == []
        small.sandbox.faults.clear()
        small.time.pass_by(hours=1)
        assert (await small.sync(selector)).outcome == "ok"


async def test_check_tells_of_a_second_way(make_bench: MakeBench) -> None:
    bench = await make_bench(page_size=PAGE, time=WallClock(), **SIZES)
    refuse(bench, "shop.customers", "own-offsets-only", rows=PAGE)
    assert (await bench.sync("shop.customers")).outcome == "ok"
    told = await syncd("check", "--config", bench.config_file())
    assert "shop.customers: the server takes only offsets that it handed out" in told.out
