"""`syncd forget`: a person goes from everything; what is asked, told and undone."""

import json
from typing import Any

import msgspec
import pytest

from syncd.cli.commands import forget as command
from syncd.errors import UsageError
from syncd.sources import registry
from syncd.storage.state import forgotten
from tests.support.bench import Bench, MakeBench
from tests.support.canary_shop import KEPT, SHOP, canary_shop
from tests.support.command import WallClock, syncd
from tests.support.forgetting import CANARIES, KEY, canary, leaks
from tests.support.terminal import on_terminal
from tests.support.truth import differences, told


async def forget(bench: Bench, place: str, *keys: object, **options: Any) -> int:
    defaults = {"excluded": False, "undo": False, "dry_run": False, "yes": True, "as_json": True}
    return await command.erase(bench.config_file(KEPT), place, [str(key) for key in keys], **(defaults | options))


@pytest.fixture
async def shop(make_bench: MakeBench) -> Bench:
    return await canary_shop(make_bench)


async def test_a_person_is_erased_from_everything_and_nobody_else(shop: Bench) -> None:
    before = {row["customer_id"] for row in await shop.rows("cyclesoftware.customers", "true")}
    revenue = await shop.fetch("SELECT count(*) AS orders, count(status_text) AS told FROM cyclesoftware.sales_orders")
    assert await shop.fetch("SELECT FROM history.cyclesoftware_customers WHERE customer_id = $1", KEY)
    page = "INSERT INTO syncd.known_pages SELECT 'shop', $1, sha256(''), 1, 1, 1, '', '', now()"
    for stream in ("customers", "stores"):
        await shop.fetch(page, stream)
    assert await forget(shop, "shop", KEY) == 0
    kept = await shop.fetch("SELECT stream FROM syncd.known_pages")
    assert [row["stream"] for row in kept] == ["stores"]  # a digest of a page's text is made of its persons, too
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
    assert row["store_id"] == order["store_id"]
    found = await differences(shop, SHOP, "shop.sales_orders")
    own = [line for line in found if str(KEY) not in line and str(order["sales_order_id"]) not in line]
    assert own == [], told(own)


async def test_verify_says_nothing_of_a_forgotten_person_and_repairs_nothing(shop: Bench) -> None:
    from syncd.cli.commands import verify

    assert await forget(shop, "shop", KEY) == 0
    path = shop.config_file(KEPT)
    for repair in (False, True):
        assert await verify.verify_streams(path, [SHOP, "shop.sales_orders"], pages=0, repair=repair, as_json=True) == 0
    assert await leaks(shop, *CANARIES[:2], KEY) == []


async def test_a_dry_run_tells_known_forgotten_and_unknown_keys_apart(
    make_bench: MakeBench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = await make_bench(extra=KEPT, customers=10, page_size=10)
    assert (await bench.sync(SHOP)).outcome == "ok"
    known, gone = [row["customer_id"] for row in await bench.rows("cyclesoftware.customers")][:2]
    assert await forget(bench, SHOP, gone) == 0
    capsys.readouterr()
    assert await forget(bench, SHOP, known, gone, 987654, dry_run=True) == 0
    stands = {str(known): "stored", str(gone): "forgotten", "987654": "unknown"}
    assert json.loads(capsys.readouterr().out)["keys"] == stands
    assert await forget(bench, SHOP, known, gone, 987654, dry_run=True, as_json=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith((f"{gone}: already forgotten", "987654: no row"))] == lines[-2:]
    assert await forget(bench, SHOP, gone, undo=True, as_json=False) == 0
    undone = capsys.readouterr()
    assert "1 may come back" in undone.out
    assert ("to have them back now" in undone.err, "backups" in undone.err) == (True, False)


async def test_a_dry_run_counts_and_changes_nothing(shop: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert await forget(shop, "shop.customers", KEY, dry_run=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["done"], said["rows"]["cyclesoftware.customers"]) == (False, 1)
    assert sorted(await leaks(shop, *CANARIES, KEY)) == sorted(map(str, (*CANARIES, KEY)))
    assert await shop.fetch("SELECT FROM syncd.forgotten") == []
    assert await forget(shop, "shop.customers", KEY) == 0
    assert json.loads(capsys.readouterr().out) == {"done": True, "rows": said["rows"]}


async def test_undo_lets_a_person_come_back_with_the_next_full_pass(shop: Bench) -> None:
    assert await forget(shop, "shop", KEY) == 0
    assert (await shop.sync(SHOP, "sweep")).outcome == "ok"
    assert await leaks(shop, KEY) == []
    assert await forget(shop, "shop", KEY, undo=True) == 0
    shop.time.pass_by(hours=1)
    for selector in (SHOP, "shop.sales_orders"):
        assert (await shop.sync(selector, "sweep")).outcome == "ok"
    (row,) = await shop.rows("cyclesoftware.customers", f"customer_id = {KEY}")
    assert row["email"] == "zzyzx@kanarie.example"
    assert await shop.rows("cyclesoftware.sales_orders", f"customer_id = {KEY}")
    found = await differences(shop, SHOP)
    assert found == [], told(found)


async def test_the_feed_keeps_its_numbers_and_tells_that_somebody_is_gone(shop: Bench) -> None:
    before = await shop.fetch("SELECT id FROM syncd.changes ORDER BY id")
    assert await forget(shop, "shop", KEY) == 0
    after = await shop.fetch("SELECT * FROM syncd.changes ORDER BY id")
    assert [row["id"] for row in after][: len(before)] == [row["id"] for row in before]
    new = after[len(before) :]
    assert [row["id"] for row in new] == list(range(len(before) + 1, len(before) + 1 + len(new)))
    assert ("cyclesoftware.customers", "delete", "{}") in [
        (row["table_name"], row["operation"], row["key"]) for row in new
    ]
    (order,) = [row for row in new if row["table_name"] == "cyclesoftware.sales_orders"]
    assert (order["operation"], "customer_id" in order["changed"]) == ("update", True)
    (row,) = await shop.rows("cyclesoftware.sales_orders", "_changed_at IS NOT NULL AND customer_id IS NULL")
    assert json.loads(order["key"]) == {"sales_order_id": row["sales_order_id"]}


@pytest.mark.parametrize(
    ("place", "keys", "options", "says"),
    [
        ("nowhere", ["1"], {}, "no source nowhere"),
        ("parts", ["1"], {}, "no stream of parts"),
        ("shop.stores", ["1"], {}, "shop.stores has no person"),
        ("shop", [], {}, "No key"),
        ("shop", ["x"], {}, "customer_id: integers; shop.leads has uuid: UUIDs"),
        ("shop.customers", ["99999999999999999999"], {}, "integers"),
        ("shop", [], {"excluded": True}, "one stream"),
        ("shop.customers", [], {"excluded": True}, "neither exclude nor hash"),
        ("shop.customers", ["1"], {"excluded": True}, "no keys"),
        ("shop", ["1"], {"yes": False}, "no terminal"),
    ],
)
async def test_what_cannot_be_done_is_said(
    bench: Bench, place: str, keys: list[str], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        await forget(bench, place, *keys, **options)
    assert says in f"{caught.value} {caught.value.hint}"
    assert caught.value.hint


async def test_one_who_was_never_mirrored_is_kept_away_too(bench: Bench) -> None:
    assert await forget(bench, "shop", KEY) == 0
    bench.sandbox.put("cyclesoftware", "customers", canary(bench))
    assert (await bench.sync(SHOP)).outcome == "ok"
    assert await leaks(bench, *CANARIES, KEY) == []


async def test_a_cyclist_and_a_contact_are_forgotten_by_their_ids(make_bench: MakeBench) -> None:
    bench = await make_bench(extra=KEPT)
    for selector in ("lease.companies", "lease.cyclists", "lease.orders", "cars.contacts"):
        assert (await bench.sync(selector)).outcome == "ok"
    (order,) = await bench.fetch("SELECT * FROM cyclis.orders WHERE cyclist_id <> id LIMIT 1")
    (cyclist,) = await bench.fetch("SELECT * FROM cyclis.cyclists WHERE id = $1", order["cyclist_id"])
    (contact,) = await bench.fetch("SELECT * FROM autengo.contacts LIMIT 1")
    assert await forget(bench, "lease", cyclist["id"]) == 0
    assert await forget(bench, "cars", contact["id"]) == 0
    bench.time.pass_by(hours=2)
    for selector in ("lease.cyclists", "lease.orders", "cars.contacts"):
        for kind in ("live", "sweep"):
            assert (await bench.sync(selector, kind)).outcome == "ok"
    assert await leaks(bench, cyclist["id"], contact["email"]) == []
    (left,) = await bench.fetch("SELECT * FROM cyclis.orders WHERE id = $1", order["id"])
    assert left["lease_cost"] == order["lease_cost"]
    assert (left["cyclist_id"], left["employee_id"]) == (None, None)
    orders = await bench.fetch("SELECT orders FROM reporting.companies WHERE company_id = $1", order["company_id"])
    assert orders[0]["orders"] > 0


async def test_a_list_that_never_changes_learns_of_one_who_may_come_back(make_bench: MakeBench) -> None:
    """A whole list that changes nothing is committed by one statement, which must notice who was remembered."""
    bench = await make_bench()
    for selector in ("lease.companies", "lease.cyclists"):
        assert (await bench.sync(selector)).outcome == "ok"
    (cyclist,) = await bench.fetch("SELECT id FROM cyclis.cyclists ORDER BY id LIMIT 1")
    assert await forget(bench, "lease", cyclist["id"]) == 0
    for undo in (False, True):
        if undo:
            assert await forget(bench, "lease", cyclist["id"], undo=True) == 0
        for _ in range(2):
            bench.time.pass_by(hours=2)
            assert (await bench.sync("lease.cyclists")).outcome == "ok"
        assert len(await bench.fetch("SELECT FROM cyclis.cyclists WHERE id = $1", cyclist["id"])) == undo


async def test_the_command_line_forgets(make_bench: MakeBench) -> None:
    bench = await make_bench(time=WallClock(), customers=12)
    bench.sandbox.put("cyclesoftware", "customers", canary(bench))
    path = bench.config_file()
    assert (await syncd("sync", SHOP, "--config", path)).code == 0
    asked = await syncd("forget", "shop", str(KEY), "--config", path)
    assert (asked.code, "--yes" in asked.err) == (2, True)
    rehearsed = await syncd("forget", "shop", str(KEY), "--dry-run", "--config", path)
    assert (rehearsed.code, "cyclesoftware.customers" in rehearsed.out) == (0, True)
    done = await syncd("forget", "shop", str(KEY), "--yes", "--config", path)
    assert (done.code, "no sync brings them back" in done.out) == (0, True)
    ended = await syncd("sync", SHOP, "--full", "-v", "--config", path)
    assert ended.code == 0
    for text in (rehearsed.out, done.out, ended.out, ended.err):
        assert not [needle for needle in CANARIES if needle in text]
    assert await leaks(bench, *CANARIES, KEY) == []


async def test_on_a_terminal_it_is_asked_first(make_bench: MakeBench) -> None:
    bench = await make_bench(customers=12)
    bench.sandbox.put("cyclesoftware", "customers", canary(bench))
    assert (await bench.sync(SHOP)).outcome == "ok"
    path = bench.config_file()
    for answer, code, says in (
        ("n", 1, "nothing was changed"),
        ("", 1, "nothing was changed"),
        ("y", 0, "forgotten: 1"),
    ):
        async with on_terminal("forget", "shop", str(KEY), "--config", path) as terminal:
            await terminal.shows("Erase this person for good?")
            assert "cyclesoftware.customers" in terminal.shown
            assert await bench.fetch("SELECT FROM cyclesoftware.customers WHERE customer_id = $1", KEY)
            terminal.type(f"{answer}\n")
            await terminal.shows(says)
            assert await terminal.ended() == code
        assert not [needle for needle in CANARIES if needle in terminal.raw]
    assert await leaks(bench, *CANARIES, KEY) == []


def test_a_person_has_one_key_column_and_what_refers_to_it_has_its_type() -> None:
    referring = 0
    for source in registry().values():
        tables = {stream.name: stream.table for stream in source.streams}
        for table in (*tables.values(), *(child.table for each in tables.values() for child in each.children)):
            names = {column.name: column.kind for column in table.columns}
            assert names.keys() >= {*table.personal, *table.refers, *table.needed}
            assert not table.person or len(table.key) == 1
            for column, stream in table.refers.items():
                referring += 1
                person = tables[stream]
                assert person.person
                assert column in table.personal
                assert column not in table.key
                assert names[column] == next(c.kind for c in person.columns if c.name == person.key[0])
    assert referring >= 3


async def test_the_generation_changes_with_everybody_who_is_forgotten_or_remembered(bench: Bench) -> None:
    told_ = []
    for keys, undo in ((["1"], False), (["1"], False), (["2"], False), (["1"], True), (["1"], False)):
        assert await forget(bench, "shop.customers", *keys, undo=undo) == 0
        async with bench.db.connection() as conn:
            told_.append((await forgotten.read_markers(conn, "shop")).generation)
    assert told_[0] == told_[1], "who is forgotten already is not forgotten again"
    assert len(set(told_[1:])) == 4
    assert msgspec.json.encode(told_)
