"""The floor under a first load: what the machine needs for the bytes alone, with none of syncd's rules.

    python -m bench.floor CUSTOMERS UPSTREAM_URL DATABASE_URL

One after another: download every page, inflate, decode into typed structs, binary COPY into the migrated tables, one
COPY a table. Nothing is kept that fits no column, nothing compared, resumed or counted. Prints the seconds of each
part.
"""

import asyncio
import gc
import json
import sys
import time
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import asyncpg
import msgspec
from msgspec.structs import astuple

from bench.upstream import GZIP, PAGE
from syncd.contract import Kind, Table
from syncd.sources.cyclesoftware.customers import CUSTOMERS, PHONE_NUMBERS

_TYPES: dict[Kind, Any] = {Kind.BIGINT: int, Kind.TEXT: str, Kind.NUMERIC: Decimal, Kind.TIMESTAMP: str}
_ZONE = ZoneInfo("Europe/Amsterdam")
_HASH = bytes(16)
"""In the place of a fingerprint, so that the rows are as wide as syncd's."""


def _struct(table: Table, *more: tuple[str, Any, Any]) -> Any:
    fields = [(column.name, _TYPES[column.kind] | None, None) for column in table.columns]
    return msgspec.defstruct(table.name, [*fields, *more], gc=False)


_PHONE = _struct(PHONE_NUMBERS)
_CUSTOMER = _struct(CUSTOMERS, ("phone_numbers", list[_PHONE], []))  # type: ignore[valid-type]
_LISTED: Any = msgspec.json.Decoder(msgspec.defstruct("Listed", [("customers", list[_CUSTOMER])]))  # type: ignore[valid-type]
_CREATED = [column.name for column in CUSTOMERS.columns].index("datetime_created")


async def load(customers: int, url: str, database_url: str) -> dict[str, float]:
    """Load all customers and return the seconds that each part took."""
    parts: dict[str, float] = {}
    began = time.perf_counter()

    def done(part: str) -> None:
        nonlocal began
        now = time.perf_counter()
        parts[part], began = now - began, now

    packed = await _downloaded(customers, url)
    done("download")
    pages = [zlib.decompress(page, GZIP) for page in packed]
    done("inflate")
    found = [customer for page in pages for customer in _LISTED.decode(page).customers]
    phones = [("shop", one.customer_id, *astuple(phone)[1:]) for one in found for phone in one.phone_numbers]
    rows = [_row(astuple(customer)) for customer in found]
    done("decode")
    conn = await asyncpg.connect(database_url)
    await _copy(conn, CUSTOMERS, rows)
    await _copy(conn, PHONE_NUMBERS, phones)
    done("copy")
    await conn.close()
    return parts


async def _downloaded(customers: int, url: str) -> list[bytes]:
    pages = []
    async with aiohttp.ClientSession(auto_decompress=False, headers={"Accept-Encoding": "gzip"}) as http:
        for offset in range(0, customers, PAGE):
            async with http.get(f"{url}/api/v1/customers/list.json?offset={offset}") as answer:
                pages.append(await answer.read())
    return pages


def _row(values: tuple[Any, ...]) -> tuple[Any, ...]:
    created = values[_CREATED]
    at = datetime.fromisoformat(created).replace(tzinfo=_ZONE) if created else None
    return ("shop", *values[:_CREATED], at)


async def _copy(conn: asyncpg.Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
    now = datetime.now(UTC)
    columns = ["source", *(column.name for column in table.columns), "_first_seen_at", "_changed_at", "_hash"]
    records = [(*row, now, now, _HASH) for row in rows]
    await conn.copy_records_to_table(table.name, schema_name=table.schema, columns=columns, records=records)


if __name__ == "__main__":
    gc.disable()  # nothing here goes in circles, and the floor is to be low
    print(json.dumps(asyncio.run(load(int(sys.argv[1]), *sys.argv[2:]))))
