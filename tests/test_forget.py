"""`syncd forget`: a person is erased from everything that is stored, and nothing brings them back."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from syncd import erasure, ledger, mirror
from syncd import forget as command
from syncd.errors import UsageError
from syncd.sources import registry
from syncd.sync import Order, Result
from tests.command import WallClock, syncd
from tests.conftest import Bench, MakeBench
from tests.test_secrets import everything_stored
from tests.truth import differences, told

SHOP = "shop.customers"
KEPT = "".join(
    f"[sources.{stream}]\nhistory = true\nchanges = true\n"
    for stream in ("shop.streams.customers", "shop.streams.sales_orders", "lease.streams.cyclists", "lease.streams.orders")
)
KEY = 987_654_321
CANARIES = ("Zzyzxkanarie", "zzyzx@kanarie.example", "Kanariestraat", "0612345987", "zzyzx-vrij-veld")


def canary(bench: Bench, key: int = KEY) -> dict[str, Any]:
    """Return a customer all of whose personal values can be found again."""
    record = bench.sandbox.world.fresh("cyclesoftware", "customers") | {
        "customer_id": key, "name": "Zzyzxkanarie", "email": "zzyzx@kanarie.example", "street": "Kanariestraat",
        "nickname": "zzyzx-vrij-veld",
    }  # fmt: skip
    record["phone_numbers"] = [
        {"phone_number_id": "mob", "phone_number": "0612345987", "name": "Zzyzxkanarie", "customer_id": key}
    ]
    return record


async def forget(bench: Bench, place: str, *keys: object, **options: Any) -> int:
    defaults = {"excluded": False, "undo": False, "dry_run": False, "yes": True, "as_json": True}
    return await command.run(bench.config_file(KEPT), place, [str(key) for key in keys], **(defaults | options))


async def leaks(bench: Bench, *needles: object) -> list[str]:
    """Return which of these the database still holds anywhere."""
    stored = await everything_stored(bench)
    assert len(stored) > 10_000
    return [str(needle) for needle in needles if str(needle) in stored]


@pytest.fixture
async def shop(make_bench: MakeBench) -> Bench:
    """A mirror with a canary customer: rows, history, change feed, rejects, an order and a lead that refer to it."""
    bench = await make_bench(extra=KEPT, customers=40, page_size=10, sales_orders=12, leads=4)
    world = bench.sandbox.world
    bench.sandbox.put("cyclesoftware", "customers", canary(bench))
    order = bench.sandbox.truth("cyclesoftware", "sales_orders")[0]
    order |= {"customer_id": KEY, "order_reference_text": "voor Zzyzxkanarie", "contact": "zzyzx@kanarie.example"}
    bench.sandbox.put("cyclesoftware", "sales_orders", order)
    lead = bench.sandbox.truth("cyclesoftware", "leads")[0]
    lead["customer"] |= {"customer_id": KEY, "name": "Zzyzxkanarie", "email": "zzyzx@kanarie.example"}
    bench.sandbox.put("cyclesoftware", "leads", lead)
    for selector in (SHOP, "shop.sales_orders", "shop.leads"):
        assert (await bench.sync(selector)).outcome == "ok"
    bench.time.pass_by(minutes=20)
    changed = canary(bench) | {"city": "Kanariestraat"}
    bench.sandbox.put("cyclesoftware", "customers", changed)
    world.change("cyclesoftware", "sales_orders", order["sales_order_id"])
    for selector in (SHOP, "shop.sales_orders"):
        assert (await bench.sync(selector)).outcome == "ok"
    async with bench.db.connection() as conn:
        keyless = json.dumps({**canary(bench), "customer_id": None})
        other = json.dumps({"customer_id": None, "name": "Iemand anders", "city": "Kanariestraat"})
        for number, record in enumerate((keyless, other, json.dumps({**canary(bench), "discount_percentage": "\x00"}))):
            await conn.execute(
                "INSERT INTO syncd.rejects (source, stream, reason, record, fingerprint, run_id, first_seen_at,"
                " last_seen_at, occurrences) VALUES ('shop', 'customers', 'why', $1, $2, 1, now(), now(), 1)",
                record.replace("\\u0000", "x"), bytes([number]),
            )  # fmt: skip
        await conn.execute("UPDATE syncd.runs SET error = $1 WHERE run_id = 1", f"asked for customer {KEY}, got another")
    assert sorted(await leaks(bench, *CANARIES, KEY)) == sorted(map(str, (*CANARIES, KEY)))
    return bench


async def test_a_person_is_erased_from_everything_and_nobody_else(shop: Bench) -> None:
    before = {row["customer_id"] for row in await shop.rows("cyclesoftware.customers", "true")}
    revenue = await shop.fetch("SELECT count(*) AS orders, count(status_text) AS told FROM cyclesoftware.sales_orders")
    assert await shop.fetch("SELECT FROM history.cyclesoftware_customers WHERE customer_id = $1", KEY)
    assert await forget(shop, "shop", KEY) == 0
    assert await leaks(shop, *CANARIES[:2], *CANARIES[3:], KEY) == []
    assert {row["customer_id"] for row in await shop.rows("cyclesoftware.customers", "true")} == before - {KEY}
    again = await shop.fetch("SELECT count(*) AS orders, count(status_text) AS told FROM cyclesoftware.sales_orders")
    assert again == revenue
    (left,) = await shop.fetch("SELECT record FROM syncd.rejects")
    assert "Iemand anders" in left["record"]
    (marker,) = await shop.fetch("SELECT * FROM syncd.forgotten")
    assert (marker["source"], marker["stream"], len(marker["salt"])) == ("shop", "customers", 32)


async def test_no_run_brings_a_forgotten_person_back(shop: Bench) -> None:
    assert await forget(shop, "shop", KEY) == 0
    shop.sandbox.put("cyclesoftware", "customers", canary(shop))
    order = next(o for o in shop.sandbox.truth("cyclesoftware", "sales_orders") if o["customer_id"] == KEY)
    shop.sandbox.put("cyclesoftware", "sales_orders", order | {"order_reference_text": "Zzyzxkanarie weer"})
    for selector in (SHOP, "shop.sales_orders", "shop.leads"):
        shop.time.pass_by(hours=1)
        for kind in ("live", "sweep"):
            result = await shop.sync(selector, kind)
            assert (result.outcome, result.counts.rejected, result.counts.deleted) == ("ok", 0, 0)
    shop.time.pass_by(hours=1)
    since = shop.time.now().replace(year=2020)
    assert (await shop.sync(SHOP, "backfill", since=since)).outcome == "ok"
    assert await leaks(shop, *CANARIES, KEY) == ["Kanariestraat"]  # of the reject of somebody else
    (row,) = await shop.rows("cyclesoftware.sales_orders", f"sales_order_id = {order['sales_order_id']}")
    assert (row["customer_id"], row["order_reference_text"], row["_extra"]) == (None, None, None)
    assert row["status_text"] == order["status_text"]
    found = await differences(shop, SHOP, "shop.sales_orders")
    own = [line for line in found if str(KEY) not in line and str(order["sales_order_id"]) not in line]
    assert own == [], told(own)


async def test_verify_says_nothing_of_a_forgotten_person_and_repairs_nothing(shop: Bench) -> None:
    from syncd import verify

    assert await forget(shop, "shop", KEY) == 0
    path = shop.config_file(KEPT)
    for repair in (False, True):
        assert await verify.run(path, [SHOP, "shop.sales_orders"], pages=0, repair=repair, as_json=True) == 0
    assert await leaks(shop, *CANARIES[:2], KEY) == []
