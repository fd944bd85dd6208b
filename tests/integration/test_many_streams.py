"""Very many streams: pages and searches read as a whole only what they show, and the metrics are sums."""

import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from syncd.service.web import view
from syncd.status import StatusReader, overview
from tests.support.bench import Bench
from tests.support.site import Site, reader_of, serving

CALM = ("shop.customers", "shop.stores", "lease.orders", "parts.orders")


@pytest.fixture
async def many(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Site, StatusReader]]:
    """A page for which three streams are very many already, of a mirror with one failing and one late stream."""
    for selector in (*CALM, "cars.vehicles"):
        assert (await bench.sync(selector)).outcome == "ok"
    bench.time.pass_by(days=3)
    for selector in CALM:
        assert (await bench.sync(selector)).outcome == "ok"
    bench.sandbox.faults.add("not-found-list", api="cyclesoftware", stream="stock_items")
    assert (await bench.sync("shop.stock_items")).outcome == "failed"
    with monkeypatch.context() as patched:
        patched.setattr(overview, "LARGE_STREAMS", 3)
        patched.setattr(view, "STREAMS_SHOWN", 3)
        of_many = reader_of(bench)
        assert of_many.is_large
        async with serving(of_many) as served:
            yield served, of_many


async def _api(site: Site, query: str) -> dict[str, Any]:
    code, text, _ = await site.get(f"api/status?{query}")
    assert code == 200
    found: dict[str, Any] = msgspec.json.decode(text)
    return found


def _names(answer: dict[str, Any]) -> list[str]:
    return [f"{stream['source']}.{stream['stream']}" for stream in answer["streams"]]


async def test_very_many_streams_are_paged_searched_and_summed(bench: Bench, many: tuple[Site, StatusReader]) -> None:
    """All in one mirror, because it takes seconds to fill."""
    site, of_many = many
    await _the_api_has_every_stream_once_as_the_whole_status_tells_it(bench, site)
    await _people_page_and_search_without_a_script(bench, site)
    await _metrics_are_sums(site, of_many)
    await _a_page_counts_rows_of_no_other_source(bench, site)


async def _the_api_has_every_stream_once_as_the_whole_status_tells_it(bench: Bench, site: Site) -> None:
    whole = msgspec.json.decode(msgspec.json.encode(await reader_of(bench).status()))
    told = {(stream["source"], stream["stream"]): stream for stream in whole["streams"]}
    first, met = await _api(site, "page=1"), list[str]()
    assert first["pages"] > 3
    assert first["matching"] == len(told) == sum(first["summary"].values())
    assert first["summary"] == whole["summary"]
    for number in range(1, first["pages"] + 1):
        answer = await _api(site, f"page={number}")
        assert answer["page"] == number
        for stream in answer["streams"]:
            assert stream == told[stream["source"], stream["stream"]]
        met += _names(answer)
    assert sorted(met) == sorted(f"{source}.{stream}" for source, stream in told)

    assert _names(await _api(site, "state=late")) == ["cars.vehicles"]
    assert _names(await _api(site, "state=failing")) == ["shop.stock_items"]
    assert set(_names(await _api(site, "q=PARTS.ord"))) == {"parts.orders"}
    assert len((await _api(site, "state=off&page=1"))["streams"]) > 0
    nothing = await _api(site, "q=nobody")
    assert (nothing["streams"], nothing["matching"], nothing["pages"]) == ([], 0, 1)


async def _people_page_and_search_without_a_script(bench: Bench, site: Site) -> None:
    _, text, _ = await site.get("")
    assert "2 of" in re.sub(r"\s+", " ", text)
    assert 'rel="next" href="/?page=2#streams"' in text
    assert "shop.stock_items" in text, "what needs a look is told on the first page, wherever it stands in the list"
    _, text, _ = await site.get("?q=parts.orders")
    rows = len(bench.sandbox.truth("ghs", "orders"))
    assert "/streams/parts/orders" in text
    assert "/streams/shop/customers" not in text
    assert re.search(rf'data-label="rows">{rows:,}<', text), "what is shown is read as a whole"
    code, text, _ = await site.get("streams/cars/vehicles")
    assert (code, "late" in text) == (200, True)
    assert (await site.get("streams/shop/nothing"))[0] == 404
    code, text, _ = await site.get("freshz?stream=cars.vehicles")
    assert (code, text) == (503, "cars.vehicles is late: the last good run started 3 days ago\n")
    assert (await site.get("freshz?stream=parts.orders"))[:2] == (200, "1 stream: all well\n")
    bench.time.pass_by(minutes=1)
    code, text, _ = await site.get("freshz?stream=parts.orders&max_age=30s")
    assert (code, text) == (503, "parts.orders is late: the last good run started 60 s ago, more than 30 s\n")
    [off] = [one for one in (await _api(site, "q=shop.comments"))["streams"] if one["stream"] == "comments"]
    code, text, _ = await site.get("streams/shop/comments")
    assert (code, off["why"] in text) == (200, True)


async def _metrics_are_sums(site: Site, of_many: StatusReader) -> None:
    _, text, _ = await site.get("metrics")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    states = families["syncd_stream_state"].samples
    by_name = {(one.labels["source"], one.labels["stream"]): one for one in states if one.labels["source"] != "*"}
    assert {pair: one.labels["state"] for pair, one in by_name.items()} == {
        ("cars", "vehicles"): "late", ("shop", "stock_items"): "failing"
    }  # fmt: skip
    summary = (await of_many.overview()).status.summary
    assert sum(one.value for one in states) == sum(summary.values())
    fresh = sum(one.value for one in states if one.labels["state"] == "fresh")
    assert fresh == summary["fresh"] == len(CALM)
    for name in ("syncd_runs", "syncd_requests", "syncd_stream_freshness_seconds", "syncd_rejects"):
        assert {one.labels["source"] for one in families[name].samples} <= {"*"}, name
    assert families["syncd_runs"].samples
    assert max(one.value for one in families["syncd_stream_freshness_seconds"].samples) > 2 * 86_400


async def _a_page_counts_rows_of_no_other_source(bench: Bench, site: Site) -> None:
    asked: list[asyncpg.connection.LoggedQuery] = []
    bench.time.pass_by(minutes=1)
    async with bench.db.connection() as one, bench.db.connection() as other:
        one.add_query_logger(asked.append)
        other.add_query_logger(asked.append)
    _, text, _ = await site.get("?q=parts.orders")
    assert "/streams/parts/orders" in text
    counted = [query.args for query in asked if "AS alive" in query.query]
    assert counted
    assert all(args == (["parts"],) for args in counted), counted
