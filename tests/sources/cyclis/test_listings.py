"""Cyclis' companies, dealers and cyclists: the vendor's samples, and what a full list speaks for."""

import json
from decimal import Decimal
from typing import Any

import pytest

from syncd.contract import RunKind, Scope
from syncd.errors import NotFound, ScopeMissing
from tests.support.bench import MakeBench
from tests.support.sources.cyclis import (
    DEALER,
    ID,
    NOW,
    SAMPLE_ID,
    A,
    B,
    C,
    Script,
    companies,
    expected,
    in_scope,
    mirror_of,
    order,
    pages_of,
    parsed,
    values,
    walk_of,
)

CYCLIST: dict[str, Any] = {
    "id": ID,
    "type": "cyclist",
    "attributes": {
        "first_name": "John",
        "last_name": "Doe",
        "email": "user@example.com",
        "lang": "en_US",
        "external_identifier": "string",
        "metadata": {},
    },
    "relationships": {"company": {"data": {"type": "company", "id": ID}}},
}


def test_cyclist_sample() -> None:
    row = parsed("cyclists", CYCLIST)
    assert values("cyclists", row) == {
        "id": SAMPLE_ID,
        "type": "cyclist",
        "first_name": "John",
        "last_name": "Doe",
        "email": "user@example.com",
        "lang": "en_US",
        "external_identifier": "string",
        "metadata": "{}",
        "company_id": SAMPLE_ID,
        "company_type": "company",
    }
    assert (row.extra, row.notes, row.absent) == (None, [], frozenset())


def test_dealer_sample() -> None:
    row = parsed("dealers", DEALER)
    assert values("dealers", row) == {
        "id": SAMPLE_ID,
        "type": "dealer",
        "name": "The Dealer",
        "street_name": "string",
        "street_number": "string",
        "postal_code": "string",
        "city": "string",
        "country_code": "BE",
        "email": "dealer@example.com",
        "phone": "014 30 30 30",
        "mobile": "0495 10 20 30",
        "vat": "BE 0123.456.789",
        "latitude": Decimal("50.8503"),
        "longitude": Decimal("4.3517"),
        "brands": '["Gazelle"]',
    }
    assert (row.extra, row.notes, row.absent) == (None, [], frozenset())


def test_company_keeps_whatever_it_brings() -> None:
    row = parsed("companies", {"id": ID, "type": "company", "attributes": {"name": "X NV", "vat": "BE 1"}})
    assert values("companies", row) == {"id": SAMPLE_ID, "type": "company", "name": "X NV"}
    assert json.loads(row.extra or "") == {"attributes": {"vat": "BE 1"}}


@pytest.mark.parametrize("stream", ["orders", "cyclists"])
@pytest.mark.parametrize(
    ("second", "scope"),
    [
        (companies(B, C), in_scope(A, B, C)),
        (NotFound("404"), in_scope(A, C)),
        (ScopeMissing("403"), in_scope(A, C)),
    ],
)
async def test_full_list_speaks_only_for_companies_that_are_visible(stream: str, second: Any, scope: Scope) -> None:
    script = Script([{"data": [order(1, C), order(2, A), order(3, None)]}, second])
    kind: RunKind = "sweep" if stream == "orders" else "live"
    (page,) = await pages_of(stream, walk_of(script, kind))
    assert (page.scope, page.whole_walk) == (scope, True)
    assert page.cursor == {"swept_at" if stream == "orders" else "as_of": NOW.isoformat()}


@pytest.mark.parametrize("stream", ["companies", "dealers"])
async def test_plain_full_list_speaks_for_all_rows(stream: str) -> None:
    script = Script([{"data": [DEALER]}])
    (page,) = await pages_of(stream, walk_of(script, options={f"{stream}_path": "api/own/"}))
    assert script.asked == [("/api/own", {})]
    assert (page.scope, page.whole_walk, page.cursor) == (Scope(), True, {"as_of": NOW.isoformat()})


async def test_single_object_is_a_list_of_one() -> None:
    (page,) = await pages_of("dealers", walk_of(Script([{"data": DEALER}])))
    assert [json.loads(record) for record in page.records] == [DEALER]


async def test_revoked_company_keeps_its_rows_and_a_granted_one_brings_them(make_bench: MakeBench) -> None:
    bench = await make_bench(seed=7)
    orders = bench.sandbox.truth("cyclis", "orders")
    company = orders[0]["relationships"]["company"]["data"]["id"]
    whole = expected("orders", orders)
    theirs = expected("orders", [each for each in orders if each["relationships"]["company"]["data"]["id"] == company])
    bench.sandbox.revoke_company(company)
    await bench.sync("lease.companies")
    await bench.sync("lease.orders")
    assert (await mirror_of(bench, "orders")).keys() == whole.keys() - theirs.keys()
    bench.sandbox.grant_company(company)
    await bench.sync("lease.companies")
    assert (await bench.sync("lease.orders")).outcome == "ok"
    assert await mirror_of(bench, "orders") == whole
    bench.sandbox.revoke_company(company)
    bench.time.pass_by(days=1)
    assert (await bench.sync("lease.orders", "sweep")).outcome == "ok"
    assert await mirror_of(bench, "orders") == whole
