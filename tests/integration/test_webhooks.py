"""Webhooks as they come: a daemon, the sandbox that signs them and calls it, the command that says what to enter."""

import contextlib
import io
import re
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from syncd.sandbox.apis.cyclesoftware.webhooks import FLOOD, GARBAGE, Webhooks
from syncd.service.callbacks import throttle
from syncd.service.callbacks.receiver import WEBHOOK_BODY_MAX_BYTES
from tests.support.bench import Bench, MakeBench
from tests.support.command import Ended, WallClock, syncd
from tests.support.daemon import serving, until
from tests.support.ports import free_port
from tests.support.search import trial

SECRET = "sandbox+secret/with=signs"
STREAMS = ("stock_items", "customers", "sales_orders", "sales_transactions", "workshop_orders")
ONE = "/api/v1/customers/{id:\\d+}.json"
LIST = "/api/v1/customers/list.json"


class Shop:
    """A bench whose shop was read once, and a daemon's configuration that polls hourly and listens for webhooks."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.port = bench, free_port()
        self.path = self.write()

    @property
    def vendor(self) -> Webhooks:
        return self.bench.sandbox.webhooks

    def write(self, extra: str = f'webhook_secret = "{SECRET}"', *, name: str = "shop.toml") -> Path:
        lines = [
            f'[database]\nurl = "{self.bench.db_url}"',
            f'[http]\nlisten = "127.0.0.1:0"\ncallback_listen = "127.0.0.1:{self.port}"',
            f'[sources.shop]\ntype = "cyclesoftware"\nbase_url = "{self.bench.address.base_url("cyclesoftware")}"',
            'username = "sandbox-shop"\npassword = "shop-pass:with/odd+signs"',
            extra,
        ]
        for stream in self.bench.config.sources["shop"].streams:
            if stream != "store_orders":
                on = 'every = "1h"' if stream in STREAMS else "enabled = false"
                lines += [f"[sources.shop.streams.{stream}]", on]
        path = self.bench.folder / name
        path.touch(mode=0o600)
        path.write_text("\n".join(lines))
        return path

    async def command(self, *words: str, path: Path | None = None) -> Ended:
        return await syncd(*words, "--config", path or self.path)

    @contextlib.asynccontextmanager
    async def daemon(self) -> AsyncIterator[None]:
        async with serving(self.path):
            yield

    async def answered(self, kind: str, count: int = 1) -> list[int]:
        async def statuses() -> list[int]:
            found = [call.status for call in self.vendor.sent if call.kind == kind]
            return found if len(found) >= count else []

        return list(await until(statuses))

    def asked(self, endpoint: str) -> int:
        return sum(entry.endpoint == endpoint for entry in self.bench.sandbox.requests)

    async def orders(self) -> list[Any]:
        return await self.bench.fetch("SELECT * FROM cyclesoftware.store_orders ORDER BY store_order_id")

    async def results(self) -> dict[str, int]:
        rows = await self.bench.fetch("SELECT result, sum(count)::int AS n FROM syncd.callback_counts GROUP BY 1")
        return {row["result"]: row["n"] for row in rows}


@pytest.fixture
async def shop(make_bench: MakeBench) -> Shop:
    bench = await make_bench(time=WallClock(), customers=30)
    for stream in STREAMS:
        await bench.sync(f"shop.{stream}")
    shop = Shop(bench)
    entry = (await shop.command("callbacks", "register", "shop", "--json")).json
    shop.vendor.url, shop.vendor.secret = entry["address"], entry["secret"]
    bench.sandbox.requests.clear()
    return shop


async def test_changes_are_there_within_two_seconds_and_deliveries_are_stored_before_the_answer(shop: Shop) -> None:
    async with shop.daemon():
        customer = shop.bench.sandbox.truth("cyclesoftware", "customers")[3]
        began = time.monotonic()
        shop.bench.sandbox.put("cyclesoftware", "customers", {**customer, "city": "Woudrichem"})

        async def city() -> bool:
            rows = await shop.bench.rows("cyclesoftware.customers", f"customer_id = {customer['customer_id']}")
            return bool(rows[0]["city"] == "Woudrichem")

        await until(city)
        took_s = time.monotonic() - began
        assert (shop.asked(ONE), shop.asked(LIST)) == (1, 0)
        assert took_s < 2

        order = shop.bench.sandbox.truth("cyclesoftware", "sales_orders")[0]
        shop.bench.sandbox.put("cyclesoftware", "sales_orders", {**order, "order_reference_text": "told"})

        async def reference() -> bool:
            key = order["sales_order_id"]
            rows = await shop.bench.rows("cyclesoftware.sales_orders", f"sales_order_id = {key}")
            return bool(rows[0]["order_reference_text"] == "told")

        await until(reference)

        shop.bench.sandbox.requests.clear()
        sale = next(
            one for one in shop.bench.sandbox.truth("cyclesoftware", "sales_transactions") if one["sales_order"]
        )
        shop.bench.sandbox.put("cyclesoftware", "sales_transactions", {**sale, "unpaid_amount_cents": 77})
        repair = shop.bench.sandbox.truth("cyclesoftware", "workshop_orders")[0]
        shop.bench.sandbox.put("cyclesoftware", "workshop_orders", {**repair, "status_text": "told"})

        async def both() -> bool:
            sales = await shop.bench.rows("cyclesoftware.sales_transactions", "unpaid_amount_cents = 77")
            return bool(sales) and bool(await shop.bench.rows("cyclesoftware.workshop_orders", "status_text = 'told'"))

        await until(both)
        asked = [entry.query for entry in shop.bench.sandbox.requests if entry.stream == "sales_transactions"]
        assert {"sales_order_ids": str(sale["sales_order"]["sales_order_id"])} in asked
        paths = [entry.path for entry in shop.bench.sandbox.requests if entry.stream == "workshop_orders"]
        key = f"{repair['customer_id']}/workshop-order/{repair['workshop_order_id']}.json"
        assert [path.endswith(f"/customers/{key}") for path in paths] == [True]
        number = repair["workshop_order_id"]
        gone = {"workshop_order_id": number, "sales_order": {"customer_id": repair["customer_id"]}}
        shop.bench.sandbox.delete("cyclesoftware", "workshop_orders", number)
        shop.vendor.courier.send(shop.vendor.signed("gone", shop.vendor.envelope("workshop_order.deleted", gone)))

        async def buried() -> bool:
            where = f"workshop_order_id = {number} AND _deleted_at IS NOT NULL"
            return bool(await shop.bench.rows("cyclesoftware.workshop_orders", where))

        await until(buried)

        delivery = shop.bench.sandbox.world.fresh("cyclesoftware", "store_orders")
        shop.bench.sandbox.put("cyclesoftware", "store_orders", delivery)
        assert set(await shop.answered("change", 5)) == {200}
        (row,) = await shop.orders()
        items = await shop.bench.rows("cyclesoftware.store_order_items")
        told = [(item["position"], item["barcode"], item["quantity"]) for item in items]
        assert told == [(at, item["barcode"], Decimal(item["quantity"])) for at, item in enumerate(delivery["items"])]
        assert (row["store_order_id"], row["status"], row["_extra"]) == (delivery["store_order_id"], "Open", None)

        changed = {**delivery, "status_id": 1, "status": "Verwerkt", "items": delivery["items"][:1]}
        shop.bench.sandbox.put("cyclesoftware", "store_orders", changed)
        assert set(await shop.answered("change", 6)) == {200}
        assert [row["status"] for row in await shop.orders()] == ["Verwerkt"]
        assert len(await shop.bench.rows("cyclesoftware.store_order_items")) == 1
    runs = await shop.bench.fetch("SELECT stream, kind, outcome, requests FROM syncd.runs WHERE kind = 'callback'")
    assert {tuple(run) for run in runs} == {
        ("customers", "callback", "ok", 1), ("store_orders", "callback", "ok", 0),
        ("sales_transactions", "callback", "ok", 1), ("workshop_orders", "callback", "ok", 1),
    }  # fmt: skip


@trial
async def test_hostile_calls_are_refused_repeated_ones_dropped_and_a_flood_costs_a_poll(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    before = await shop.bench.rows("cyclesoftware.customers", "true")
    async with shop.daemon():
        wanted = {
            "wrong": {401}, "unsigned": {401}, "sha1": {401}, "foreign": {200}, "unknown": {200}, "misnamed": {200},
            "stranger": {404}, "garbage": {400}, "huge": {413, 0},
        }  # fmt: skip
        for kind, statuses in wanted.items():
            shop.vendor.attack(kind)
            assert set(await shop.answered(kind, len(GARBAGE) if kind == "garbage" else 1)) <= statuses, kind
        assert shop.asked(ONE) == 0

        shop.vendor.attack("reordered")
        assert await shop.answered("reordered", 2) == [200, 200]
        assert [row["status"] for row in await shop.orders()] == ["Verwerkt"]  # the older event came last

        shop.vendor.attack("duplicate")
        assert await shop.answered("duplicate", 3) == [200] * 3

        async def fetched() -> bool:
            return shop.asked(ONE) > 0

        await until(fetched)
        assert shop.asked(ONE) == 1

        for over, form in (("payload", "hex"), ("body", "base64"), ("body", "HEX"), ("body", "prefixed")):
            shop.vendor.over, shop.vendor.form = over, form
            shop.vendor.courier.send(shop.vendor.signed("form", shop.vendor.envelope("quote.lost", {"n": 1})))
        assert await shop.answered("form", 4) == [200] * 4

        shop.vendor.attack("flood")
        assert set(await shop.answered("flood", FLOOD)) == {200}

        async def polled() -> bool:
            return shop.asked(LIST) > 0

        await until(polled)
        assert shop.asked(LIST) == 1
        assert 1 <= shop.asked(ONE) <= throttle.FETCHES_PER_MINUTE

        async def counted() -> dict[str, int]:
            found = await shop.results()
            return found if found.get("accepted", 0) else {}

        results = await until(counted)
    assert await shop.bench.rows("cyclesoftware.customers", "true") == before
    assert {
        "refused: wrong signature": 1, "refused: no signature": 1, "refused: signed with sha1": 1,
        "ignored: another account": 1, "refused: wrong form": len(GARBAGE), "refused: too large": 1,
    }.items() <= results.items()  # fmt: skip
    known = await shop.bench.fetch("SELECT * FROM syncd.webhooks")
    assert SECRET not in repr(known) + capsys.readouterr().out
    assert len(known) > FLOOD


async def test_a_slow_sender_is_let_go_and_a_call_outlives_a_restart_as_known(shop: Shop) -> None:
    url = str(shop.vendor.url)
    call = shop.vendor.call("store_orders", shop.bench.sandbox.world.fresh("cyclesoftware", "store_orders"))
    async with aiohttp.ClientSession() as http:
        async with shop.daemon():
            async with http.post(url, data=call.body, headers=call.headers) as answer:
                assert answer.status == 200
            async with http.get(url) as answer:
                assert answer.status == 405
            async with http.post(url, data=io.BytesIO(b" " * (WEBHOOK_BODY_MAX_BYTES + 1))) as answer:
                assert answer.status == 413
        (row,) = await shop.orders()
        async with shop.daemon(), http.post(url, data=call.body, headers=call.headers) as answer:
            assert answer.status == 200
    assert await shop.orders() == [row]
    runs = await shop.bench.fetch("SELECT 1 FROM syncd.runs WHERE stream = 'store_orders'")
    assert len(runs) == 1


async def test_register_prints_what_to_enter_and_check_helps_to_find_the_hash(shop: Shop) -> None:
    shown = await shop.command("callbacks", "register", "shop")
    assert shown.code == 0
    assert SECRET in shown.out
    assert "store_order.created" in shown.out
    (address,) = re.findall(r"http://\S+", shown.out)
    assert address == shop.vendor.url
    assert SECRET not in address
    none = await shop.command("callbacks", "register", "shop", path=shop.write("", name="none.toml"))
    assert (none.code, "webhook_secret" in none.err) == (2, True)
    shop.vendor.hash = "sha1"
    async with shop.daemon():
        for _ in range(3):
            shop.vendor.attack("wrong")
        await shop.answered("wrong", 3)

        async def counted() -> bool:
            return (await shop.results()).get("refused: signed with sha1", 0) + (await shop.results()).get(
                "refused: wrong signature", 0
            ) == 3

        await until(counted)
        told = await shop.command("check")
        status = await shop.command("callbacks", "status", "shop")
    assert "3 calls with a signature that matches none of sha256, sha1, sha512" in told.out
    assert "3 refused: wrong signature" in status.out
