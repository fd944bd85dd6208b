"""The floor under a first load: what the machine needs for the bytes alone, with none of syncd's rules.

    python -m bench.floor CUSTOMERS UPSTREAM_URL DATABASE_URL

One after another: download every page, inflate, decode into typed structs, binary COPY into the migrated tables, one
COPY a table. Written for speed: whole columns, and instants as PostgreSQL counts them. Nothing is kept that fits no
column, nothing compared, resumed or counted. Prints the seconds of each part.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, repeat
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import asyncpg
import msgspec
from isal import isal_zlib
from msgspec.structs import astuple

from bench.upstream import GZIP, PAGE
from syncd.contract import Kind, Table
from syncd.records.values import pg_number
from syncd.records.values.days import Times
from syncd.records.values.pg_instant import microseconds, written
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
    pages = [isal_zlib.decompress(page, GZIP) for page in packed]
    done("inflate")
    customer_columns, phone_columns = _decoded(pages)
    done("decode")
    conn = await asyncpg.connect(database_url)
    await conn.set_type_codec("timestamptz", schema="pg_catalog", encoder=written, decoder=tuple, format="tuple")
    await conn.set_type_codec(
        "numeric", schema="pg_catalog", encoder=pg_number.written, decoder=pg_number.read, format="binary"
    )
    await _copy(conn, CUSTOMERS, customer_columns)
    await _copy(conn, PHONE_NUMBERS, phone_columns)
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


def _decoded(pages: Iterable[bytes]) -> tuple[list[Sequence[Any]], list[Sequence[Any]]]:
    """Return the columns of both tables; whole columns take a fifth of the time of a loop over rows."""
    found = [customer for page in pages for customer in _LISTED.decode(page).customers]
    customers: list[Sequence[Any]] = list(zip(*map(astuple, found), strict=True))
    lists, count = customers.pop(), Times(_ZONE).count
    customers[_CREATED] = [None if text is None else count(text) for text in customers[_CREATED]]
    phones: list[Sequence[Any]] = list(zip(*map(astuple, chain.from_iterable(lists)), strict=True))
    phones[0] = list(chain.from_iterable(map(repeat, customers[0], map(len, lists))))
    return customers, phones


async def _copy(conn: asyncpg.Connection, table: Table, columns: Iterable[Sequence[Any]]) -> None:
    now = repeat(microseconds(datetime.now(UTC)))
    names = ["source", *(column.name for column in table.columns), "_first_seen_at", "_changed_at", "_hash"]
    records = zip(repeat("shop"), *columns, now, now, repeat(_HASH))
    await conn.copy_records_to_table(table.name, schema_name=table.schema, columns=names, records=records)


if __name__ == "__main__":
    gc.disable()  # nothing here goes in circles, and the floor is to be low
    print(json.dumps(asyncio.run(load(int(sys.argv[1]), *sys.argv[2:]))))
