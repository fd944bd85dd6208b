"""CycleSoftware: faults, authentication, odd values, and each stream against the sandbox."""

import base64
import json
from decimal import Decimal
from typing import Any

import pytest

from syncd.config import Secret
from syncd.errors import ConfigError
from syncd.sources.cyclesoftware import SOURCE
from syncd.sources.cyclesoftware.api import fault_of
from tests.support.bench import MakeBench
from tests.support.sources.cyclesoftware import (
    CUSTOMER,
    LEAD,
    NOW,
    OPTIONS,
    STOCK,
    STORE,
    Script,
    answer,
    expected,
    mirror_of,
    pages_of,
    parsed,
    values,
    walk_of,
)


@pytest.mark.parametrize(
    ("stream", "sample", "change", "column", "value", "extra"),
    [
        ("customers", CUSTOMER, {"customer_id": "1006"}, "customer_id", 1006, {"customer_id": "1006"}),
        ("customers", CUSTOMER, {"discount_percentage": "2.50"}, "discount_percentage", Decimal("2.50"),
         {"discount_percentage": "2.50"}),
        ("customers", CUSTOMER, {"datetime_created": None}, "datetime_created", None, None),
        ("customers", CUSTOMER, {"datetime_created": "0000-00-00 00:00:00"}, "datetime_created", None,
         {"datetime_created": "0000-00-00 00:00:00"}),
        ("customers", CUSTOMER, {"country_code_iso_3166": "sr"}, "country_code_iso_3166", "sr", None),
        ("customers", CUSTOMER, {"loyalty_points": 430}, "customer_id", 1006, {"loyalty_points": 430}),
        ("stores", STORE, {"store_coordinates": []}, "store_latitude", None, {"store_coordinates": []}),
        ("stores", STORE, {"store_coordinates": None}, "store_latitude", None, None),
        ("stores", STORE, {"store_coordinates": [1, 2, 3]}, "store_latitude", None, {"store_coordinates": [1, 2, 3]}),
        ("stock", STOCK, {"article_id": 30015}, "article_id", "30015", {"article_id": 30015}),
        ("stock", STOCK, {"is_demo": "NO"}, "is_demo", False, {"is_demo": "NO"}),
        ("leads", LEAD, {"store_id": "43831"}, "store_id", "43831", None),
        ("leads", LEAD, {"options": []}, "options_test_ride_requested", None, {"options": []}),
    ],
)  # fmt: skip
def test_odd_value(stream: str, sample: str, change: dict[str, Any], column: str, value: Any, extra: Any) -> None:
    row = parsed(stream, {**json.loads(sample), **change})
    assert values(stream, row)[column] == value
    assert json.loads(row.extra or "null") == extra


def test_missing_field_erases_only_where_the_vendor_declares_it_optional() -> None:
    sample = json.loads(CUSTOMER)
    del sample["company_name"], sample["datetime_created"]
    assert parsed("customers", sample).absent == {"company_name"}


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b'{"error": true, "error_message": "Unauthorized"}', "Unauthorized"),
        (b'\xef\xbb\xbf {"error": 1, "error_message": "two\\nlines"}', "two lines"),
        (b'{"error": "true", "error_message": ""}', "true"),
        (b'{"error": true}', "an error without a message"),
        (b'{"error": true, "error_message": "' + b"x" * 300 + b'"}', "x" * 200),
        (b'{"data": {"data": {"error": true, "error_message": "deep"}}}', "deep"),
        (b'{"error": false, "error_message": null, "customers": []}', None),
        (b'{"error": "0", "error_message": "", "data": []}', None),
        (b"<?xml?><result><error>1</error><error_message>No &amp; no</error_message></result>", "No & no"),
        (b"<SOAP-ENV:Fault><faultcode>400</faultcode><faultstring>The problem</faultstring></SOAP-ENV:Fault>",
         "The problem"),
        (b"<result><error>0</error></result>", None),
        (b"<html><body>Welcome</body></html>", None),
        (b"[]", None),
        (b"", None),
        (CUSTOMER.encode(), None),
    ],
)  # fmt: skip
def test_fault_in_any_form(body: bytes, fault: str | None) -> None:
    assert fault_of(answer(body)) == fault


def test_requests_are_signed_and_the_secret_stays_inside() -> None:
    auth = SOURCE.auth({**OPTIONS, "username": "üser", "password": Secret("p:w")})
    assert auth.headers() == {"Authorization": "Basic " + base64.b64encode("üser:p:w".encode()).decode()}
    assert not auth.due(NOW)
    assert not auth.refused()
    assert "p:w" not in repr(auth)
    with pytest.raises(ConfigError, match="colon"):
        SOURCE.auth({**OPTIONS, "username": "a:b"})


@pytest.mark.parametrize("stream", ["stock", "leads"])
async def test_lookup_without_keys_asks_nothing(stream: str) -> None:
    script = Script([])
    (page,) = await pages_of(stream, walk_of(script, cursor={"as_of": "x"}))
    assert (list(page.records), page.scope, page.cursor) == ([], None, {"as_of": "x"})
    assert not script.asked


@pytest.mark.parametrize("stream", ["customers", "stores", "stock_items", "platform_keys", "stock", "leads"])
async def test_mirror_equals_the_sandbox_after_a_run(make_bench: MakeBench, stream: str) -> None:
    bench = await make_bench(seed=7, page_size=37)
    result = await bench.sync(f"shop.{stream}")
    assert result.outcome == "ok", result.error
    truth = expected(stream, bench.sandbox.truth("cyclesoftware", stream))
    assert truth
    assert await mirror_of(bench, stream) == truth


@pytest.mark.parametrize("stream", ["customers", "stores", "stock_items", "platform_keys"])
async def test_full_listing_follows_changes_and_deletions(make_bench: MakeBench, stream: str) -> None:
    bench = await make_bench(seed=7, page_size=37)
    await bench.sync(f"shop.{stream}")
    bench.time.pass_by(minutes=30)
    bench.sandbox.evolve(20)
    bench.time.pass_by(minutes=1)
    result = await bench.sync(f"shop.{stream}", "sweep" if stream == "customers" else "live")
    assert result.outcome == "ok", result.error
    assert await mirror_of(bench, stream) == expected(stream, bench.sandbox.truth("cyclesoftware", stream))
