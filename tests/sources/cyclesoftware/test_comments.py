"""CycleSoftware's comments and labels: samples, paging that never says its end, and what is gone."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from syncd.contract import Scope
from syncd.contract.errors import BadRequest, NotFound
from syncd.sources.cyclesoftware import SOURCE
from tests.support.bench import Bench, MakeBench
from tests.support.sources.cyclesoftware import Script, pages_of, parsed, values, walk_of
from tests.support.truth import differences, told

COMMENT = {
    "comment_id": 12, "comment_type_id": 1, "comment_type_name": "general", "comment_type_label": "Algemeen",
    "employee_id": 8, "entity_id": 1006, "entity_type_id": 1, "entity_type_name": "customer", "customer_id": 1006,
    "comment": "Belt terug", "created_at": "27-09-2025 10:00:05",
}  # fmt: skip
MISSING = NotFound("no", status=404)


def page_of(*ids: int, after: Any = "/api/v1/customers/1006/comments.json?offset=9", **more: Any) -> dict[str, Any]:
    return {"comments": [{**COMMENT, "comment_id": n} for n in ids], "next_resultset": after, **more}


def asking(script: Script, held: tuple[int, ...] = (), **lookup: list[str]) -> Any:
    async def keys(_scope: Scope) -> list[tuple[int]]:
        return [(each,) for each in held]

    return replace(walk_of(script, lookup=lookup or {"customer_ids": ["1006"]}), held=keys)


def ids_of(page: Any) -> list[int]:
    return [json.loads(record)["comment_id"] for record in page.records]


def test_samples() -> None:
    row = parsed("comments", COMMENT)
    assert row.extra is None
    at = datetime(2025, 9, 27, 8, 0, 5, tzinfo=UTC)
    assert values("comments", row) == {**COMMENT, "created_at": at, "modified_at": None}


async def test_a_list_that_always_names_a_next_page_ends_where_nothing_new_comes() -> None:
    script = Script([page_of(1, 2, after="?offset=2"), page_of(2, 3, after="?offset=3"), page_of(3, after="?offset=4")])
    (page,) = await pages_of("comments", asking(script))
    assert [asked[2] for asked in script.asked] == [{}, {"offset": "1"}, {"offset": "2"}]
    assert {asked[1] for asked in script.asked} == {"/api/v1/customers/1006/comments.json"}
    assert (ids_of(page), page.scope, page.doubt) == ([1, 2, 3], None, None)
    (page,) = await pages_of("comments", asking(Script([page_of(1, after="?offset=1"), page_of(after="?offset=1")])))
    assert ids_of(page) == [1], "the vendor's sample: a path to a next page after the only comment"
    (page,) = await pages_of("comments", asking(Script([page_of(1, 2, after=None)])))
    assert ids_of(page) == [1, 2]


async def test_a_missing_comment_is_gone_only_if_its_own_request_says_so() -> None:
    script = Script([page_of(1, after=None), MISSING, {**COMMENT, "comment_id": 3}])
    (page,) = await pages_of("comments", asking(script, held=(1, 2, 3)))
    assert [asked[1] for asked in script.asked[1:]] == ["/api/v1/comments/2.json", "/api/v1/comments/3.json"]
    assert (ids_of(page), page.scope) == ([1, 3], Scope(column="comment_id", values=(2,), guarded=False))
    (page,) = await pages_of("comments", asking(Script([MISSING, MISSING]), held=(2,), entities=["7/51208"]))
    assert (ids_of(page), page.scope) == ([], Scope(column="comment_id", values=(2,), guarded=False))


async def test_fewer_comments_than_promised_and_lists_without_an_end_bury_nothing() -> None:
    (page,) = await pages_of("comments", asking(Script([page_of(1, after=None, results=3)]), held=(2,)))
    assert (page.scope, page.doubt) == (None, "`results` says 3, but 1 comments came")
    with pytest.raises(BadRequest, match="loop"):
        await pages_of("comments", asking(Script([page_of(1, 2)] * 9), held=(5,)))
    pages = []
    with pytest.raises(BadRequest, match="next_resultset` is missing"):  # noqa: PT012  (the rows come before the error)
        async for page in SOURCE.stream("comments").walk(asking(Script([{"comments": [COMMENT]}]), held=(5,))):
            pages.append(page)  # noqa: PERF401  (a comprehension would lose them)
    assert [(ids_of(page), page.scope) for page in pages] == [([12], None)]


@pytest.mark.parametrize(
    "body",
    [
        {"labels": ["a", "b"]}, ["a", "b"], {"data": ["a", "b"]}, {"data": {"labels": ["a", "b"]}},
        {"labels": {"0": "a", "1": "b"}},
    ],
)  # fmt: skip
async def test_labels_become_one_row(body: Any) -> None:
    script = Script([body])
    (page,) = await pages_of("labels", walk_of(script, lookup={"entities": ["7/51208"]}))
    assert script.asked[0][:2] == ("GET", "/api/v1/labels/7/51208/get.json")
    row = parsed("labels", page.records[0])
    found = values("labels", row)
    assert {**found, "labels": json.loads(found["labels"])} == {
        "entity_type_id": 7, "entity_id": 51208, "labels": ["a", "b"],
    }  # fmt: skip


async def test_labels_of_what_does_not_exist_are_gone_and_odd_keys_are_refused() -> None:
    (page,) = await pages_of("labels", walk_of(Script([MISSING]), lookup={"entities": ["7/51208"]}))
    scope = Scope(column="entity_id", values=(51208,), also=(("entity_type_id", 7),), guarded=False)
    assert (list(page.records), page.scope) == ([], scope)
    with pytest.raises(BadRequest, match='expected an entity such as "7/51208"'):
        await pages_of("labels", walk_of(Script([]), lookup={"entities": ["51208"]}))


async def test_both_follow_the_upstream(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=60, stock_items=0)
    for selector in ("shop.comments", "shop.labels"):
        first = await bench.sync(selector)
        assert (first.outcome, first.counts.inserted > 5) == ("ok", True), first.error
        assert not (found := await differences(bench, selector)), told(found)
    world, held = bench.sandbox.world, await bench.rows("cyclesoftware.comments")
    world.delete("cyclesoftware", "comments", held[0]["comment_id"])
    world.change("cyclesoftware", "comments", held[1]["comment_id"])
    world.delete("cyclesoftware", "labels", (7, 700_001))
    world.change("cyclesoftware", "labels", (7, 700_002))
    bench.time.pass_by(hours=1)
    for selector in ("shop.comments", "shop.labels"):
        result = await bench.sync(selector)
        assert (result.counts.updated, result.counts.deleted) == (1, 1), selector
        assert not (found := await differences(bench, selector)), told(found)
