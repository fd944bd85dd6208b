"""The dbt package of deploy/dbt, built by dbt itself on the sandbox's mirror, as an analyst would build it.

dbt stands in an environment of its own, because its libraries are not ours. `make dbt` makes it and runs
this; `.ci/run` calls that.
"""

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from syncd.sandbox.limits import Limits
from syncd.storage.postgres import embedded
from tests.papers.relations import relations
from tests.support.bench import open_bench
from tests.support.roles import Owned, owned

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "deploy" / "dbt"
DBT = ROOT / "build" / "dbt" / "bin" / "dbt"
LOGIN = "dbt_of_a_test"
SIZES: dict[str, Any] = {
    "customers": 30,
    "stock_items": 40,
    "vehicles": 30,
    "cyclis_orders": 40,
    "cyclists": 30,
    "orders": 10,
}

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.acceptance,  # it takes half a minute: a step of its own in .ci/run, and no part of `make test`
    pytest.mark.skipif(not DBT.exists(), reason="dbt is not in build/dbt (make dbt)"),
]


@pytest.fixture
async def mirror(server: embedded.Server, tmp_path: Path) -> AsyncIterator[Owned]:
    """A mirror of the sandbox with the roles of deploy/roles.sql, and a login for dbt."""
    async with owned(server, tmp_path) as made, AsyncExitStack() as stack:
        made.psql(f"CREATE ROLE {LOGIN} LOGIN IN ROLE syncd_analyst")
        stack.callback(made.psql, f"DROP OWNED BY {LOGIN}; DROP ROLE {LOGIN}")
        limits = Limits(per_minute=10_000, per_day=100_000)
        bench = await open_bench(stack, made.db, made.url, tmp_path, limits=limits, **SIZES)
        for source in bench.config.sources.values():
            for stream in source.streams:
                result = await bench.sync(f"{source.name}.{stream}")
                assert result.outcome == "ok", result.error
        yield made


async def dbt(mirror: Owned, folder: Path, *words: str) -> tuple[int, str]:
    """Run dbt on the package, which it leaves as it is; return its exit code and what it printed."""
    places = ("--project-dir", PACKAGE, "--profiles-dir", PACKAGE, "--target-path", folder, "--log-path", folder)
    process = await asyncio.create_subprocess_exec(
        DBT, *words, *map(str, places),
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "SYNCD_DBT_HOST": mirror.server.host,
            "SYNCD_DBT_PORT": str(mirror.server.port),
            "SYNCD_DBT_USER": LOGIN,
            "SYNCD_DBT_DATABASE": mirror.name,
        },
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


def results(folder: Path, name: str = "run_results.json") -> dict[str, str]:
    """Return how each node ended, by its name."""
    found: list[dict[str, Any]] = json.loads((folder / name).read_text())["results"]
    return {_name(each["unique_id"]): each["status"] for each in found}


def _name(unique_id: str) -> str:
    """Return `test.syncd.NAME.HASH`, `model.syncd.NAME` or `source.syncd.SCHEMA.NAME` as its name."""
    kind, _, *rest = unique_id.split(".")
    return ".".join(rest) if kind == "source" else rest[0]


async def test_the_package_is_built_tested_and_asked_how_fresh_the_mirror_is(mirror: Owned, tmp_path: Path) -> None:
    folder = tmp_path / "dbt"
    async with mirror.db.connection() as conn:
        await conn.execute("DELETE FROM cyclesoftware.customers WHERE customer_id = (SELECT min(customer_id) FROM"
                           " cyclesoftware.customer_phone_numbers)")  # fmt: skip

        code, told = await dbt(mirror, folder, "build")
        assert code == 0, told
        ended = results(folder)
        counted = Counter(ended.values())
        assert counted.keys() <= {"pass", "success", "warn"}, told
        assert counted["success"] == 3
        assert counted["pass"] > 150
        assert {name for name in ended if name.startswith("relationships_cy")} == {
            f"relationships_{each.table.replace('.', '_')}_{each.named}" for each in relations()
            if each.table.startswith("cy")
        }  # fmt: skip
        assert ended["relationships_cyclesoftware_customer_phone_numbers_customer_id"] == "warn"
        assert {name.partition("_")[0] for name, status in ended.items() if status == "warn"} == {"relationships"}
        stock = await conn.fetch("SELECT store_brand_key, in_stock, retail_value FROM analytics.store_stock ORDER BY 1")
        assert len(stock) > 5
        kept = "SELECT store_brand_key, in_stock, retail_value FROM analytics.stock_levels WHERE dbt_valid_to IS NULL"
        assert await conn.fetch(f"{kept} ORDER BY 1") == stock
        orders = await conn.fetchrow("SELECT sum(orders), count(*) FROM analytics.customer_orders")
        assert min(orders) > 0
        assert orders == await conn.fetchrow(
            "SELECT (SELECT count(*) FROM reporting.sales_orders JOIN reporting.customers USING (source, customer_id)"
            " WHERE NOT is_cancelled), (SELECT count(*) FROM reporting.customers)"
        )

        await conn.execute("UPDATE syncd.runs SET started_at = now()")
        await conn.execute("UPDATE syncd.runs SET started_at = now() - interval '1 day' WHERE stream = 'leads'")
        code, told = await dbt(mirror, folder, "source", "freshness")
        assert code == 1, "one stream is stale"
        fresh = results(folder, "sources.json")
        assert fresh.pop("cyclesoftware.leads") == "error"
        assert len(fresh) > 50
        assert set(fresh.values()) == {"pass"}, told

        await conn.execute("SET ROLE syncd_reader")
        assert await conn.fetch("SELECT * FROM analytics.store_stock")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("DELETE FROM analytics.store_stock")
        await conn.execute("RESET ROLE; SET ROLE syncd_analyst")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("DELETE FROM cyclesoftware.customers")
        await conn.execute("RESET ROLE")
