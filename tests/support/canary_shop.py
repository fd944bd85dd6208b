"""A mirror with a customer whose every value can be found again."""

import json

from tests.support.bench import Bench, MakeBench
from tests.support.forgetting import CANARIES, KEY, canary, leaks

SHOP = "shop.customers"
KEPT = "".join(
    f"[sources.{stream}]\nhistory = true\nchanges = true\n"
    for stream in (
        "shop.streams.customers",
        "shop.streams.sales_orders",
        "lease.streams.cyclists",
        "lease.streams.orders",
    )
)


async def canary_shop(make_bench: MakeBench) -> Bench:
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
        await conn.execute(
            "UPDATE syncd.runs SET error = $1 WHERE run_id = 1", f"asked for customer {KEY}, got another"
        )
    assert sorted(await leaks(bench, *CANARIES, KEY)) == sorted(map(str, (*CANARIES, KEY)))
    return bench
