"""A daemon whose database is away, not there yet or not migrated."""

import asyncio
import os
import signal
import socket

import aiohttp
import asyncpg
import pytest

from syncd.errors import DatabaseError
from syncd.service import daemon
from syncd.storage.postgres import embedded
from tests.support.bench import Bench, MakeBench, database_url
from tests.support.daemon import (
    Events,
    Gate,
    Now,
    count,
    load,
    mirrors_customers,
    serving,
    through,
    until,
    was_told,
    write,
)


@pytest.fixture
async def live(make_bench: MakeBench) -> Bench:
    """A bench in real time, with lists of several pages."""
    return await make_bench(time=Now(), customers=120, page_size=20)


async def test_an_outage_of_the_database_makes_two_lines_and_loses_nothing(
    live: Bench, gate: Gate, events: Events
) -> None:
    streams = {"shop.customers": 'every = "1s"', "shop.stores": 'every = "1s"', "cars.vehicles": 'every = "1s"'}
    path = write(live, streams, url=through(gate, live))
    async with serving(path) as url, aiohttp.ClientSession() as http:
        await until(mirrors_customers(live))
        gate.shut()
        await until(lambda: was_told(events, "database_lost"))
        live.sandbox.put(
            "cyclesoftware", "customers", live.sandbox.truth("cyclesoftware", "customers")[0] | {"city": "X"}
        )
        async with http.get(f"{url}readyz") as answer:
            assert answer.status == 503
            assert "cannot be reached" in await answer.text()
        async with http.get(f"{url}healthz") as answer:
            assert answer.status == 200
        async with http.get(url) as answer:
            assert answer.status == 503
            assert "The database does not answer" in await answer.text()
        await gate.open()
        await until(mirrors_customers(live))
        await until(lambda: _ready(http, url))
    levels = [(event["event"], event["log_level"]) for event in events if event["event"].startswith("database_")]
    assert levels == [("database_lost", "warning"), ("database_recovered", "info")]
    assert not [event for event in events if event["event"].endswith(("_crashed", "_refused"))]
    assert await count(live, "syncd.runs WHERE outcome = 'failed'") == 0


async def _ready(http: aiohttp.ClientSession, url: str) -> bool:
    async with http.get(f"{url}readyz") as answer:
        return answer.status == 200


async def test_a_database_that_is_not_there_yet_is_waited_for(live: Bench, gate: Gate, events: Events) -> None:
    gate.shut()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path = write(live, {"shop.customers": 'every = "1s"'}, url=through(gate, live), listen=f"127.0.0.1:{port}")
    stop = asyncio.Event()
    task = asyncio.create_task(daemon.serve(lambda: load(path), stop=stop, logs=False, environ={}))
    await until(lambda: was_told(events, "database_lost"))
    async with aiohttp.ClientSession() as http:
        assert not await _ready(http, f"http://127.0.0.1:{port}/")
        await gate.open()
        await until(lambda: _ready(http, f"http://127.0.0.1:{port}/"))
    await until(mirrors_customers(live))
    stop.set()
    assert await asyncio.wait_for(task, 10) == 0
    assert [event["event"] for event in events if event["event"].startswith("database_")] == [
        "database_lost",
        "database_recovered",
    ]


async def test_the_end_comes_also_while_the_database_is_waited_for(live: Bench, gate: Gate, events: Events) -> None:
    gate.shut()
    path = write(live, {"shop.customers": 'every = "1s"'}, url=through(gate, live))
    task = asyncio.create_task(daemon.serve(lambda: load(path), logs=False, environ={}))
    await until(lambda: was_told(events, "database_lost"))
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(task, 10) == 0


async def test_a_database_that_is_not_migrated_is_refused(live: Bench, server: embedded.Server) -> None:
    conn = await asyncpg.connect(**server.connect_arguments)
    name = f"bare_{os.getpid()}"
    await conn.execute(f"CREATE DATABASE {name}")
    try:
        path = write(live, {"shop.stores": 'every = "1s"'}, url=database_url(server, name))
        with pytest.raises(DatabaseError, match="is at revision none") as refused:
            await daemon.serve(lambda: load(path), logs=False, environ={})
        assert refused.value.hint == "Run: syncd migrate"
    finally:
        await conn.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await conn.close()
