"""The page of very many streams, and what its address asks for."""

import time
from collections.abc import AsyncIterator

import pytest

from syncd.service.web import view
from tests.support.bench import Bench, MakeBench, streams_on
from tests.support.outline import page
from tests.support.search import trial
from tests.support.site import Site, reader_of, serving


@pytest.fixture
async def site(bench: Bench) -> AsyncIterator[Site]:
    async with serving(reader_of(bench)) as served:
        yield served


ACCOUNTS = 1000


@pytest.fixture
async def many(make_bench: MakeBench) -> Bench:
    """A bench with a thousand accounts that have run for hours; every hundredth one fails now."""
    extra = "".join(
        f'[sources.dealer{number:04}]\ntype = "cyclis"\nbase_url = "https://cyclis.example"\napi_token = "t{number}"\n'
        for number in range(ACCOUNTS)
    )
    bench = await make_bench(extra=extra)
    await bench.fetch(
        "INSERT INTO syncd.runs (source, stream, kind, lane, started_at, finished_at, outcome, rows_updated, requests,"
        " error, error_kind)"
        " SELECT 'dealer' || lpad(d::text, 4, '0'), 'orders', 'live', 'live', at, at,"
        " CASE WHEN n = 0 AND d % 100 = 7 THEN 'failed' ELSE 'ok' END, 2, 1,"
        " CASE WHEN n = 0 AND d % 100 = 7 THEN 'answered 500' END, NULL"
        " FROM generate_series(100, 0, -1) AS n, generate_series(0, 999) AS d,"
        " LATERAL (SELECT $1::timestamptz - make_interval(mins => 5 * n) AS at) AS begun",
        bench.time.now(),
    )
    await bench.fetch("ANALYZE syncd.runs")
    return bench


@trial
async def test_a_thousand_accounts_are_listed_problems_first(many: Bench) -> None:
    async with serving(reader_of(many)) as site:
        found = await page(site, "")
        assert f"10 of {streams_on(many):,} streams need a look" in found.words
        problems = [attrs["id"] for attrs in found.all("li") if str(attrs.get("id", "")).startswith("p-")]
        assert problems == [f"p-dealer{number:04}.failing" for number in range(7, ACCOUNTS, 100)]
        listed = [attrs for attrs in found.all("tr") if str(attrs.get("id", "")).startswith("s-")]
        assert 90 <= len(listed) <= view.STREAMS_SHOWN
        assert "page 1 of 41" in found.words
        assert "page 41 of 41" in (await page(site, "?page=999")).words
        found = await page(site, "?q=DEALER0123.&state=fresh")
        streams = sum(len(source.streams) for source in many.config.sources.values())
        assert f"1 of {streams:,} streams are fresh with “DEALER0123.”" in found.words
        assert "/streams/dealer0123/orders" in [attrs["href"] for attrs in found.all("a")]
        assert "No stream matches" in (await page(site, "?q=nothing+of+the+kind")).words


@pytest.mark.acceptance
async def test_a_thousand_accounts_are_listed_quickly(many: Bench) -> None:
    async with serving(reader_of(many)) as site:
        began_at = time.monotonic()
        await page(site, "")
        took_s = time.monotonic() - began_at
        again_at = time.monotonic()
        for _ in range(20):
            await site.get("")
        assert took_s < 20  # a bound for a busy machine; it takes about 2 s
        assert time.monotonic() - again_at < took_s  # twenty readers of one status cost less than the first


def test_what_an_address_asks_for_is_read_with_care() -> None:
    assert view.Choice.of({}) == view.Choice()
    assert view.Choice.of({"q": " shop ", "state": "late", "page": "3"}) == view.Choice(
        text="shop", state="late", page=3
    )
    assert view.Choice.of({"state": "<b>", "page": "-1"}) == view.Choice()
    assert view.Choice.of({"page": "９" * 3}) == view.Choice()
    assert view.Choice.of({"page": "9" * 5000}) == view.Choice()
    assert len(view.Choice.of({"q": "x" * 5000}).text) == 100
    choice = view.Choice(text="a&b", state="late", page=2)
    assert (choice.link(page=3), choice.link(state="")) == ("/?q=a%26b&state=late&page=3", "/?q=a%26b")


@pytest.mark.parametrize(
    ("given", "parts", "left"),
    [
        ((100, 100, 0, 0), {"live": 0, "backfill": 0, "others": 0}, 100),
        ((100, 60, 10, 5), {"live": 10, "backfill": 5, "others": 25}, 60),
        ((100, None, 10, 5), {"live": 10, "backfill": 5, "others": 0}, 85),
        ((100, 0, 70, 60), {"live": 70, "backfill": 30, "others": 0}, 0),  # the limit was lowered meanwhile
        ((300, 200, 1, 0), {"live": 0.33, "backfill": 0, "others": 33}, 200),
    ],
)
def test_a_window_is_divided_among_who_spent_it(
    given: tuple[int, int | None, int, int], parts: dict[str, float], left: int
) -> None:
    found = view.window(*given)
    assert found is not None
    assert found.left == left
    assert {who: width for who, _, width in found.parts} == parts
    assert [begin for _, begin, _ in found.parts] == [0, parts["live"], round(parts["live"] + parts["backfill"], 2)]
    assert view.window(None, None, 3, 0) is None
