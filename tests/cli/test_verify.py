"""`syncd verify`: what differs, what is repaired, and Ctrl-C."""

import asyncio

from syncd.cli import exits
from tests.support.bench import Bench
from tests.support.command import (
    requests_reach,
    started,
    syncd,
)

_VERSIONS = "SELECT customer_id, xmin::text, _changed_at FROM cyclesoftware.customers"
_SPENT = "SELECT day_used_live, day_used_backfill FROM syncd.budgets WHERE source = 'shop'"


async def test_verify_finds_and_repairs_what_was_changed_by_hand(shop: Bench) -> None:
    path = shop.config_file()
    await shop.sync("shop.customers")
    assert (await syncd("verify", "shop.customers", "--config", path)).code == 0
    customers = [row["customer_id"] for row in await shop.rows("cyclesoftware.customers")]
    phones = await shop.rows("cyclesoftware.customer_phone_numbers")
    altered, dropped, buried = customers[3], customers[60], customers[120]
    phone = next(row for row in phones if row["customer_id"] not in (altered, dropped, buried))
    async with shop.db.connection() as conn:
        await conn.execute("UPDATE cyclesoftware.customers SET city = 'Elders' WHERE customer_id = $1", altered)
        await conn.execute("DELETE FROM cyclesoftware.customers WHERE customer_id = $1", dropped)
        await conn.execute("UPDATE cyclesoftware.customers SET _deleted_at = now() WHERE customer_id = $1", buried)
        await conn.execute(
            "UPDATE cyclesoftware.customer_phone_numbers SET phone_number = '0' WHERE customer_id = $1"
            " AND phone_number_id = $2",
            phone["customer_id"], phone["phone_number_id"],
        )  # fmt: skip
    found = await syncd("verify", "shop.customers", "--config", path)
    assert found.code == 1
    assert f"cyclesoftware.customers {altered}: city\n" in found.out
    assert f"cyclesoftware.customers {dropped}: missing here\n" in found.out
    assert f"cyclesoftware.customers {buried}: buried here, alive upstream\n" in found.out
    key = f"{phone['customer_id']}/{phone['phone_number_id']}"
    assert f"cyclesoftware.customer_phone_numbers {key}: phone_number\n" in found.out
    assert "--repair" in found.err
    versions = {row["customer_id"]: (row["xmin"], row["_changed_at"]) for row in await shop.fetch(_VERSIONS)}
    spent = await shop.fetch(_SPENT)
    repaired = await syncd("verify", "shop.customers", "--repair", "--json", "--config", path)
    assert repaired.code == 0
    assert all(difference["repaired"] for difference in repaired.json[0]["differences"])
    again = await syncd("verify", "shop.customers", "--json", "--config", path)
    assert (again.code, again.json[0]["differences"]) == (0, [])
    now = {row["customer_id"]: (row["xmin"], row["_changed_at"]) for row in await shop.fetch(_VERSIONS)}
    assert {key for key in now if now[key] != versions.get(key)} <= {altered, dropped, buried, phone["customer_id"]}
    (before,), (after,) = spent, await shop.fetch(_SPENT)
    assert after["day_used_live"] == before["day_used_live"] > 0
    assert after["day_used_backfill"] > before["day_used_backfill"] > 0


async def test_verify_tells_what_is_damaged_from_what_changed_upstream(shop: Bench) -> None:
    path = shop.config_file()
    await shop.sync("shop.customers")
    customers = [row["customer_id"] for row in await shop.rows("cyclesoftware.customers")]
    damaged, lost, changed, damaged_child = customers[3], customers[4], customers[5], customers[6]
    await shop.fetch("UPDATE cyclesoftware.customers SET city = 'Elders' WHERE customer_id = $1", damaged)
    await shop.fetch("DELETE FROM cyclesoftware.customers WHERE customer_id = $1", lost)
    await shop.fetch("DELETE FROM cyclesoftware.customer_phone_numbers WHERE customer_id = $1", damaged_child)
    record = next(r for r in shop.sandbox.truth("cyclesoftware", "customers") if r["customer_id"] == changed)
    shop.sandbox.put("cyclesoftware", "customers", record | {"city": "Verhuisd"})
    ended = await syncd("verify", "shop.customers", "--pages", "0", "--json", "--config", path)
    by_key = {int(each["key"][0]): each["cause"] for each in ended.json[0]["differences"]}
    assert by_key == {damaged: "damaged", lost: "missing", changed: "changed", damaged_child: "damaged"}
    told = await syncd("verify", "shop.customers", "--pages", "0", "--config", path)
    order = [told.out.index(words) for words in ("damaged here:", "missing here:", "changed upstream", f" {changed}: ")]
    assert order == sorted(order)
    assert "1 changed: the next live run brings it" in told.err


async def test_verify_tells_what_is_gone_upstream_and_leaves_it_to_the_sweep(shop: Bench) -> None:
    await shop.sync("shop.customers")
    shop.sandbox.delete("cyclesoftware", "customers", 8)
    part = await syncd("verify", "shop.customers", "--pages", "1", "--json", "--config", shop.config_file())
    assert (part.json[0]["complete"], part.json[0]["differences"]) == (False, [])
    whole = await syncd("verify", "shop.customers", "--repair", "--pages", "0", "--config", shop.config_file())
    assert whole.code == 1
    assert "cyclesoftware.customers 8: gone upstream" in whole.out
    assert "--full" in whole.err


async def test_verify_judges_only_the_rows_about_which_the_listing_says_everything(shop: Bench) -> None:
    await shop.sync("shop.payments")
    old = "book_date < (SELECT max(book_date) FROM cyclesoftware.payments) - interval '40 days'"
    assert await shop.rows("cyclesoftware.payments", old)
    whole = await syncd("verify", "shop.payments", "--pages", "0", "--json", "--config", shop.config_file())
    assert (whole.code, whole.json[0]["differences"]) == (0, [])


async def test_a_second_ctrl_c_ends_at_once_and_quietly(shop: Bench) -> None:
    shop.sandbox.faults.add("hang", api="cyclesoftware")
    async with started("verify", "shop.customers", "--config", shop.config_file()) as running:
        await requests_reach(shop, 1)
        running.interrupt()
        await asyncio.sleep(0.3)
        running.interrupt()
        ended = await running.ended()
    assert ended.code == exits.STOPPED
    assert ended.err.splitlines()[-1].startswith("stopped; what was committed stays")
