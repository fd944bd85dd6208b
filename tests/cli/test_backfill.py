"""Backfills as a person sees them: what they will cost, how far they are, how to go on; several at once."""

import asyncio
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from syncd.cli.progress import RunsShown
from syncd.engine.order import Result
from syncd.sandbox import Limits
from syncd.sources import registry
from syncd.storage.state.runs import Counts, Spent
from tests.support.bench import Bench, MakeBench
from tests.support.command import Ended, WallClock, started, syncd, until
from tests.support.search import trial
from tests.support.terminal import on_terminal

PER_DAY = 400
LANE_A_DAY = PER_DAY * 0.8  # what the live reserve leaves
SINCE = ("--since", "2020-01-01")
WINDOWS = 80  # of 27 days, at the least, until today


@pytest.fixture
async def shop(make_bench: MakeBench) -> Bench:
    """A bench on the real clock, with customers on several pages and a day's quota that is worth a look.

    One page is asked for after the other, so that none is in vain and a run stays under way for a while.
    """
    return await make_bench(
        time=WallClock(), customers=250, page_size=20, limits=Limits(per_day=PER_DAY, per_minute=10_000),
        lines={"cyclesoftware": "in_flight = 1"},
    )  # fmt: skip


def asked(bench: Bench, stream: str = "customers") -> int:
    return sum(entry.stream == stream for entry in bench.sandbox.requests)


# --- What it will cost ------------------------------------------------------------------------------------------------


@trial
async def test_a_dry_run_tells_requests_shares_of_the_quota_rows_and_time(shop: Bench) -> None:
    await shop.sync("shop.customers")
    await shop.sync("shop.sales_orders")
    path, spent = shop.config_file(), len(shop.sandbox.requests)
    both = ("shop.customers", "shop.sales_orders")
    told = await syncd("backfill", *both, *SINCE, "--dry-run", "--json", "--config", path)
    assert told.code == 0, told
    costs = {cost["stream"]: cost for cost in told.json}
    customers, orders, together = costs["customers"], costs["sales_orders"], costs["*"]
    assert (customers["rows"], customers["page_rows"], customers["requests"]) == (250, 20, 14)
    assert customers["quota_days"] == pytest.approx(14 / LANE_A_DAY)
    # what was charged within half a second of an answer may count twice for a while: the lane holds less, never more
    assert 14 / LANE_A_DAY < customers["today_share"] <= 14 / (LANE_A_DAY - 2 * spent - 2)
    windows = (datetime.now(UTC) - datetime(2020, 1, 1, tzinfo=UTC)) / timedelta(days=27)
    assert windows <= orders["requests"] < 1.3 * windows, "each of its windows costs a request, an empty one too"
    assert together["requests"] == customers["requests"] + orders["requests"]
    assert together["quota_days"] == pytest.approx(customers["quota_days"] + orders["quota_days"])
    shown = await syncd("backfill", *both, *SINCE, "--dry-run", "--config", path)
    assert " ".join(shown.row("stream")) == "stream requests rows a page takes of today of a day rows known by"
    row = shown.row("shop.customers")
    assert row[1:4] == ["14", "250", "20"]
    assert row[-8:-6] == ["4.4", "%"]
    assert shown.row("shop.*")[1] == str(together["requests"])
    assert not await shop.fetch("SELECT FROM syncd.runs WHERE kind = 'backfill'")


async def test_a_dry_run_over_few_rows_knows_them_and_ends_well(make_bench: MakeBench) -> None:
    limits = Limits(per_minute=10_000, per_day=100_000)
    bench = await make_bench(time=WallClock(), customers=4, page_size=50, limits=limits)
    ended = await syncd(
        "backfill", "shop.customers", "--since", "2010", "--dry-run", "--json", "--config", bench.config_file()
    )
    (cost,) = ended.json
    assert (ended.code, cost["rows"], cost["requests"]) == (0, 4, 1)
    assert cost["rows_known"] == "the first page holds all"


async def test_a_dry_run_says_what_it_cannot_know(shop: Bench) -> None:
    (cost,) = (
        await syncd("backfill", "shop.customers", *SINCE, "--dry-run", "--json", "--config", shop.config_file())
    ).json
    assert (cost["requests"], cost["takes_s"], cost["quota_days"]) == (None, None, None)
    assert "not known" in cost["rows_known"]


@pytest.mark.parametrize(
    ("orders", "page_size", "since", "is_mirrored"),
    [
        pytest.param(40, 100, "2012-01-01", False, id="nothing mirrored", marks=trial),
        pytest.param(40, 100, "2012-01-01", True, id="little mirrored"),
        pytest.param(1200, 10, "2021-01-01", True, id="many pages a window", marks=trial),
        pytest.param(3, 5, "2026-10-01", False, id="few rows, few windows"),
    ],
)
async def test_a_range_of_windows_costs_what_its_estimate_said(
    make_bench: MakeBench, orders: int, page_size: int, since: str, *, is_mirrored: bool
) -> None:
    """Empty windows cost a request each, too."""
    limits = Limits(per_day=100_000, per_minute=100_000)
    bench = await make_bench(time=WallClock(), sales_orders=orders, page_size=page_size, limits=limits)
    if is_mirrored:
        assert (await bench.sync("shop.sales_orders")).outcome == "ok"
    words = ("backfill", "shop.sales_orders", "--since", since, "--config", bench.config_file())
    told = await syncd(*words, "--dry-run", "--json")
    assert told.code == 0, told
    (cost,) = told.json
    assert "windows of time are counted" in cost["rows_known"]
    assert (cost["rows"] is not None) == is_mirrored
    shown = await syncd(*words, "--dry-run")
    assert (shown.code, shown.row("shop.sales_orders")[1]) == (0, f"{cost['requests']:,}")
    assert (await syncd(*words)).code == 0
    (run,) = await bench.fetch("SELECT requests, pages FROM syncd.runs WHERE kind = 'backfill'")
    assert cost["requests"] == pytest.approx(run["requests"], rel=0.1, abs=1)


async def test_more_than_a_days_quota_is_told_in_days(shop: Bench) -> None:
    await shop.sync("shop.customers")
    path = shop.config_file("[sources.shop.budget]\nper_day = 30\n")
    shown = await syncd("backfill", "shop.customers", *SINCE, "--dry-run", "--json", "--config", path)
    (cost,) = shown.json
    assert cost["quota_days"] == pytest.approx(14 / 24, rel=0.01)
    assert cost["today_share"] is None or cost["today_share"] > 1
    assert cost["takes_s"] > 60


# --- How far it is ----------------------------------------------------------------------------------------------------


def only_lines(ended: Ended) -> bool:
    return not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", ended.out + ended.err)


async def test_on_a_terminal_a_bar_shows_it_and_ctrl_c_prints_what_goes_on(shop: Bench) -> None:
    path = shop.config_file()
    await shop.sync("shop.customers")
    shop.sandbox.latency_s = 0.6
    env = {"SYNCD_CONFIG": str(path)}
    async with on_terminal("backfill", "shop.customers", *SINCE, "--again", env=env) as terminal:
        await terminal.shows("to go, ")  # the forecast has come by
        await until(lambda: bool(re.search(r"/250 .* pages, \d+ requests, .* to go, \d", terminal.shown)))
        bar = re.findall(
            r"shop\.customers ━\S* +(\d+)/250 (\S+) (\d+) pages, (\d+) requests, (.+) to go, (.+) %", terminal.shown
        )
        terminal.type("\x03")
        assert await terminal.ended() == 1
    assert bar, terminal.shown
    rows, _, pages, requests, _, share = bar[-1]
    assert (0 < int(rows) < 250, 0 < int(pages) <= int(requests)) == (True, True)
    assert 0 < float(share) < 100 * 14 / LANE_A_DAY
    assert "\x1b[" in terminal.raw
    (go_on,) = re.findall(r"^to go on: (.+)$", terminal.shown, re.MULTILINE)
    assert go_on == f"syncd backfill shop.customers --since 2020-01-01 --config {path}"

    shop.sandbox.latency_s, before = 0.0, asked(shop)
    program = f"exec {sys.executable} -m {go_on}"
    process = await asyncio.create_subprocess_shell(program, stderr=asyncio.subprocess.PIPE, env={**os.environ})
    _, said = await process.communicate()
    assert process.returncode == 0, said
    assert b"goes on where it stopped" in said
    assert asked(shop) - before < 14, "it began anew"


@pytest.mark.parametrize("env", [{}, {"TERM": "dumb"}])
async def test_without_a_terminal_it_says_lines_and_no_control_codes(shop: Bench, env: dict[str, str]) -> None:
    path = shop.config_file()
    await shop.sync("shop.customers")
    shop.sandbox.latency_s = 0.3
    words = ["backfill", "shop.customers", *SINCE, "--config", str(path)]
    if env:
        async with on_terminal(*words, env=env) as terminal:
            assert await terminal.ended() == 0
        assert "━" not in terminal.shown
        return
    async with started(*words, env=env) as running:
        await until(lambda: asked(shop) > 20)
        running.interrupt()
        ended = await running.ended()
    assert ended.code == 1
    assert only_lines(ended), ended
    assert ended.err.splitlines()[0].startswith(
        "shop.customers: about 250 rows (as many as the mirror holds) in 14 requests, "
    )
    assert ended.err.splitlines()[-1] == f"to go on: syncd {' '.join(words)}"


async def test_a_second_ctrl_c_ends_at_once_and_says_how_to_go_on_too(shop: Bench) -> None:
    await shop.sync("shop.customers")
    words = ["backfill", "shop.customers", *SINCE, "--config", str(shop.config_file())]
    async with shop.db.transaction() as conn:
        await conn.execute("LOCK TABLE syncd.cursors IN SHARE ROW EXCLUSIVE MODE")  # its page cannot be committed
        async with started(*words) as running:
            while not await shop.fetch("SELECT FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            running.interrupt()
            await asyncio.sleep(0.5)
            running.interrupt()
            ended = await running.ended()
    assert ended.code == 130
    assert f"to go on: syncd {' '.join(words)}" in ended.err.splitlines()


def test_lines_tell_rows_pages_requests_waits_and_what_is_to_go(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    shown = RunsShown(lines=True, clock=lambda: now)
    shown.begin("shop.customers", rows=1000)
    result = Result("shop", "customers", "backfill", counts=Counts(seen=250), spent=Spent(6, 90.0), pages=5)
    now = 5.0
    shown.advance(result)
    assert capsys.readouterr().err == ""
    now = 60.0
    shown.advance(result)
    assert capsys.readouterr().err == (
        "shop.customers: 250 of 1,000 rows, 5 pages, 6 requests, waited 90 s, 3 min to go\n"
    )
    assert shown.requests_left("shop.customers") == 18
    now = 120.0
    shown.foresee("shop.customers", takes_s=2 * 86_400.0, quota_days=2.25)
    assert capsys.readouterr().err.endswith("waited 90 s, 2 days to go, 2.2 days of quota\n")
    now = 180.0
    shown.tick({"shop": 42.0})
    assert "budget: waits 42 s, 2 days to go" in capsys.readouterr().err


# --- Several at once, and the daemon ----------------------------------------------------------------------------------


@trial
async def test_backfills_of_several_processes_share_their_lane_beside_the_daemon_and_status_shows_them(
    make_bench: MakeBench,
) -> None:
    shop = await make_bench(
        time=WallClock(), customers=250, page_size=20, limits=Limits(per_minute=10_000),
        lines={"cyclesoftware": "in_flight = 1"},
    )  # fmt: skip
    watched = ("customers", "sales_orders", "stores")  # the first loads of all others would take the day's quota
    configured = shop.config_file().read_text()
    path = shop.config_file(
        "".join(
            f"[sources.shop.streams.{name}]\nenabled = false\n"
            for name in registry()["cyclesoftware"].names
            if name not in watched and f".{name}]" not in configured
        )
    )
    await shop.sync("shop.customers")
    await shop.sync("shop.sales_orders")
    shop.sandbox.latency_s = 0.4
    async with started("run", "--config", path) as daemon:
        async with (
            started("backfill", "shop.customers", *SINCE, "--config", path) as first,
            started("backfill", "shop.sales_orders", *SINCE, "--config", path) as second,
        ):
            status = await both_under_way(shop, path)
            ended = [await first.ended(), await second.ended()]
        await until(lambda: asked(shop, "stores") > 0)  # the daemon's own work went on
        daemon.interrupt()
        assert (await daemon.ended()).code == 0
    assert [one.code for one in ended] == [0, 0], ended
    shown = {one["stream"]: one for one in status["backfills"]}
    assert shown["customers"]["progress"]["rows_total"] == 250
    assert shown["customers"]["range"].startswith("2019-12-31T23:00:00+00:00..")
    (spent,) = await shop.fetch(
        "SELECT (SELECT sum(requests) FROM syncd.runs WHERE lane = 'backfill') AS runs,"
        " day_used_live AS live, day_used_backfill AS backfill FROM syncd.budgets WHERE source = 'shop'"
    )
    asked_in_all = sum(entry.api == "cyclesoftware" for entry in shop.sandbox.requests)
    assert 0 <= spent["live"] + spent["backfill"] - asked_in_all <= 2, "the daemon's end may cut what it just charged"
    assert spent["runs"] > 14 + WINDOWS
    assert 2 <= spent["backfill"] - spent["runs"] <= 8, "each estimate asks for a page or two"
    assert not [entry for entry in shop.sandbox.requests if entry.status == 429]


async def both_under_way(bench: Bench, path: Path) -> Any:
    """Return the status once it shows two backfills, having looked at it as people see it too."""
    while True:
        ended = await syncd("status", "--json", "--config", path)
        assert ended.code in (0, 1), ended
        if len(ended.json["backfills"]) == 2 and all(one["run"]["pages"] for one in ended.json["backfills"]):
            break
    bench.sandbox.latency_s = 5.0
    shown = await syncd("status", "--config", path)
    bench.sandbox.latency_s = 0.0
    table = shown.out.partition("Backfills under way")[2]
    assert re.search(r"shop\.customers +2019-12-31T23:00:00\+00:00\.\. .* \d+%", table), shown.out
    assert re.search(r"shop\.sales_orders +2019-12-31T23:00:00\+00:00\.\. ", table), shown.out
    return ended.json
