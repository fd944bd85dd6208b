"""Lookups keep nothing of a forgotten customer, and go on to keep nothing when they ask again."""

from tests.support.bench import Bench, MakeBench
from tests.support.forgetting import forgotten, leaks

FRAME, REMARK = "KANARIEFRAME1", "kanarie belt terug"


async def test_a_forgotten_customer_leaves_objects_and_comments(make_bench: MakeBench) -> None:
    bench: Bench = await make_bench(customers=30, stock_items=60)
    world = bench.sandbox.world
    customer = int(bench.config.sources["shop"].streams["comments"].lookup["customer_ids"][0])
    sold = world.truth("cyclesoftware", "stock_objects")[0]
    sold |= {"customer_id": customer, "identification": {"frame_number": FRAME}}
    world.put("cyclesoftware", "stock_objects", sold)
    comment = world.fresh("cyclesoftware", "comments") | {"customer_id": customer, "comment": REMARK}
    world.put("cyclesoftware", "comments", comment)
    for stream in ("customers", "stock_items", "stock_objects", "comments"):
        assert (await bench.sync(f"shop.{stream}")).outcome == "ok"
    assert await leaks(bench, FRAME, REMARK) == [FRAME, REMARK]
    await forgotten(bench, "shop.customers", customer)
    assert await leaks(bench, FRAME, REMARK) == []
    world.change("cyclesoftware", "stock_objects", sold["stock_object_id"])
    world.change("cyclesoftware", "comments", comment["comment_id"])
    bench.time.pass_by(hours=2)
    await bench.fetch("DELETE FROM syncd.cursors WHERE stream = 'stock_objects'")
    for stream in ("stock_objects", "comments"):
        assert (await bench.sync(f"shop.{stream}")).spent.requests > 0
    assert await leaks(bench, FRAME, REMARK) == []
    row = await bench.fetch(
        "SELECT customer_id, store_id, identification_frame_number FROM cyclesoftware.stock_objects"
        " WHERE stock_object_id = $1", sold["stock_object_id"],
    )  # fmt: skip
    assert [tuple(each) for each in row] == [(None, sold["store_id"], None)]
