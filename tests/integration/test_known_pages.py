"""A page that came before with the same text is not read again, and the mirror is right all the same."""

from typing import Any

import pytest

from syncd.records import known
from syncd.storage.state.runs import Counts
from tests.support.bench import Bench, MakeBench
from tests.support.truth import differences, told, wrongly_buried

PAGE = 60
"""Records of a page: its text is long enough to be kept."""
CUSTOMERS = 4 * PAGE
AMID = 2 * PAGE + PAGE // 2
"""The place of a customer on a page that is neither the first nor the last."""


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_KNOWN", {})


@pytest.fixture
async def bench(make_bench: MakeBench) -> Bench:
    """Return a bench whose customers were loaded, and swept once without a change."""
    bench = await make_bench(customers=CUSTOMERS, page_size=PAGE)
    assert (await bench.sync("shop.customers")).outcome == "ok"
    await swept(bench)
    return bench


async def swept(bench: Bench) -> tuple[int, int, int, int]:
    """Sweep the customers; return how many were unchanged, inserted, updated and deleted."""
    bench.time.pass_by(days=7)
    result = await bench.sync("shop.customers", "sweep")
    assert result.outcome == "ok", result.error
    found = await differences(bench, "shop.customers", swept=True)
    assert not found, told(found)
    assert not await wrongly_buried(bench, "shop.customers")
    counts = result.counts
    assert counts.seen == counts.unchanged + counts.inserted + counts.updated
    return counts.unchanged, counts.inserted, counts.updated, counts.deleted


async def kept(bench: Bench) -> set[bytes]:
    return {row["digest"] for row in await bench.fetch("SELECT digest FROM syncd.known_pages")}


def key_at(bench: Bench, place: int) -> Any:
    return list(bench.sandbox.world["cyclesoftware", "customers"].keys())[place]


def change(bench: Bench, place: int, **fields: Any) -> Any:
    """Change one customer at the upstream, by its place in the list; return its key."""
    key = key_at(bench, place)
    bench.sandbox.put("cyclesoftware", "customers", {**bench.sandbox.get("cyclesoftware", "customers", key), **fields})
    return key


async def test_pages_that_come_again_are_known_in_another_process_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = await kept(bench)
    assert len(pages) >= 2
    assert known._KNOWN.keys() >= pages
    monkeypatch.setattr(known, "_KNOWN", {})  # as another process begins
    assert (await swept(bench))[1:] == (0, 0, 0)
    assert known._KNOWN.keys() >= pages
    assert await kept(bench) == pages


async def test_what_changes_at_the_upstream_amid_known_pages_is_found(bench: Bench) -> None:
    pages = await kept(bench)
    changed = change(bench, AMID, city="Elders")
    assert (await swept(bench))[1:] == (0, 1, 0)
    assert len(await kept(bench) & pages) == len(pages) - 1  # the text that did not come again was dropped
    bench.sandbox.delete("cyclesoftware", "customers", key_at(bench, 3))
    assert (await swept(bench))[1:] == (0, 0, 1)
    change(bench, AMID - 1, city="Toch niet")
    assert (await swept(bench))[2] == 1
    assert await bench.rows("cyclesoftware.customers", f"customer_id = {changed} AND city = 'Toch niet'")


async def test_a_page_whose_text_came_back_undoes_what_was_stored_between(bench: Bench) -> None:
    """The text is known, and the mirror holds another state: the text says nothing about the mirror."""
    key = key_at(bench, AMID)
    before = dict(bench.sandbox.get("cyclesoftware", "customers", key))
    change(bench, AMID, city="Elders")
    bench.time.pass_by(minutes=5)
    assert (await bench.sync("shop.customers")).counts.updated == 1  # a tick brings it, and meets no page
    bench.sandbox.put("cyclesoftware", "customers", before)
    assert (await swept(bench))[1:] == (0, 1, 0)


SPOILT = {
    "a row is gone": "DELETE FROM cyclesoftware.customers WHERE customer_id = $1",
    "a row lost its fingerprint": "UPDATE cyclesoftware.customers SET _hash = NULL WHERE customer_id = $1",
    "a row has another fingerprint": (
        "UPDATE cyclesoftware.customers SET _hash = '\\x00', city = '?' WHERE customer_id = $1"
    ),
    "a row is buried": "UPDATE cyclesoftware.customers SET _hash = NULL, _deleted_at = now() WHERE customer_id = $1",
}


@pytest.mark.parametrize("name", SPOILT)
async def test_a_known_page_whose_rows_are_not_as_they_were_is_written_again(bench: Bench, name: str) -> None:
    key = key_at(bench, AMID)
    await bench.fetch(SPOILT[name], key)
    await swept(bench)


@pytest.mark.parametrize(
    "spoil",
    [
        "UPDATE syncd.known_pages SET fingerprints = '\\x00'",
        "UPDATE syncd.known_pages SET recipe = '\\x00'",
        "UPDATE syncd.known_pages SET digest = sha256(digest)",
        "DELETE FROM syncd.known_pages",
    ],
)
async def test_what_is_kept_wrongly_or_not_at_all_costs_time_and_no_row(
    bench: Bench, spoil: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.fetch(spoil)
    monkeypatch.setattr(known, "_KNOWN", {})
    change(bench, AMID, city="Elders")
    assert (await swept(bench))[1:] == (0, 1, 0)
    assert (await swept(bench))[1:] == (0, 0, 0)


async def test_a_list_that_comes_whole_is_known_at_the_next_tick(make_bench: MakeBench) -> None:
    bench = await make_bench(customers=0, stock_items=100)

    async def ticked() -> Counts:
        bench.time.pass_by(minutes=5)
        result = await bench.sync("shop.stock_items")
        assert result.outcome == "ok", result.error
        found = await differences(bench, "shop.stock_items")
        assert not found, told(found)
        return result.counts

    for _ in range(3):
        counts = await ticked()
    assert counts == Counts(seen=100)
    assert await bench.rows("cyclesoftware.stock_items", "is_deleted AND _deleted_at IS NOT NULL")  # flagged
    assert [each.size for each in known._KNOWN.values() if each.sorted] == [100]

    row = dict((await bench.rows("cyclesoftware.stock_items"))[5])
    gone = await bench.fetch("DELETE FROM cyclesoftware.stock_items WHERE object_id = $1 RETURNING 1", row["object_id"])
    assert await ticked() == Counts(seen=100, inserted=len(gone))
    columns = ", ".join(f'"{name}"' for name in row if name != "object_id")
    strange = await bench.fetch(  # what the list never held
        f"INSERT INTO cyclesoftware.stock_items (object_id, {columns}) SELECT 999999, {columns}"
        " FROM cyclesoftware.stock_items WHERE object_id = $1 RETURNING 1",
        row["object_id"],
    )
    assert await ticked() == Counts(seen=100, deleted=len(strange))
    assert await ticked() == Counts(seen=100)
    assert [each.size for each in known._KNOWN.values() if each.sorted] == [100]

    keys = list(bench.sandbox.world["cyclesoftware", "stock_items"].keys())
    dead = next(key for key in keys if bench.sandbox.get("cyclesoftware", "stock_items", key)["is_deleted"])
    bench.sandbox.delete("cyclesoftware", "stock_items", dead)
    for _ in range(3):  # the flagged row stays, dead as it was
        assert await ticked() == Counts(seen=99)
    assert [each.size for each in known._KNOWN.values() if not each.sorted] == [99]
    await bench.fetch("UPDATE cyclesoftware.stock_items SET _hash = NULL WHERE object_id = $1", row["object_id"])
    assert await ticked() == Counts(seen=99)
