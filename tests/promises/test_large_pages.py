"""A page that is read and written in chunks does what a small one does: all of it or nothing, the last record wins."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from syncd.config import is_off
from syncd.records import giant, presplit
from syncd.sandbox.answer import Answer
from tests.support.bench import Bench, MakeBench
from tests.support.search import trial
from tests.support.truth import differences, told

SMALL: dict[str, Any] = {
    "customers": 40, "page_size": 60, "cyclis_orders": 1, "cyclists": 1, "companies": 1, "vehicles": 1, "orders": 1,
    "stock_items": 40, "sales_orders": 1, "leads": 1, "dealers": 1, "makes": 1, "contacts": 1, "products": 1,
}  # fmt: skip
STREAMS = ("shop.customers", "shop.stock_items")
STATES = (
    "SELECT count(*), max(xmin::text::bigint) FROM cyclesoftware.customers UNION ALL"
    " SELECT count(*), max(xmin::text::bigint) FROM cyclesoftware.stock_items"
)


@pytest.fixture(autouse=True)
def chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pages of some rows are large, and their chunks hold seven at most."""
    with monkeypatch.context() as patched:
        patched.setattr(giant, "CHUNK_RECORDS", 7)
        patched.setattr(giant, "LARGE_RECORDS", 7)
        for name, value in {"GIANT_BYTES": 1, "FIRST_BYTES": 900, "CHUNK_BYTES": 3_000, "CHUNK_RECORDS": 7}.items():
            patched.setattr(presplit, name, value)
        yield


async def _equal(bench: Bench) -> None:
    for selector in STREAMS:
        found = await differences(bench, selector)
        assert not found, told(found)


async def _states(bench: Bench) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await bench.fetch(STATES)]


async def test_the_mirror_equals_the_upstream_after_each_pass(make_bench: MakeBench) -> None:
    bench = await make_bench(**SMALL, keeps=True)
    for selector in STREAMS:
        loaded = await bench.sync(selector)
        assert (loaded.outcome, loaded.pages) == ("ok", 1), loaded.error
        assert loaded.counts.inserted == loaded.counts.seen >= 40
    await _equal(bench)

    before = await _states(bench)
    for selector, kind in zip(STREAMS, ("sweep", "live"), strict=True):
        same = await bench.sync(selector, kind)
        assert (same.outcome, same.counts.unchanged) == ("ok", same.counts.seen), same.error
    assert await _states(bench) == before
    assert not await bench.fetch("SELECT FROM syncd.seen")

    for _, stream in (selector.split(".") for selector in STREAMS):
        keys = bench.sandbox.world["cyclesoftware", stream].keys()
        for key in (keys[2], keys[20], keys[-1]):
            bench.sandbox.world.change("cyclesoftware", stream, key)
        bench.sandbox.delete("cyclesoftware", stream, keys[11])
        bench.sandbox.world.put("cyclesoftware", stream, bench.sandbox.world.fresh("cyclesoftware", stream))
    bench.time.pass_by(minutes=20)
    for selector, kind in zip(STREAMS, ("sweep", "live"), strict=True):
        changed = await bench.sync(selector, kind)
        assert changed.outcome == "ok", changed.error
        assert (changed.counts.inserted, changed.counts.updated, changed.counts.deleted) == (1, 3, 1)
    await _equal(bench)


async def test_of_a_key_that_comes_twice_the_last_record_counts_and_the_next_pass_writes_nothing(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = await make_bench(**SMALL)
    encoded = Answer.encoded

    def twice(answer: Answer) -> bytes:
        body = msgspec.json.decode(encoded(answer))
        if rows := body.get("customers"):
            body["customers"] = [{**rows[-1], "city": "Elsewhere"}, *rows]
            body["pagination"]["count"] += 1
        return msgspec.json.encode(body)

    monkeypatch.setattr(Answer, "encoded", twice)
    loaded = await bench.sync("shop.customers")
    assert (loaded.counts.seen, loaded.counts.inserted) == (loaded.counts.inserted + 1, 40), loaded.error
    before = await _states(bench)
    assert (await bench.sync("shop.customers", "sweep")).outcome == "ok"
    assert await _states(bench) == before
    assert not await bench.fetch("SELECT FROM cyclesoftware.customers WHERE city = 'Elsewhere'")


async def test_a_row_that_postgresql_refuses_costs_neither_its_chunk_nor_its_page(make_bench: MakeBench) -> None:
    bench = await make_bench(**SMALL)
    key = bench.sandbox.world["cyclesoftware", "customers"].keys()[20]
    await bench.fetch(f"ALTER TABLE cyclesoftware.customers ADD CHECK (customer_id <> {int(key)})")
    loaded = await bench.sync("shop.customers")
    assert (loaded.outcome, loaded.counts.rejected) == ("ok", 1), loaded.error
    assert len(await bench.rows("cyclesoftware.customers")) == loaded.counts.seen - 1 == loaded.counts.inserted
    (reject,) = await bench.fetch("SELECT reason FROM syncd.rejects")
    assert "check" in reject["reason"]


@pytest.mark.parametrize("deep", ["[" * 100_000 + "]" * 100_000, '{"a":' * 3_000 + "1" + "}" * 3_000])
async def test_a_record_that_is_nested_too_deeply_for_a_decoder_costs_no_other(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch, deep: str
) -> None:
    bench = await make_bench(**SMALL)
    encoded, key = Answer.encoded, bench.sandbox.world["cyclesoftware", "customers"].keys()[20]
    sign = f'{{"customer_id":{key},'
    monkeypatch.setattr(
        Answer, "encoded", lambda answer: encoded(answer).replace(sign.encode(), f'{sign}"surprise":{deep},'.encode())
    )
    loaded = await bench.sync("shop.customers")
    assert loaded.outcome == "ok", loaded.error
    assert loaded.counts.inserted == 40
    assert len(await bench.fetch("SELECT FROM cyclesoftware.customers WHERE _extra::text LIKE '%surprise%'")) == 1


async def test_an_answer_that_is_broken_in_its_last_chunk_leaves_nothing(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = await make_bench(**SMALL)
    encoded = Answer.encoded
    with monkeypatch.context() as patched:
        patched.setattr(
            Answer, "encoded", lambda answer: encoded(answer).replace(b'}],"pagination"', b',x}],"pagination"')
        )
        broken = await bench.sync("shop.customers")
    assert broken.outcome == "failed"
    assert not await bench.rows("cyclesoftware.customers")
    assert not await bench.fetch("SELECT FROM syncd.cursors WHERE stream = 'customers'")
    assert (await bench.sync("shop.customers")).outcome == "ok"
    found = await differences(bench, "shop.customers")
    assert not found, told(found)


@trial
async def test_every_stream_is_read_the_same_if_each_answer_is_a_large_one(make_bench: MakeBench) -> None:
    """Each source reads errors, totals and next links in its own way, and each must know a large array."""
    sizes = {**SMALL, "cyclis_orders": 9, "cyclists": 9, "companies": 3, "dealers": 9, "vehicles": 9, "orders": 9}
    bench = await make_bench(**sizes | {"makes": 9, "contacts": 3, "products": 9, "sales_orders": 9, "leads": 3})
    pairs = [
        (source, name) for source in bench.syncer.config.sources for name in bench.syncer.config.sources[source].streams
    ]
    ended = {
        ".".join(pair): (await bench.sync(".".join(pair)))
        for pair in pairs
        if not is_off(bench.syncer.config.sources[pair[0]].streams[pair[1]])
    }
    assert len(ended) > 30
    assert {name: str(result.error) for name, result in ended.items() if result.outcome != "ok"} == {}
    for name in ("lease.orders", "cars.vehicles", "parts.orders", "parts.products", "shop.articles"):
        found = await differences(bench, name)
        assert not found, (name, told(found))
