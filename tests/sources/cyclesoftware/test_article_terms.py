"""CycleSoftware's lists of codes and properties of articles: samples, and what is gone from which list."""

import json
from typing import Any

import pytest

from syncd.contract import Scope
from syncd.contract.errors import BadPayload, NotFound
from syncd.sources.cyclesoftware.article_terms import CODE_LISTS
from tests.support.bench import Bench, MakeBench
from tests.support.sources.cyclesoftware import NOW, Script, pages_of, parsed, values, walk_of
from tests.support.truth import differences, told

ENTRY = {
    "codelist": "codelist:base_color", "code": "01", "code_international": "BLA", "description_nl": "zwart",
    "description_en": "black", "description_fr": "noir", "description_de": "schwarz",
}  # fmt: skip
PROPERTY = {
    "property_id": 4, "data_type": "decimal", "unit": "kg", "description_nl": "gewicht", "description_en": "weight",
    "description_fr": "poids", "example_value": 17.5,
}  # fmt: skip


def test_code_list_entry_sample() -> None:
    row = parsed("code_list_entries", ENTRY)
    assert values("code_list_entries", row) == ENTRY
    assert row.extra is None


async def test_a_property_bears_the_name_under_which_it_stands() -> None:
    answer = {"data": {"weight_netto": PROPERTY, "brand": {**PROPERTY, "unit": None, "code_list": "brand"}}}
    (page,) = await pages_of("article_properties", walk_of(Script([answer])))
    assert (page.scope, page.whole_walk) == (Scope(), True)
    rows = [parsed("article_properties", record) for record in page.records]
    assert values("article_properties", rows[0]) == {
        **PROPERTY, "property_name": "weight_netto", "example_value": "17.5", "code_list": None,
    }  # fmt: skip
    assert [values("article_properties", row)["property_name"] for row in rows] == ["weight_netto", "brand"]
    assert [row.extra for row in rows] == [None, None]


async def test_no_property_is_an_empty_array() -> None:
    (page,) = await pages_of("article_properties", walk_of(Script([{"data": []}])))
    assert (list(page.records), page.whole_walk) == ([], True)
    with pytest.raises(BadPayload, match="expected an object in `data`"):
        await pages_of("article_properties", walk_of(Script([{"data": [PROPERTY]}])))


def lists(**told: Any) -> Script:
    """Return answers for all lists; a list that is not named has an entry of its own."""
    found = [told.get(name, {"data": [{**ENTRY, "codelist": f"codelist:{name}"}]}) for name in CODE_LISTS]
    return Script(found)


async def test_each_list_speaks_for_itself_and_empty_ones_come_last() -> None:
    script = lists(brand={"data": []}, frame=NotFound("no such list", status=404))
    pages = await pages_of("code_list_entries", walk_of(script))
    assert len(script.asked) == 30
    assert script.asked[0][1] == "/api/v4/articledata/codelist/article_group.json"
    scopes = [page.scope and page.scope.values[0] for page in pages]
    answered = [f"codelist:{name}" for name in CODE_LISTS if name not in ("brand", "frame")]
    assert scopes == [*answered, "codelist:brand", None]
    assert all(page.scope is None or page.scope.guarded for page in pages)
    assert [page.cursor for page in pages] == [None] * 29 + [{"as_of": NOW.isoformat()}]


async def test_no_list_at_all_fails_the_run() -> None:
    missing = NotFound("no such list", status=404)
    with pytest.raises(NotFound):
        await pages_of("code_list_entries", walk_of(Script([missing] * 30)))


async def test_entries_are_buried_within_their_own_list_only(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0)
    first = await bench.sync("shop.code_list_entries")
    assert (first.outcome, first.counts.inserted) == (
        "ok",
        len(bench.sandbox.truth("cyclesoftware", "code_list_entries")),
    )
    assert first.spent.requests == 30
    world = bench.sandbox.world
    bench.sandbox.delete("cyclesoftware", "code_list_entries", ("codelist:base_color", "RED"))
    world.change("cyclesoftware", "code_list_entries", ("codelist:brand", "0101"))
    bench.time.pass_by(days=7)
    result = await bench.sync("shop.code_list_entries")
    assert (result.outcome, result.counts.deleted, result.counts.updated) == ("ok", 1, 1)
    found = await differences(bench, "shop.code_list_entries")
    assert not found, told(found)
    assert await bench.fetch("SELECT stream FROM syncd.seen") == []


async def test_a_list_that_answers_404_is_left_alone(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0)
    first = await bench.sync("shop.code_list_entries")
    bench.sandbox.faults.add("not-found-list", stream="code_list_entries", times=3)
    bench.time.pass_by(days=7)
    result = await bench.sync("shop.code_list_entries")
    assert (result.outcome, result.counts.deleted) == ("ok", 0)
    assert len(await bench.rows("cyclesoftware.code_list_entries")) == first.counts.inserted


async def test_a_list_that_is_suddenly_empty_is_not_believed(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0)
    first = await bench.sync("shop.code_list_entries")
    for code in ("BLA", "BLU", "GRE", "RED", "WHI"):
        bench.sandbox.delete("cyclesoftware", "code_list_entries", ("codelist:base_color", code))
    bench.sandbox.world.change("cyclesoftware", "code_list_entries", ("codelist:vat", "L"))
    bench.time.pass_by(days=7)
    refused = await bench.sync("shop.code_list_entries")
    assert (refused.outcome, refused.counts.deleted, refused.counts.updated) == ("failed", 0, 1)
    assert "would bury all of 5 rows" in str(refused.error)
    assert len(await bench.rows("cyclesoftware.code_list_entries")) == first.counts.inserted
    assert (await bench.sync("shop.code_list_entries", accept_deletions=True)).counts.deleted == 5


async def test_properties_follow_the_upstream(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0)
    assert (await bench.sync("shop.article_properties")).counts.inserted == 12
    bench.sandbox.delete("cyclesoftware", "article_properties", "gear_count")
    bench.sandbox.world.change("cyclesoftware", "article_properties", "brand")
    bench.time.pass_by(days=7)
    result = await bench.sync("shop.article_properties")
    assert (result.counts.updated, result.counts.deleted) == (1, 1)
    found = await differences(bench, "shop.article_properties")
    assert not found, told(found)
    assert json.loads((await bench.rows("cyclesoftware.article_properties"))[0]["example_value"])
