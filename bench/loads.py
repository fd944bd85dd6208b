"""Items 1 to 3: a first load, a full pass where nothing changed, and one where 1 % did; floor, dlt and syncd beside it.

Each command is measured as a whole process, its start included; of the floor only its work is. All use the same server
and the same stand-in, one after another, each from a checkpoint.
"""

import asyncio
import json
import math
from pathlib import Path
from statistics import median

import asyncpg

from bench import peer
from bench.stage import Stage, Took, measured, python
from bench.table import Row
from bench.upstream import CHANGED_EVERY, OVERLAPPED, PAGE, Upstream, served

FIRST, SAME, TICK, SOME = "first load", "unchanged pass", "tick as a command", "1 % changed"
SCHEMA = "cyclesoftware"
_GONE_S = 10.0


async def measure(stage: Stage) -> list[Row]:
    """Load with all three, and pass again with those that can."""
    stage.tell(f"rendering {stage.size:,} customers")
    async with served(stage.size, (OVERLAPPED, PAGE)) as upstream:
        floor_s, rows = await _floor(stage, upstream)
        first_s, same_s, told = await _peer(stage, upstream) if stage.peer else (math.nan, math.nan, [])
        rows += told
        url, told = await _first_load(stage, upstream, floor_s, first_s)
        rows += told
        same, told = await _unchanged(stage, upstream, url, same_s)
        rows += told
        rows += await _ticked(stage, upstream, url)
        rows += await _changed(stage, upstream, url, same)
    order = [FIRST, SAME, TICK, SOME]
    return sorted(rows, key=lambda row: order.index(row.item))


async def _floor(stage: Stage, upstream: Upstream) -> tuple[float, list[Row]]:
    best: dict[str, float] = {}
    cpu_s = 0.0
    stage.tell("floor")
    for _ in range(stage.repeats):
        url = await stage.database("bench_floor")
        await stage.as_superuser("CHECKPOINT")
        took = await measured(*python("-m", "bench.floor", str(stage.size), upstream.url, url))
        parts = json.loads(took.output)
        if not best or sum(parts.values()) < sum(best.values()):
            best, cpu_s = parts, took.cpu_s
    seconds = sum(best.values())
    rows = [Row(FIRST, "floor", "time", seconds, "s", "download, inflate, decode, COPY one after another")]
    rows += [Row(FIRST, "floor", part, value, "s") for part, value in best.items()]
    rows.append(Row(FIRST, "floor", "CPU", cpu_s, "s"))
    return seconds, [*rows, Row(FIRST, "floor", "customers per second", stage.size / seconds, "/s")]


async def _peer(stage: Stage, upstream: Upstream) -> tuple[float, float, list[Row]]:
    stage.tell("dlt, first load and unchanged")
    url = await stage.database("bench_dlt", migrated=False)
    try:
        await peer.install()
    except peer.NotInstalledError as error:
        return math.nan, math.nan, [Row(FIRST, "dlt", "time", math.nan, "s", str(error))]
    await stage.as_superuser("CHECKPOINT")
    first = await peer.load(stage, upstream.url, url)
    await stage.rest(url)
    begin = await stage.wal_position()
    same = await peer.load(stage, upstream.url, url)
    wal = await stage.wal_mb(begin, await stage.wal_position())
    await stage.execute("DROP DATABASE bench_dlt WITH (FORCE)")  # or autovacuum would clear up after it beside the next
    rows = [
        *_costs(FIRST, "dlt", first, stage.size, "merge by key, CSV, a process per core"),
        *_costs(SAME, "dlt", same, stage.size),
        Row(SAME, "dlt", "WAL", wal, "MB"),
    ]
    return first.wall_s, same.wall_s, rows


async def _first_load(stage: Stage, upstream: Upstream, floor_s: float, peer_s: float) -> tuple[str, list[Row]]:
    stage.tell("syncd, first load")
    best: Took | None = None
    url = ""
    for _ in range(stage.repeats):
        url = await stage.database("bench_syncd")
        await stage.as_superuser("CHECKPOINT")
        took = await sync(stage, upstream, url)
        best = took if best is None or took.wall_s < best.wall_s else best
    assert best  # noqa: S101
    return url, [
        *_costs(FIRST, "syncd", best, stage.size, "syncd sync, all rules on"),
        Row(FIRST, "syncd", "time ÷ floor", best.wall_s / floor_s, "×"),
        Row(FIRST, "syncd", "dlt's time ÷ its own", peer_s / best.wall_s, "×"),
    ]


async def _unchanged(stage: Stage, upstream: Upstream, url: str, peer_s: float) -> tuple[float, list[Row]]:
    stage.tell("syncd, unchanged and 1 % changed")
    await stage.rest(url)
    before = await written(url)
    begin = await stage.wal_position()
    took = await sync(stage, upstream, url, "--full")
    end = await stage.wal_position()
    after = await written(url)
    mirror = await stage.wal_mb_of(begin, end, url, SCHEMA)
    rows = sum(after[table][what] - before[table][what] for table in after for what in _WRITES)
    dead = sum(after[table]["dead"] - before[table]["dead"] for table in after)
    again = [await sync(stage, upstream, url, "--full") for _ in range(stage.repeats - 1)]
    best = min([took, *again], key=lambda one: one.wall_s)
    return best.wall_s, [
        *_costs(SAME, "syncd", best, stage.size, "syncd sync --full"),
        Row(SAME, "syncd", "time of the first one", took.wall_s, "s", "later ones know the text of the pages"),
        Row(SAME, "syncd", "dlt's time ÷ its own", peer_s / best.wall_s, "×"),
        Row(SAME, "syncd", "rows written in the mirror", rows, "rows", "inserted, updated and deleted"),
        Row(SAME, "syncd", "dead rows left in the mirror", dead, "rows"),
        Row(SAME, "syncd", "WAL of the mirror's tables", mirror, "MB", "row locks would be in it"),
        Row(SAME, "syncd", "WAL", await stage.wal_mb(begin, end), "MB", "runs, cursors, budget and keys seen"),
    ]


async def _ticked(stage: Stage, upstream: Upstream, url: str) -> list[Row]:
    """Ask for what changed, by a command: nothing did."""
    took = [await sync(stage, upstream, url) for _ in range(2 * stage.repeats - 1)]
    return [
        Row(TICK, "syncd", "time", median(one.wall_s for one in took), "s", "syncd sync, nothing has changed"),
        Row(TICK, "syncd", "CPU", median(one.cpu_s for one in took), "s"),
    ]


async def _changed(stage: Stage, upstream: Upstream, url: str, same_s: float) -> list[Row]:
    await upstream.change()
    before = await written(url)
    begin = await stage.wal_position()
    took = await sync(stage, upstream, url, "--full")
    mirror = await stage.wal_mb_of(begin, await stage.wal_position(), url, SCHEMA)
    after = await written(url)
    customers = -(-stage.size // CHANGED_EVERY)
    phones = -(-customers // 2)
    done = {table: {what: after[table][what] - before[table][what] for what in _WRITES} for table in after}
    wrong = abs(done["customers"]["updated"] - customers) + abs(done["customer_phone_numbers"]["updated"] - phones)
    others = sum(each[what] for each in done.values() for what in ("inserted", "deleted"))
    return [
        *_costs(SOME, "syncd", took, stage.size, f"{customers:,} customers and {phones:,} phone numbers changed"),
        Row(SOME, "syncd", "time ÷ unchanged pass", took.wall_s / same_s, "×"),
        Row(SOME, "syncd", "customers updated", done["customers"]["updated"], "rows"),
        Row(SOME, "syncd", "phone numbers updated", done["customer_phone_numbers"]["updated"], "rows"),
        Row(SOME, "syncd", "rows written but not changed", wrong + others, "rows", "or changed but not written"),
        Row(SOME, "syncd", "WAL of the mirror's tables", mirror, "MB"),
    ]


async def sync(stage: Stage, upstream: Upstream, url: str, *words: str) -> Took:
    """Run `syncd sync` on the customers, in a process of its own."""
    path = stage.folder / "config.toml"
    await asyncio.to_thread(_write, path, upstream.config(url))
    return await measured(*python("-m", "syncd", "sync", "shop.customers", "--config", path, "--json", *words))


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


_WRITES = ("inserted", "updated", "deleted")


async def written(url: str) -> dict[str, dict[str, int]]:
    """Return what has been written to each table of the mirror so far, once all others have left the database."""
    conn = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(_GONE_S):  # a server process tells what it counted when it ends
            while await conn.fetchval(  # noqa: ASYNC110  what happens there sets no event here
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            ):
                await asyncio.sleep(0.05)
        found = await conn.fetch(
            "SELECT relname, n_tup_ins AS inserted, n_tup_upd AS updated, n_tup_del AS deleted, n_dead_tup AS dead"
            " FROM pg_stat_user_tables WHERE schemaname = $1",
            SCHEMA,
        )
        return {row["relname"]: dict(row) for row in found}
    finally:
        await conn.close()


def _costs(item: str, subject: str, took: Took, customers: int, note: str = "") -> list[Row]:
    return [
        Row(item, subject, "time", took.wall_s, "s", note),
        Row(item, subject, "CPU", took.cpu_s, "s"),
        Row(item, subject, "peak memory", took.peak_mb, "MB"),
        Row(item, subject, "customers per second", customers / took.wall_s, "/s"),
    ]
