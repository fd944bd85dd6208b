"""What never ends is stopped: a list at a number of rows, an answer after a time."""

import asyncio
import contextlib
import time

import aiohttp
import pytest

from syncd.clock import utc_now
from syncd.config import Timeouts
from syncd.engine import growth
from syncd.errors import BadPayload
from syncd.upstream.wire import Request, Wire, http_session
from tests.support.bench import MakeBench
from tests.support.daemon import Events


@pytest.mark.parametrize(
    ("max_records", "usual", "most"), [(None, 0, 3_000_000), (None, 200_000, 4_000_000), (500, 200_000, 500)]
)
def test_where_a_run_is_stopped(max_records: int | None, usual: int, most: int) -> None:
    assert growth.most_rows(max_records, usual) == most


def test_a_list_is_told_once_when_it_is_ten_times_as_long_as_ever() -> None:
    pages = [(before, before + 100) for before in range(0, 2_000, 100)]
    assert [seen for before, seen in pages if growth.is_told(before, seen, 95)] == [1_000]
    assert not any(growth.is_told(before, seen, 0) for before, seen in pages)


async def test_a_run_is_stopped_at_max_records_and_told_before(
    make_bench: MakeBench, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "LOOK_ROWS", 50)
    monkeypatch.setattr(growth, "MOST_ROWS", 220)
    bench = await make_bench(customers=400, page_size=50)
    first = await bench.sync("shop.customers")
    assert (first.outcome, type(first.error)) == ("failed", BadPayload)
    assert str(first.error) == (
        "shop.customers: the list has no end: it gave 250 rows, and the most that a good run ever saw is 0"
    )
    assert "set max_records for the stream (now 220)" in (first.error.hint if first.error else "")
    assert len(await bench.rows("cyclesoftware.customers")) == first.counts.inserted > 200
    # a list that really is that long goes on from there
    assert (await bench.sync("shop.customers")).outcome == "ok"
    truth = {row["customer_id"] for row in bench.sandbox.truth("cyclesoftware", "customers")}
    assert {row["customer_id"] for row in await bench.rows("cyclesoftware.customers")} == truth
    # what was told of it
    await bench.fetch("UPDATE syncd.runs SET rows_seen = 15 WHERE outcome = 'ok'")
    monkeypatch.setattr(growth, "MOST_TIMES", 100)
    assert (await bench.sync("shop.customers", "sweep")).outcome == "ok"
    told = [event for event in events if event["event"] == "list_outgrown"]
    assert [(event["seen"], event["times"]) for event in told] == [(150, 10)]
    notes = await bench.fetch("SELECT notes::text FROM syncd.runs WHERE kind = 'sweep'")
    assert "150 rows and no end: 10 times as many as the stream ever had" in notes[0][0]


async def test_an_answer_that_is_only_announced_for_ever_ends_with_its_time() -> None:
    async def announce(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(OSError):
            while not writer.is_closing():
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
                await writer.drain()
                await asyncio.sleep(0)

    server = await asyncio.start_server(announce, "127.0.0.1", 0)
    began_at = time.monotonic()
    async with server, http_session(aiohttp.ClientTimeout(total=1)) as http:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        wire = Wire(http, address, {}, clock=utc_now, timeouts=Timeouts())
        with pytest.raises(TimeoutError):
            await wire.send(Request(what="x", method="GET", path="/"), {})
    assert time.monotonic() - began_at < 10
