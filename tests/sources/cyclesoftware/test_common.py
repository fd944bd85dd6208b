"""CycleSoftware's lists of values, employees and suppliers: samples, forms of an answer, burials, privacy."""

import hashlib
import json
from typing import Any

import pytest

from syncd.contract import Page, Scope
from syncd.contract.errors import BadPayload, NotFound
from syncd.records.parser import Parser
from syncd.records.rows import Reject
from syncd.sources.cyclesoftware import SOURCE
from tests.support.bench import Bench, MakeBench
from tests.support.sources.cyclesoftware import NOW, ZONE, Script, pages_of, parsed, table, values, walk_of
from tests.support.truth import differences, told

HASH = "5694d08a2e53ffcae0c3103e5ad6f6076abd960eb1f8a56577040bc1028f702b"  # of nothing

EMPLOYEE = {
    "employee_id": 12,
    "employee_name": "Jan de Vries",
    "sso_username": "jan@example.nl",
    "verification_hash": HASH,
    "roles": ["seller"],
    "is_active": True,
    "is_default": False,
    "is_administrator": True,
    "avatar": None,
    "authorizations": [{"authorization_id": 3}],
}


async def records_of(stream: str, *answers: Any) -> list[dict[str, Any]]:
    """Return the records of a walk over these answers."""
    return [
        json.loads(record) for page in await pages_of(stream, walk_of(Script([*answers]))) for record in page.records
    ]


async def test_each_value_of_each_subject_is_a_record() -> None:
    answer = {
        "error": False,
        "data": {
            "sales_order_types": [
                {"id": 0, "description": "Bestelling", "description_en": "Order"},
                {"id": 6, "description": "Reparatie", "description_en": "Repair"},
            ],
            "a_subject_of_the_shop": [{"id": 6, "description": "Eigen"}],
        },
    }
    (page,) = await pages_of("enums", walk_of(Script([answer])))
    assert (page.scope, page.whole_walk, page.cursor) == (Scope(), True, {"as_of": NOW.isoformat()})
    rows = [parsed("enums", record) for record in page.records]
    assert [values("enums", row) for row in rows] == [
        {"subject": "sales_order_types", "id": 0, "description": "Bestelling", "description_en": "Order"},
        {"subject": "sales_order_types", "id": 6, "description": "Reparatie", "description_en": "Repair"},
        {"subject": "a_subject_of_the_shop", "id": 6, "description": "Eigen", "description_en": None},
    ]
    assert [row.extra for row in rows] == [None] * 3


@pytest.mark.parametrize(
    ("data", "ids"),
    [
        ([], []),
        ({}, []),
        ({"vat_codes": []}, []),
        ({"vat_codes": {"0": {"id": 1}, "7": {"id": 2}}}, [1, 2]),
        ({"vat_codes": {"id": 3, "description": "one alone"}}, [3]),
    ],
)
async def test_maps_and_lists_in_the_forms_of_php(data: Any, ids: list[int]) -> None:
    assert [record["id"] for record in await records_of("enums", {"data": data})] == ids


@pytest.mark.parametrize("data", [None, "x", 7, [{"id": 1}], {"vat_codes": None}, {"vat_codes": "x"}])
async def test_other_forms_of_enums_fail_the_run(data: Any) -> None:
    with pytest.raises(BadPayload, match=r"expected an (array|object) in `data"):
        await pages_of("enums", walk_of(Script([{"data": data}])))


@pytest.mark.parametrize("number", ["six", None, "", 1.5, True])
async def test_a_number_of_an_enum_that_is_none_is_a_reject(number: Any) -> None:
    (page,) = await pages_of("enums", walk_of(Script([{"data": {"vat_codes": [{"id": number}]}}])))
    assert isinstance(Parser(table("enums"), ZONE).parse(page.records[0]), Reject)


def test_employee_sample_holds_a_digest_of_the_secret_only() -> None:
    row = parsed("employees", EMPLOYEE)
    assert values("employees", row) == {
        "employee_id": 12,
        "employee_name": "Jan de Vries",
        "sso_username": "jan@example.nl",
        "verification_hash_sha256": hashlib.sha256(HASH.encode()).hexdigest(),
        "roles": '["seller"]',
        "is_active": True,
        "is_default": False,
        "is_administrator": True,
        "avatar": None,
        "authorizations": '[{"authorization_id": 3}]',
        "authorizations_warehouse": None,
    }
    assert row.extra is None
    refused = Parser(table("employees"), ZONE).parse(json.dumps({**EMPLOYEE, "employee_id": None}).encode())
    assert isinstance(refused, Reject)
    assert HASH not in refused.record


async def test_authorizations_are_read_under_either_name() -> None:
    other = {("authorization" if name == "authorizations" else name): value for name, value in EMPLOYEE.items()}
    both = {**EMPLOYEE, "employee_id": 13, "authorization": ["x"]}
    found = await records_of("employees", {"data": [EMPLOYEE, other, both, None]})
    assert found[:2] == [EMPLOYEE, EMPLOYEE]
    assert found[2:] == [both, None]


def supplier(number: int, **told: Any) -> dict[str, Any]:
    return {"supplier_id": number, "type": "bike-brand", "supplier_name": f"S{number}", "parent_supplier_id": 9, **told}


async def test_suppliers_are_merged_from_three_lists_and_the_last_wins() -> None:
    later = supplier(1, supplier_name="last")
    script = Script([{"data": [supplier(1), supplier(2)]}, {"data": [supplier(3)]}, {"data": [later, {"type": "x"}]}])
    (page,) = await pages_of("suppliers", walk_of(script))
    assert [asked[1] for asked in script.asked] == [
        "/api/v1/common/bike-brands.json",
        "/api/v1/common/moped-brands.json",
        "/api/v1/common/suppliers.json",
    ]
    assert [json.loads(record) for record in page.records] == [later, supplier(2), supplier(3), {"type": "x"}]
    assert (page.scope, page.whole_walk, page.cursor) == (Scope(), True, {"as_of": NOW.isoformat()})
    assert values("suppliers", parsed("suppliers", later)) == {
        "supplier_id": 1, "type": "bike-brand", "supplier_name": "last", "parent_supplier_id": 9,
    }  # fmt: skip


async def test_one_list_of_suppliers_that_fails_gives_nothing() -> None:
    seen: list[Page] = []
    walk = walk_of(Script([{"data": [supplier(1)]}, NotFound("gone", status=404)]))
    with pytest.raises(NotFound):
        seen += [page async for page in SOURCE.stream("suppliers").walk(walk)]
    assert not seen


SELECTORS = ("shop.enums", "shop.employees", "shop.suppliers")


@pytest.mark.parametrize("selector", SELECTORS)
async def test_the_mirror_follows_changes_and_buries_what_is_gone(make_bench: MakeBench, selector: str) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0)
    stream = selector.partition(".")[2]
    first = await bench.sync(selector)
    assert (first.outcome, first.counts.rejected) == ("ok", 0)
    assert first.counts.inserted == len(bench.sandbox.truth("cyclesoftware", stream)) > 10
    again = await bench.sync(selector)
    assert (again.counts.unchanged, again.counts.updated) == (first.counts.inserted, 0)
    world = bench.sandbox.world
    keys = list(world["cyclesoftware", stream].keys())
    world.change("cyclesoftware", stream, keys[0])
    world.put("cyclesoftware", stream, world.fresh("cyclesoftware", stream))
    bench.sandbox.delete("cyclesoftware", stream, keys[1])
    bench.time.pass_by(hours=1)
    result = await bench.sync(selector)
    assert (result.counts.inserted, result.counts.updated, result.counts.deleted) == (1, 1, 1)
    found = await differences(bench, selector)
    assert not found, told(found)


async def test_a_list_cut_short_is_not_believed(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0)
    assert (await bench.sync("shop.employees")).outcome == "ok"
    for number in range(3, 14):
        bench.sandbox.delete("cyclesoftware", "employees", number)
    bench.time.pass_by(hours=6)
    refused = await bench.sync("shop.employees")
    assert refused.outcome == "failed"
    assert "would bury 11 or more of 14 rows" in str(refused.error)
    assert len(await bench.rows("cyclesoftware.employees")) == 14
    assert (await bench.sync("shop.employees", accept_deletions=True)).counts.deleted == 11


async def test_the_subject_that_no_page_names_is_mirrored(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=0, stock_items=0)
    await bench.sync("shop.enums")
    rows = await bench.rows("cyclesoftware.enums", "subject = 'leenfiets_redenen'")
    assert [row["id"] for row in rows] == [1, 7]


async def test_names_of_employees_can_be_left_out_and_hashed(make_bench: MakeBench) -> None:
    privacy = '[privacy]\nhash_key = "a key of the test"\n'
    lines = '[sources.shop.streams.employees]\nexclude = ["sso_username", "avatar"]\nhash = ["employee_name"]\n'
    bench: Bench = await make_bench(customers=0, stock_items=0, extra=privacy + lines)
    assert (await bench.sync("shop.employees")).outcome == "ok"
    rows = await bench.rows("cyclesoftware.employees")
    names = {each["employee_name"] for each in bench.sandbox.truth("cyclesoftware", "employees")}
    assert len(rows) == 14
    assert not any(row["sso_username"] or row["avatar"] for row in rows)
    assert not {row["employee_name"] for row in rows} & names
    assert len({row["employee_name"] for row in rows}) == len(names)
    secrets = [each["verification_hash"] for each in bench.sandbox.truth("cyclesoftware", "employees")]
    stored = str([dict(row) for row in rows])
    assert not any(secret in stored for secret in secrets)
