"""Persons with values that can be found again, and how a test forgets them."""

from typing import Any

from syncd.storage.mirror import erasure
from syncd.storage.state import forgotten as markers
from tests.support.bench import Bench
from tests.support.stored import everything_stored

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


async def leaks(bench: Bench, *needles: object) -> list[str]:
    """Return which of these the database still holds anywhere."""
    stored = await everything_stored(bench)
    assert len(stored) > 2_000
    return [str(needle) for needle in needles if str(needle) in stored]


async def erased(bench: Bench, conn: Any, selector: str, key: Any) -> dict[str, int]:
    """Erase a person inside a transaction of the test."""
    source, _, stream = selector.partition(".")
    others = [
        (each.name, bench.syncer.target(source, each.name))
        for each in bench.syncer.source(source)[0].streams
        if stream in each.table.refers.values()
    ]
    persons = bench.syncer.target(source, stream)
    return await erasure.erase(conn, source, stream, persons, others, [key], now=bench.time.now())


async def forgotten(bench: Bench, selector: str, key: Any) -> dict[str, int]:
    """Erase a person as the command does."""
    async with bench.db.transaction() as conn:
        return await erased(bench, conn, selector, key)


async def remembered(bench: Bench, selector: str, key: Any) -> None:
    """Let a forgotten person come back with the next full pass, as `syncd forget --undo` does."""
    source, _, stream = selector.partition(".")
    async with bench.db.transaction() as conn:
        assert await markers.unmark(conn, source, stream, [key]) == 1
