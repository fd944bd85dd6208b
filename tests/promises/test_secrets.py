"""No secret leaves by any way, whatever an upstream gives away (DESIGN section 8): the grep test."""

import contextlib
import hashlib
import io
import json
import re
import sys
from pathlib import Path

import aiohttp
import msgspec
import pytest

from syncd import config as configuration
from syncd import log
from syncd.cli import exits
from syncd.engine.order import Order
from syncd.engine.syncer import Syncer
from syncd.sources import registry, specs
from syncd.upstream.wire import http_session
from tests.support import echo
from tests.support.bench import Bench, MakeBench
from tests.support.command import WallClock, started, syncd, until
from tests.support.ports import free_port
from tests.support.search import sampled, trial
from tests.support.stored import everything_stored

MODES = (
    "json 400", "json 401", "json 403", "json 404", "json 500", "json 200", "json 429", "text 400", "html 200",
    "html 502", "redirect", "next", "own-next", "login-json 401", "login-json 400", "login-json 200", "login-redirect",
)  # fmt: skip
STREAMS = (
    ("shop", "customers"), ("shop", "stores"), ("lease", "orders"), ("cars", "vehicles"), ("cars", "makes"),
    ("parts", "orders"), ("parts", "account"),
)  # fmt: skip


@pytest.mark.parametrize("form", sampled(["json", "console"], every=2))
async def test_neither_log_nor_error_nor_database_tells_what_an_upstream_echoes(bench: Bench, form: str) -> None:
    stream = io.StringIO()
    log.configure(form, "debug", stream=stream, environ={})  # type: ignore[arg-type]
    said: list[str] = []
    async with echo.serving(bench) as (upstream, through), http_session() as http:
        path = bench.folder / "echo.toml"
        path.touch(mode=0o600)
        path.write_text(through((bench.folder / "bench.toml").read_text()))
        settings = configuration.load(path, specs())
        try:
            for number, mode in enumerate(MODES):
                syncer = Syncer(
                    settings, registry(), bench.db, http,
                    clock=bench.time.now, sleep=bench.time.sleep, jitter=lambda: 0.0,
                )  # fmt: skip
                upstream.mode = mode
                bench.time.pass_by(hours=25)
                for place, (source, name) in enumerate(STREAMS):
                    upstream.pad = 29 * (number + place) % 210  # what is cut short is cut elsewhere each time
                    result = await syncer.run(source, name, Order())
                    said.append(f"{result.error!r} {getattr(result.error, 'hint', '')}")
        finally:
            log.configure("json", "error")
    assert upstream.struck > len(MODES) * 4
    assert len(upstream.seen) > 15
    logged = stream.getvalue()
    assert logged.count("run_finished") == len(MODES) * len(STREAMS)
    assert "request_retried" in logged
    assert "answered 400: " in logged
    assert "***" in logged
    for name, text in (("log", logged), ("errors", "\n".join(said)), ("database", await everything_stored(bench))):
        assert echo.leaked(text, upstream.seen) == {}, name


@trial
async def test_no_command_page_metric_or_process_shows_a_secret(make_bench: MakeBench) -> None:
    bench = await make_bench(time=WallClock(), customers=20)
    port = free_port()
    path = bench.config_file('[log]\nlevel = "debug"\nformat = "console"\n')
    async with echo.serving(bench) as (upstream, through):
        path.write_text(through(path.read_text()).replace('"127.0.0.1:0"', f'"127.0.0.1:{port}"'))
        assert (await syncd("sync", "shop.customers", "--config", path)).code == 0
        upstream.mode, upstream.pad = "json 401", 60
        texts: dict[str, str] = {}
        async with started("run", "--config", path, anew=True) as daemon:  # its command line is looked at
            await until(lambda: upstream.struck > 4)
            texts["processes"] = command_lines()
            assert "syncd run --config" in texts["processes"]
            for words in (
                ["check"], ["check", "--json"], ["sync", "-v"], ["sync", "--json", "parts"], ["verify", "shop.stores"],
                ["backfill", "shop.customers", "--since", "2020-01-01", "--dry-run"],
            ):  # fmt: skip
                ended = await syncd(*words, "--config", path)
                assert ended.code == 1, ended
                texts[" ".join(words)] = ended.out + ended.err
            for words in (
                ["status"], ["status", "--json"], ["cursor", "show"], ["rejects", "list"],
                ["sql", "SELECT * FROM syncd.runs"], ["sql", "--json", "SELECT * FROM syncd.budgets"],
            ):  # fmt: skip
                ended = await syncd(*words, "--config", path)
                assert ended.code == 0, ended
                texts[" ".join(words)] = ended.out + ended.err
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
                for page in (
                    "/",
                    "/streams/shop/stores",
                    "/streams/parts/orders",
                    "/metrics",
                    "/api/status",
                    "/healthz",
                ):
                    async with http.get(page) as answer:
                        assert answer.status == 200, page
                        texts[page] = await answer.text()
            daemon.interrupt()
            ended = await daemon.ended()
            texts["daemon"] = ended.out + ended.err
    assert "source_failing" in texts["daemon"]
    for name in ("check", "sync -v", "status", "status --json", "/api/status", "/streams/parts/orders", "daemon"):
        assert "401" in texts[name], name
    for name, text in texts.items():
        assert echo.leaked(text, upstream.seen) == {}, name


def command_lines() -> str:
    """Return the command line of every process that can be seen, as `ps` would show them."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(file.read_text(errors="replace").replace("\0", " "))
    return "\n".join(lines)


async def test_a_platform_key_is_stored_as_its_digest_also_where_its_record_is_rejected(bench: Bench) -> None:
    key = bench.sandbox.truth("cyclesoftware", "platform_keys")[0]["key"]
    for fault in ("null-record", "wrong-type", "unknown-field", "nul-in-text"):
        bench.sandbox.faults.clear()
        bench.sandbox.faults.add(fault, api="cyclesoftware", stream="platform_keys")
        await bench.sync("shop.platform_keys")
    stored = await everything_stored(bench)
    assert hashlib.sha256(key.encode()).hexdigest() in stored
    keys = {
        str(number): record["key"]
        for number, record in enumerate(bench.sandbox.truth("cyclesoftware", "platform_keys"))
    }
    assert len(keys) > 3
    assert echo.leaked(stored, keys) == {}


@pytest.mark.parametrize(
    "record",
    ['"pl4tform-key-4711"', '["pl4tform-key-4711"]', '{"key": ["pl4tform-key-4711"], "id": 1}', "{'pl4tform-key-4711'"],
)
def test_a_reject_of_a_record_with_secrets_holds_their_digest(bench: Bench, record: str) -> None:
    parser = bench.syncer.target("shop", "platform_keys").intake.parser
    rejected = parser.reject("why", record.encode())
    assert "pl4tform" not in rejected.record
    assert re.search("[0-9a-f]{64}", rejected.record)
    msgspec.json.decode(rejected.record)
    assert parser.reject("why", b'{"id": 1}').record == '{"id":1}'


def test_a_traceback_that_was_asked_for_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise RuntimeError("Basic c2FuZGJveA== and hunter2-of-the-shop")

    log.protect("hunter2-of-the-shop")
    monkeypatch.setenv("SYNCD_DEBUG", "1")
    monkeypatch.setattr(sys, "argv", ["syncd"])
    assert exits.guarded(fail) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "RuntimeError: Basic *** and ***" in shown
    assert "hunter2" not in shown


async def test_a_session_that_was_rotated_is_masked_from_then_on(bench: Bench) -> None:
    bench.sandbox.faults.add("rotate-cookie", api="ghs")
    async with echo.serving(bench) as (upstream, through), http_session() as http:
        path = bench.folder / "echo.toml"
        path.touch(mode=0o600)
        path.write_text(through((bench.folder / "bench.toml").read_text()))
        syncer = Syncer(
            configuration.load(path, specs()), registry(), bench.db, http, clock=bench.time.now, sleep=bench.time.sleep
        )
        for _ in range(3):
            assert (await syncer.run("parts", "account", Order())).outcome == "ok"
    sessions = {name: text for name, text in upstream.seen.items() if name.startswith("session ")}
    assert len(sessions) >= 3
    assert echo.leaked(log.mask(json.dumps(list(sessions.values()))), sessions) == {}
