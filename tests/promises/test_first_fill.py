"""The first fill of the account of STREAMS section 6, by one command: what it costs, what memory it takes, kill -9."""

import asyncio
import contextlib
import json
import math
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from syncd.storage.postgres.database import Database
from tests.support import large_shop as shop

FROM = datetime(2024, 6, 1, tzinfo=UTC)
"""Before the first sale: the sandbox's sales end with its anchor, half a year before some of today's clocks."""
SOLD_UNTIL = datetime(2026, 6, 30, 12, tzinfo=UTC)
WINDOW_DAYS, ASKED_DAYS = 27, 29
MOST_MB = 120
KILLED_AT = 70_000
"""Transactions in the mirror."""
LONGEST_S = 1_500


def expected(now: datetime) -> dict[str, float]:
    """Return how many requests each stream takes, from the sandbox's page sizes and the widths of windows alone.

    The second command goes on with what the first one was killed in. It asks once more for what changed since, and
    again for what always comes whole.
    """
    two_years = math.ceil(730 / WINDOW_DAYS)
    found_out = 2  # whether the server answers for all days, where rows lie far apart
    return {
        "customers": math.ceil((shop.CUSTOMERS - 1) / (shop.PAGE - 1)) + 1,  # a page shares its first row
        "repair_objects": 2 * math.ceil((shop.REPAIR_OBJECTS - 1) / (shop.PAGE - 1)),
        "articles": math.ceil(shop.ARTICLES / shop.TOKEN_PAGE) + 1,
        "sales_transactions": sum(pages_of_sales(now)),
        "payments": math.ceil(730 / (WINDOW_DAYS - 3)) + found_out + 1,  # three days are shared
        "workshop_orders": 1 + math.ceil((730 + 366) / WINDOW_DAYS) + found_out + 1,
        **dict.fromkeys(("sales_orders", "packing_list_items", "insurances"), two_years + found_out + 1),
        "proforma_invoices": 2 * math.ceil(0.6 * 21 * shop.TRANSACTIONS / shop.DAYS / shop.PAGE),
        "code_list_entries": 2 * 30,
        "suppliers": 2 * 3,
        "stock_objects": 2 * 200,  # the cap of a run
        "keys that are named": 2 * 58,
        "lists of one page": 2 * 13,
    }


def pages_of_sales(now: datetime) -> list[int]:
    """Return how many pages each window of the sales has: they are spread evenly over their days."""
    first = SOLD_UNTIL - timedelta(days=shop.DAYS)
    found, begin = list[int](), FROM
    while begin < now:
        overlap = min(begin + timedelta(days=ASKED_DAYS), SOLD_UNTIL) - max(begin, first)
        rows = max(0.0, overlap / timedelta(days=1)) * shop.TRANSACTIONS / shop.DAYS
        found.append(max(1, math.ceil(rows / shop.TOKEN_PAGE)))
        begin += timedelta(days=WINDOW_DAYS)
    return found


@asynccontextmanager
async def large_shop() -> AsyncIterator[Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.large_shop", stdout=asyncio.subprocess.PIPE, limit=2**24,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    try:
        assert process.stdout
        yield json.loads(await process.stdout.readline())
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def largest_mb(pid: int) -> float:
    """Return the most memory that a process ever held; 0 once it has ended."""
    with contextlib.suppress(OSError):
        if told := re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()):
            return int(told[1]) / 1024
    return 0.0


async def sync(config: Path, *, until: Any = None) -> tuple[int | None, float, float]:
    """Run `syncd sync shop`; kill it once `until` says so. Return its exit code, the most MB it held, its seconds."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "syncd", "--config", str(config), "sync", "shop",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    largest = 0.0
    try:
        while process.returncode is None and time.monotonic() - began < LONGEST_S:
            largest = max(largest, largest_mb(process.pid))
            if until and await until():
                process.send_signal(signal.SIGKILL)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 0.5)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        code = await process.wait()
    return code, largest, time.monotonic() - began


@pytest.mark.acceptance  # some minutes: 600,000 rows
@pytest.mark.timeout(2 * LONGEST_S)
async def test_the_first_fill_costs_what_was_computed_in_flat_memory_and_survives_a_kill(
    db: Database, db_url: str, tmp_path: Path
) -> None:
    async with large_shop() as told:
        config = tmp_path / "config.toml"
        only_shop = told["config"].partition("[sources.lease]")[0]
        assert "[sources.shop]" in only_shop
        since = f'[sources.shop.streams.sales_transactions]\nfrom = "{FROM.date()}"\n'
        config.write_text(f'[database]\nurl = "{db_url}"\n[http]\nlisten = "127.0.0.1:0"\n{only_shop}{since}')
        config.chmod(0o600)

        async def fetch(query: str) -> list[Any]:
            async with db.connection() as conn:
                return list(await conn.fetch(query))

        async def is_in_the_middle() -> bool:
            [row] = await fetch(
                "SELECT coalesce(sum(rows_seen), 0) AS seen FROM syncd.runs WHERE stream = 'sales_transactions'"
            )
            return bool(row["seen"] > KILLED_AT)

        computed = expected(datetime.now(UTC))
        killed, first_mb, first_s = await sync(config, until=is_in_the_middle)
        [row] = await fetch("SELECT count(*) AS stored FROM cyclesoftware.sales_transactions")
        code, second_mb, second_s = await sync(config)
        async with aiohttp.ClientSession() as http, http.get(f"{told['url']}/_sandbox/requests") as answer:
            counts = await answer.json()
        asked = sum(sum(by_status.values()) for by_status in counts.values())
        by_stream = {
            row["stream"]: row["requests"]
            for row in await fetch("SELECT stream, sum(requests)::int AS requests FROM syncd.runs GROUP BY stream")
        }
        print(f"\ncomputed {sum(computed.values()):.0f}, asked {asked}; memory {first_mb:.0f} and {second_mb:.0f} MB")  # noqa: T201
        print(f"killed after {first_s:.0f} s with {row['stored']} transactions, done after {second_s:.0f} s more")  # noqa: T201
        print(by_stream)  # noqa: T201
        for name, requests in computed.items():
            print(f"{name:<24}{requests:>8.0f}{by_stream.get(name, '-'):>8}")  # noqa: T201
        assert (killed, code) == (-signal.SIGKILL, 0)
        assert row["stored"] > KILLED_AT * 0.9
        assert abs(asked - sum(computed.values())) <= 0.1 * sum(computed.values())
        assert max(first_mb, second_mb) <= MOST_MB
        for table, rows in told["held"].items():
            column = "sum(total_amount_cents)" if table == "amount_cents" else "count(*)"
            name = "sales_transactions" if table == "amount_cents" else table
            [found] = await fetch(f"SELECT {column} AS held FROM cyclesoftware.{name} WHERE _deleted_at IS NULL")
            assert found["held"] == rows, table
        lanes = {row["lane"] for row in await fetch("SELECT lane FROM syncd.runs WHERE stream = 'sales_transactions'")}
        assert lanes == {"backfill"}
