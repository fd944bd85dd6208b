"""CycleSoftware's articles: children in nested places, tokens, times in digits, burials that are confirmed."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from syncd.contract import Scope
from syncd.contract.errors import BadPayload, BadRequest, NotFound
from syncd.records.rows import Row
from syncd.sources.cyclesoftware import SOURCE
from syncd.sources.cyclesoftware.identification import NUMBERS
from tests.support.bench import Bench, MakeBench
from tests.support.sources.cyclesoftware import NOW, QUERY, Script, pages_of, parsed, values, walk_of
from tests.support.truth import differences, told

STREAM = SOURCE.stream("articles")
PATH = "/api/v4/articledata/entries.json"
PRICING: dict[str, Any] = {
    "currency": "EUR", "rrp_cents": 1495, "pos_sales_price_cents": 1295, "ecommerce_price_cents": 1250,
    "purchase_price_cents": 700, "pos_group_id": 2, "vat_code": 2, "pos_promo_price_cents": 995,
    "pos_promo_price_from": "2026-03-01", "pos_promo_price_until": "2026-03-31", "ecommerce_promo_price_cents": 990,
    "ecommerce_promo_price_from": "2026-04-01", "ecommerce_promo_price_until": "2026-04-30",
}  # fmt: skip
LEVEL = {
    "store_id": 3, "stock_level": 2.5, "min_stock_level": 2, "max_stock_level": 0,
    "locations": [{"store_id": 3, "location_id": 7, "location_x": 1, "location_y": 2, "location_capacity": 20,
                   "location_bulk": False}],
}  # fmt: skip
OBJECT: dict[str, Any] = {
    "object_id": 144922, "object_code": "F.1-144922", "store_id": 3, "available": False, "expected_at": "2026-05-01",
    "is_demo": False, "is_used": True, "currency": "EUR", "ecommerce_price_cents": 89900,
    "pos_sales_price_cents": 94900, "purchase_price_cents": 50000, "km_age": 1200,
    "identification": {name: f"0{name}" for name in NUMBERS},
}  # fmt: skip
SUPPLIER: dict[str, Any] = {
    "_id": 501, "supplier_id": 12, "supplier_name": "Fietsimport Noord", "article_id": "0350500", "model_id": "GAZ1",
    "parent_barcode": "0871", "currency": "EUR", "rrp_cents": 1495, "purchase_price_cents": 700,
    "package": {"package_contents": 10, "min_order_quantity": 5, "order_unit": 5},
}  # fmt: skip
PROPERTIES = {
    "basic_color": {"type": "codelist", "values": [{"supplier_ids": [12], "value": "black"},
                                                   {"code": "BLA", "value": {"nl": "zwart", "fr": "noir"}}]},
}  # fmt: skip
ARTICLE: dict[str, Any] = {
    "barcode": "0871234567890", "modified_at": "2026-03-01 09:30:15", "pricing": PRICING,
    "stock": {"available": True, "stores": [LEVEL]}, "objects": [OBJECT], "suppliers": [SUPPLIER],
    "properties": PROPERTIES,
}  # fmt: skip
CHILDREN = ("article_stock", "article_objects", "article_suppliers")


def children(row: Row) -> list[list[dict[str, Any]] | None]:
    """Return the rows of each child table, as values by column."""
    found: list[list[dict[str, Any]] | None] = []
    for child, rows in zip(STREAM.table.children, row.children, strict=True):
        names = [column.name for column in child.table.columns]
        found.append(None if rows is None else [dict(zip(names, each.values, strict=True)) for each in rows])
    return found


async def read(record: dict[str, Any]) -> Row:
    """Return the row of a record, read as the walk gives it."""
    (page,) = await pages_of("articles", walk_of(Script([{"data": [record], "pagination": {}}])))
    return parsed("articles", page.records[0])


async def test_article_sample() -> None:
    row = await read(ARTICLE)
    found = values("articles", row)
    dates = {name: date.fromisoformat(PRICING[name]) for name in PRICING if name.endswith(("from", "until"))}
    assert {name: found[f"pricing_{name}"] for name in PRICING} == {**PRICING, **dates}
    assert (found["barcode"], found["modified_at"]) == ("0871234567890", datetime(2026, 3, 1, 8, 30, 15, tzinfo=UTC))
    assert found["stock_available"] is True
    assert json.loads(found["properties"]) == PROPERTIES
    assert len(found) == len(PRICING) + 4
    assert (row.extra, row.absent, list(row.notes)) == (None, frozenset(), [])


async def test_children_of_the_sample() -> None:
    row = await read(ARTICLE)
    ((stock,), (thing,), (supplier,)) = [rows or [] for rows in children(row)]
    barcode = {"barcode": "0871234567890"}
    assert stock | {"locations": json.loads(stock["locations"])} == {
        **LEVEL,
        **barcode,
        "stock_level": stock["stock_level"],
    }
    assert float(stock["stock_level"]) == 2.5
    flat = {name: value for name, value in OBJECT.items() if name not in ("identification", "expected_at")}
    numbers = {f"identification_{name}": f"0{name}" for name in NUMBERS}
    assert thing == {**flat, **numbers, **barcode, "expected_at": date(2026, 5, 1)}
    flat = {name: value for name, value in SUPPLIER.items() if name not in ("_id", "package")}
    package = {"package_contents": 10, "package_min_order_quantity": 5, "package_order_unit": 5}
    assert supplier == {**flat, **package, **barcode, "id": 501}
    assert [each.extra for rows in row.children for each in rows or ()] == [None, None, None]


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        ({}, [0, 0, None]),
        ({"stock": None, "objects": None, "suppliers": []}, [0, 0, 0]),
        ({"stock": [], "objects": [], "suppliers": []}, [0, 0, 0]),
        ({"stock": {"available": False}, "objects": [OBJECT], "suppliers": []}, [0, 1, 0]),
        ({"stock": "?", "suppliers": []}, [None, 0, 0]),  # nobody knows what that means
    ],
)
async def test_no_stock_and_no_objects_mean_none_and_a_missing_array_of_suppliers_nothing(
    gone: dict[str, Any], expected: list[int | None]
) -> None:
    bare = {name: ARTICLE[name] for name in ("barcode", "modified_at", "pricing", "properties")}
    row = await read(bare | gone)
    assert [None if rows is None else len(rows) for rows in row.children] == expected
    assert "stock_available" not in row.absent


async def test_php_writes_lists_as_maps_and_members_may_bear_long_names() -> None:
    mapped = {
        **ARTICLE,
        "pricing": {f"pricing_{name}" if name == "rrp_cents" else name: value for name, value in PRICING.items()},
        "stock": {"available": True, "stores": {"1": LEVEL, "4": {**LEVEL, "store_id": 4}}},
        "objects": {"3": OBJECT},
        "suppliers": {"0": {**SUPPLIER, "package": {"package_contents": 1, "package_order_unit": 3}}},
    }
    row = await read(mapped)
    stock, objects, suppliers = children(row)
    assert [len(each or ()) for each in (stock, objects, suppliers)] == [2, 1, 1]
    assert suppliers
    assert suppliers[0]["package_order_unit"] == 3
    assert values("articles", row)["pricing_rrp_cents"] == 1495


async def test_odd_child_rows_are_kept_where_they_stood() -> None:
    row = await read({**ARTICLE, "stock": {"available": True, "new": 1, "stores": [LEVEL, {"stock_level": 1}]}})
    assert json.loads(row.extra or "") == {"stock": {"new": 1, "stores": [{"stock_level": 1}]}}
    assert len(row.children[0] or ()) == 1


def page_of(*barcodes: str, token: str | None = None) -> dict[str, Any]:
    link = {} if token is None else {"next_url": f"https://s01.cyclesoftware.nl/api/v4/x.json?token={token}"}
    return {"data": [{"barcode": each} for each in barcodes], "pagination": link}


def queries(script: Script) -> list[str]:
    return [each[2].get(QUERY, "") for each in script.asked]


async def test_whole_list_goes_on_by_tokens_alone_and_ends_without_a_link() -> None:
    for kind, cursor in (("live", None), ("sweep", {"since": NOW.isoformat()})):
        script = Script([page_of("1", token="a+/=%2b"), page_of("2")])
        first, last = await pages_of("articles", walk_of(script, kind, cursor=cursor))  # type: ignore[arg-type]
        assert [(each[1], each[2]) for each in script.asked] == [(PATH, {}), (PATH, {QUERY: "token=a+/=%2b"})]
        assert (first.scope, last.scope, last.whole_walk) == (None, Scope(), True)
        assert "cannot show" in (last.unproven or "")
        assert last.cursor == {"since" if kind == "live" else "swept_at": NOW.isoformat()}


async def test_live_walk_asks_for_what_was_modified_since_in_14_digits() -> None:
    script = Script([page_of("1", token="t"), page_of("2")])
    first, last = await pages_of("articles", walk_of(script, cursor={"since": "2026-03-10T11:30:00+00:00"}))
    assert [each[2] for each in script.asked] == [{"modified_since": "20260310112000"}, {QUERY: "token=t"}]
    assert (last.scope, last.cursor) == (None, {"since": NOW.isoformat()})
    assert (first.cursor or {})["since"] == "2026-03-10T11:30:00+00:00"


async def test_overlap_is_ten_minutes_at_least() -> None:
    script = Script([page_of()])
    walk = walk_of(script, cursor={"since": "2026-03-10T11:30:00+00:00"}, overlap=60.0)
    await pages_of("articles", walk)
    assert script.asked[0][2] == {"modified_since": "20260310112000"}


async def test_a_walk_that_was_cut_off_goes_on_with_its_token_and_asks_once_more() -> None:
    page = await anext(STREAM.walk(walk_of(Script([page_of("1", token="t")]))))
    cursor = json.loads(json.dumps(page.cursor))
    script = Script([page_of("2"), page_of("3")])
    resumed, fresh = await pages_of("articles", walk_of(script, cursor=cursor))
    assert queries(script) == ["token=t", ""]
    assert set(script.asked[1][2]) == {"modified_since"}
    assert (resumed.scope, resumed.whole_walk, fresh.cursor) == (None, False, {"since": NOW.isoformat()})


async def test_an_outdated_token_starts_the_list_over() -> None:
    page = await anext(STREAM.walk(walk_of(Script([page_of("1", token="t")]))))
    outdated = BadRequest("400: Invalid token", status=400)
    script = Script([outdated, page_of("1", token="u"), page_of("2")])
    first, last = await pages_of("articles", walk_of(script, cursor=json.loads(json.dumps(page.cursor))))
    assert queries(script) == ["token=t", "", "token=u"]
    assert (first.starts_over, last.starts_over) == (True, False)
    assert last.cursor == {"since": NOW.isoformat()}


async def test_an_answer_without_pagination_keeps_the_rows_and_fails_the_run() -> None:
    pages = STREAM.walk(walk_of(Script([{"data": [{"barcode": "1"}]}])))
    page = await anext(pages)
    assert (len(page.records), page.cursor, page.scope) == (1, None, None)
    with pytest.raises(BadPayload, match="is missing beside `data`"):
        await anext(pages)


async def test_an_article_is_asked_for_by_its_barcode() -> None:
    assert STREAM.confirm
    script = Script([page_of("1")])
    assert json.loads(await STREAM.confirm(walk_of(script, "sweep"), ("1",))) == {"barcode": "1"}
    assert script.asked[0][2] == {"barcode": "1"}
    with pytest.raises(NotFound):
        await STREAM.confirm(walk_of(Script([page_of()]), "sweep"), ("1",))
    with pytest.raises(BadPayload, match="got others"):
        await STREAM.confirm(walk_of(Script([page_of("2")]), "sweep"), ("1",))


async def test_the_mirror_follows_changes_and_confirms_what_is_gone(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0, page_size=50)
    first = await bench.sync("shop.articles")
    assert (first.outcome, first.counts.inserted) == ("ok", len(bench.sandbox.truth("cyclesoftware", "articles")))
    assert first.pages > 2
    for table in CHILDREN:
        assert len(await bench.rows(f"cyclesoftware.{table}")) > 20
    world = bench.sandbox.world
    keys = list(world["cyclesoftware", "articles"].keys())
    bench.time.pass_by(minutes=15)
    for key in keys[:8]:
        world.change("cyclesoftware", "articles", key)
    bench.sandbox.put("cyclesoftware", "articles", {**world.get("cyclesoftware", "articles", keys[0]), "objects": []})
    world.put("cyclesoftware", "articles", world.fresh("cyclesoftware", "articles"))
    live = await bench.sync("shop.articles")
    assert (live.outcome, live.counts.inserted, live.counts.updated) == ("ok", 1, 8)
    found = await differences(bench, "shop.articles")
    assert not found, told(found)
    bench.time.pass_by(hours=3)
    await bench.sync("shop.articles")
    bench.time.pass_by(hours=3)
    bench.sandbox.faults.add("stock-changes-unseen", api="cyclesoftware", stream="articles", times=1)
    assert (await bench.sync("shop.articles")).counts.updated == 0
    for _ in range(2):  # the time of change does not tell of it, so that only a sweep finds it
        bench.time.pass_by(hours=1)
        assert (await bench.sync("shop.articles")).counts.updated == 0
    assert len(await differences(bench, "shop.articles")) == 1
    bench.sandbox.delete("cyclesoftware", "articles", keys[3])
    bench.sandbox.faults.add("row-vanishes", api="cyclesoftware", stream="articles", times=1, key=keys[1])
    bench.time.pass_by(days=1)
    sweep = await bench.sync("shop.articles", "sweep")
    assert (sweep.outcome, sweep.counts.updated, sweep.counts.deleted) == ("ok", 1, 1)
    asked = [each.query["barcode"] for each in bench.sandbox.requests if "barcode" in each.query]
    assert sorted(asked) == sorted([keys[1], keys[3]])
    found = await differences(bench, "shop.articles")
    assert not found, told(found)
