"""An outage of an upstream makes two lines in the log, not two thousand."""

import io
import json
from collections.abc import Iterator

import pytest

from syncd import log
from tests.support.bench import Bench

STREAMS = ("lease.companies", "lease.dealers")


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What is logged from level info up, as JSON."""
    stream = io.StringIO()
    log.configure("json", "info", stream=stream, environ={})
    yield stream
    log.configure("json", "error")


def lines(logged: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in logged.getvalue().splitlines()]


def told(logged: io.StringIO) -> list[tuple[str, str]]:
    """Return event and level of what was logged beside the runs that ended as they should."""
    return [
        (line["event"], line["level"])
        for line in lines(logged)
        if line["event"] != "run_finished" or line["level"] != "info"
    ]


async def test_an_outage_is_told_when_it_begins_and_when_it_is_over(bench: Bench, logged: io.StringIO) -> None:
    bench.sandbox.faults.add("error-500", api="cyclis")
    for _ in range(5):
        for stream in STREAMS:
            assert (await bench.sync(stream)).outcome == "failed"
        bench.time.pass_by(minutes=5)
    bench.sandbox.faults.clear()
    for _ in range(2):
        for stream in STREAMS:
            assert (await bench.sync(stream)).outcome == "ok"
    assert told(logged) == [("source_failing", "warning"), ("source_recovered", "info")]
    finished = [line for line in lines(logged) if line["event"] == "run_finished"]
    assert [line["outcome"] for line in finished] == ["failed"] * 10 + ["ok"] * 4
    assert float(next(line["down_s"] for line in lines(logged) if "down_s" in line)) > 1500


async def test_one_stream_that_fails_among_good_ones_is_told_once(bench: Bench, logged: io.StringIO) -> None:
    bench.sandbox.faults.add("error-500", api="cyclis", stream="dealers")
    for _ in range(5):
        for stream in STREAMS:
            await bench.sync(stream)
    assert told(logged) == [("source_failing", "warning")]
    bench.sandbox.faults.clear()
    assert (await bench.sync("lease.dealers")).outcome == "ok"
    assert told(logged)[1:] == [("source_recovered", "info")]


async def test_a_scope_that_is_gone_pauses_its_stream_and_is_told_once(bench: Bench, logged: io.StringIO) -> None:
    bench.sandbox.faults.add("scope-revoked", api="cyclis", stream="dealers")
    assert (await bench.sync("lease.dealers")).outcome == "failed"
    assert told(logged) == [("stream_paused", "warning")]
