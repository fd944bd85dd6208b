"""A daemon whose configuration changes while it lives, and its listening addresses."""

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

import aiohttp
import pytest

from syncd.errors import ConfigError
from syncd.sandbox import CREDENTIALS
from syncd.service import daemon
from tests.support.bench import Bench, MakeBench
from tests.support.daemon import (
    Events,
    Now,
    count,
    load,
    mirrors_customers,
    more,
    serving,
    until,
    was_told,
    write,
)


@pytest.fixture
async def live(make_bench: MakeBench) -> Bench:
    """A bench in real time, with lists of several pages."""
    return await make_bench(time=Now(), customers=120, page_size=20)


async def test_sighup_takes_a_good_configuration(live: Bench, events: Events) -> None:
    path = write(live, {"shop.customers": 'every = "1s"'})
    async with serving(path):
        await until(mirrors_customers(live))
        write(live, {"shop.stores": 'every = "1s"', "cars.vehicles": 'every = "1s"'})
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: count(live, "autengo.vehicles"))
        await until(lambda: count(live, "cyclesoftware.stores"))
        reloaded = next(event for event in events if event["event"] == "config_reloaded")
        assert (reloaded["added"], reloaded["removed"], reloaded["changed"]) == (["cars"], [], ["shop"])
        ran = await count(live, "syncd.runs WHERE stream = 'customers'")
        stores = "syncd.runs WHERE stream = 'stores'"
        await until(lambda: more(live, stores, 2))
        assert await count(live, "syncd.runs WHERE stream = 'customers'") == ran
        write(live, {"cars.vehicles": 'every = "1s"'})
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: was_told(events, "config_reloaded", 2))
        ran = await count(live, stores)
        vehicles = "syncd.runs WHERE stream = 'vehicles'"
        before = await count(live, vehicles)
        await until(lambda: more(live, vehicles, before + 1))
        assert await count(live, stores) == ran


async def test_a_storm_of_sighups_costs_no_run_and_ends_with_the_last_configuration(
    live: Bench, events: Events
) -> None:
    path = write(live, {"shop.customers": 'every = "1s"'})
    first = path.read_text()
    last = write(live, {"shop.customers": 'every = "1s"', "cars.vehicles": 'every = "1s"'}).read_text()
    path.write_text(first)
    whole = path.with_suffix(".new")
    whole.touch(mode=0o600)
    async with serving(path):
        for nth in range(101):
            whole.write_text(last if nth % 2 == 0 else first)
            whole.rename(path)  # as editors do it: whoever reads never meets half a file
            whole.touch(mode=0o600)
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0)
        await until(lambda: count(live, "autengo.vehicles"))
        await until(mirrors_customers(live))
        ran = await count(live, "syncd.runs WHERE stream = 'customers' AND outcome = 'ok'")
        await until(lambda: more(live, "syncd.runs WHERE stream = 'customers' AND outcome = 'ok'", ran))
    told = {event["event"] for event in events}
    assert "config_reloaded" in told
    assert told.isdisjoint({"run_crashed", "config_refused"})
    assert await count(live, "syncd.runs WHERE outcome NOT IN ('ok', 'aborted')") == 0


async def test_sighup_ends_a_run_of_a_changed_source_and_starts_it_under_the_new_one(live: Bench) -> None:
    live.sandbox.faults.add("hang", api="cyclesoftware", stream="customers")
    path = write(live, {"shop.customers": 'every = "1s"'})
    async with serving(path):
        await until(lambda: count(live, "syncd.runs WHERE outcome = 'running'"))
        live.sandbox.faults.clear()
        write(live, {"shop.customers": 'every = "2s"'})
        os.kill(os.getpid(), signal.SIGHUP)
        await until(mirrors_customers(live))
    outcomes = [row[0] for row in await live.fetch("SELECT outcome FROM syncd.runs ORDER BY run_id LIMIT 2")]
    assert outcomes == ["aborted", "ok"]


async def test_mended_credentials_are_tried_at_once(live: Bench) -> None:
    path = write(live, {"shop.customers": 'every = "1s"'})
    good = path.read_text()
    path.write_text(good.replace(str(CREDENTIALS["cyclesoftware"]["password"]), "wrong"))
    async with serving(path):
        await until(lambda: count(live, "syncd.runs WHERE error_kind = 'BadCredentials'"))
        path.write_text(good)
        os.kill(os.getpid(), signal.SIGHUP)
        await until(mirrors_customers(live))


async def test_sighup_refuses_a_bad_configuration_and_keeps_the_old_one(live: Bench, events: Events) -> None:
    path = write(live, {"shop.customers": 'every = "1s"'})
    async with serving(path):
        await until(mirrors_customers(live))
        path.write_text(path.read_text() + '\neverry = "5m"\n')
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: was_told(events, "config_refused"))
        refused = next(event for event in events if event["event"] == "config_refused")
        assert 'did you mean "every"?' in refused["error"]
        ran = await count(live, "syncd.runs")
        await until(lambda: more(live, "syncd.runs", ran + 1))
        live.sandbox.put(
            "cyclesoftware", "customers", live.sandbox.truth("cyclesoftware", "customers")[0] | {"city": "X"}
        )
        await until(mirrors_customers(live))


async def test_what_needs_a_restart_is_said(live: Bench, events: Events) -> None:
    path = write(live, {"shop.stores": 'every = "1s"'})
    async with serving(path) as url:
        path.write_text(path.read_text().replace('listen = "127.0.0.1:0"', 'listen = "off"'))
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: was_told(events, "config_reloaded"))
        assert [event["key"] for event in events if event["event"] == "config_needs_restart"] == ["http"]
        async with aiohttp.ClientSession() as http, http.get(f"{url}healthz") as answer:
            assert answer.status == 200


async def test_a_port_in_use_keeps_nothing_from_being_synced_and_is_taken_when_it_is_free(
    live: Bench, events: Events
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as page, socket.create_server(("127.0.0.1", 0)) as callbacks:
        port, other = page.getsockname()[1], callbacks.getsockname()[1]
        path = write(live, {"lease.dealers": 'every = "1s"'}, listen=f"127.0.0.1:{port}")
        listens = f'[http]\ncallback_listen = "127.0.0.1:{other}"'
        text = (
            path.read_text().replace("[http]", listens).replace("[sources.lease]", "[sources.lease]\ncallbacks = true")
        )
        path.write_text(text)
        async with serving(path) as url:
            assert url is None
            await until(lambda: more(live, "syncd.runs WHERE outcome = 'ok'", 1))
            told = [event["error"] for event in events if event["event"] == "port_taken"]
            assert told == [
                f"http.listen: cannot listen on 127.0.0.1:{port}: Address already in use",
                f"http.callback_listen: cannot listen on 127.0.0.1:{other}: Address already in use",
            ]
            page.close()
            await until(lambda: was_told(events, "page_served"))
            async with aiohttp.ClientSession() as http:
                async with http.get(f"http://127.0.0.1:{port}/api/status") as answer:
                    notices = (await answer.json())["notices"]
                assert [notice["what"] for notice in notices] == ["callbacks_port_taken"]
                async with http.get(f"http://127.0.0.1:{port}/") as answer:
                    assert f"cannot listen on 127.0.0.1:{other}" in await answer.text()
            callbacks.close()
            await until(lambda: was_told(events, "callbacks_listening"))


async def test_an_address_that_nobody_has_is_an_error_of_the_configuration(live: Bench) -> None:
    path = write(live, {"shop.stores": 'every = "1s"'}, listen="no-such-host.invalid:1")
    with pytest.raises(ConfigError, match=r"cannot listen on no-such-host\.invalid:1"):
        await daemon.serve(lambda: load(path), logs=False, environ={})


async def test_a_refused_configuration_stays_visible_until_a_good_one_is_taken(
    live: Bench, events: Events, tmp_path: Path
) -> None:
    path = write(live, {"shop.stores": 'every = "1s"'})
    good = path.read_text()
    async with serving(path) as url, aiohttp.ClientSession() as http:

        async def text(place: str) -> str:
            async with http.get(f"{url}{place}") as answer:
                return await answer.text()

        assert "syncd_config_reload_success 1.0\n" in await text("metrics")
        path.write_text(good + "\n[nonsense]\n")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: was_told(events, "config_refused"))
        for _ in range(2):  # also after the status was made anew
            status = json.loads(await text("api/status"))
            assert [notice["what"] for notice in status["notices"]] == ["config_refused"]
            assert "nonsense" in status["notices"][0]["text"]
            assert "the configuration was refused" in await text("")
            assert "syncd_config_reload_success 0.0\n" in await text("metrics")
            before = await count(live, "syncd.runs")
            await until(lambda: more(live, "syncd.runs", before + 2))  # noqa: B023  (awaited at once)
        path.write_text(good)
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: was_told(events, "config_reloaded"))

        async def is_settled() -> bool:
            return not json.loads(await text("api/status"))["notices"]

        await until(is_settled)
        assert "syncd_config_reload_success 1.0\n" in await text("metrics")
