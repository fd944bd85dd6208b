"""Every command as a user types it: what it prints, what it says when something is wrong, and how it ends."""

import asyncio
import re
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from syncd import cli, log
from syncd.cli import exits
from syncd.sandbox import Address, Sandbox, config_text
from syncd.storage.postgres import embedded
from tests.support.bench import Bench, MakeBench, database_url
from tests.support.command import Ended, WallClock, started, syncd, until
from tests.support.ports import free_port

COMMANDS = [
    "demo", "init", "check", "migrate", "run", "sync", "backfill", "status", "rejects", "cursor", "verify", "forget",
    "callbacks", "sandbox", "sql", "report", "export", "completion",
]  # fmt: skip
SUBCOMMANDS = [
    "rejects list", "rejects show", "rejects replay", "cursor show", "cursor set", "cursor reset",
    "callbacks register", "callbacks clear", "callbacks status",
]  # fmt: skip
HELD_S = 3.0
"""Latency of the sandbox that keeps a run under way while something else happens, also on a busy machine."""
HEAVY = ("sqlalchemy", "alembic", "aiohttp", "apscheduler", "jinja2")


@pytest.fixture
async def shop(make_bench: MakeBench) -> Bench:
    """A bench on the real clock, with customers on several pages."""
    return await make_bench(time=WallClock(), customers=250, page_size=50)


# --- Help -------------------------------------------------------------------------------------------------------------


def help_of(words: str = "") -> str:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(cli.cli, [*words.split(), "--help"], terminal_width=80)
    assert result.exit_code == 0
    return result.output


def test_help_lists_the_commands_in_the_order_of_their_use_and_the_exit_codes() -> None:
    text = help_of()
    listed = re.findall(r"^  (\w+) {2,}\S", text.partition("Commands:")[2].partition("Examples:")[0], re.MULTILINE)
    assert listed == COMMANDS
    assert "..." not in text.partition("Commands:")[2]  # no summary is cut
    assert re.search(r"3  the database cannot be reached", text)


@pytest.mark.parametrize("words", [*COMMANDS, *SUBCOMMANDS])
def test_help_of_a_command_fits_a_terminal_and_tells_of_the_configuration(words: str) -> None:
    text = help_of(words)
    assert "\b" not in text
    assert max(map(len, text.splitlines())) <= 80
    if words not in ("rejects", "cursor", "callbacks", "completion"):
        assert "--config FILE" in text
    assert re.search(rf"^Examples:\n  .*syncd {words.partition(' ')[0]}", text, re.MULTILINE)


def test_backfill_help_shows_examples_line_by_line() -> None:
    text = help_of("backfill")
    assert "\n  syncd backfill shop.customers --since 2026-01-01 --dry-run\n" in text


async def imported_by(*words: str | Path) -> set[str]:
    """Return the top-level modules that a command imports."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "importtime", "-m", "syncd", *map(str, words),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, told = await process.communicate()
    assert process.returncode == 0, told[-2000:]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in told.decode().splitlines()}


async def test_help_imports_nothing_heavy_so_that_it_is_quick() -> None:
    imported = await imported_by("--help")
    assert "click" in imported
    assert imported.isdisjoint([*HEAVY, "asyncio", "asyncpg", "rich", "structlog", "msgspec"])


async def test_status_imports_neither_the_pool_nor_the_upstream_client(shop: Bench) -> None:
    assert (await imported_by("status", "--config", shop.config_file())).isdisjoint(HEAVY)


# --- Errors -----------------------------------------------------------------------------------------------------------

WRONG_WORDS: dict[str, tuple[list[str], str]] = {
    "unknown command": (["snyc"], "Did you mean 'sync'?"),
    "unknown option": (["sync", "--ful"], "--full"),
    "missing argument": (["backfill", "--since", "2026-01-01"], "SELECTOR"),
    "a missing option": (["backfill", "shop"], "--since"),
    "a bad number": (["verify", "--pages", "many"], "--pages"),
    "unknown selector": (["sync", "shop.custmers"], "shop.customers"),
    "a stream without its source": (["sync", "customers"], "*.customers"),
    "no date": (["backfill", "shop.customers", "--since", "soon"], "2026-01-31"),
    "an empty range": (["backfill", "shop.customers", "--since", "2999-01-01"], "before --until"),
    "a stream without a range": (["backfill", "shop.stores", "--since", "2026-01-01"], "syncd sync --full"),
    "no such reject": (["rejects", "show", "4711"], "there is no reject 4711"),
    "a cursor that is no JSON": (["cursor", "set", "shop.customers", "soon"], "JSON object"),
    "a cursor of many streams": (["cursor", "set", "shop", "{}"], "matches"),
    "a wrong query": (["sql", "SELEC 1"], 'syntax error at or near "SELEC"'),
    "a query that writes": (["sql", "DELETE FROM cyclis.orders"], "read-only"),
    "an unknown fault": (["sandbox", "--fault", "gatway-504"], "gateway-504"),
}


@pytest.fixture
def sandbox_config(db_url: str, tmp_path: Path) -> Path:
    """A configuration of a sandbox that nobody serves: for what fails before anything is asked."""
    path = tmp_path / "config.toml"
    path.write_text(f'[database]\nurl = "{db_url}"\n' + config_text(Sandbox(), Address(url="http://127.0.0.1:9")))
    path.chmod(0o600)
    return path


Say = Callable[..., Ended]


@pytest.fixture
def say(sandbox_config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command in this process, which is quicker; it finds `sandbox_config`."""
    monkeypatch.setenv("SYNCD_CONFIG", str(sandbox_config))

    def run(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["syncd", *words])
        try:
            with pytest.raises(SystemExit) as ending:
                cli.main()
        finally:
            log.configure("json", "error")
        return Ended(int(str(ending.value)), *capsys.readouterr())

    return run


@pytest.mark.parametrize("name", WRONG_WORDS)
def test_wrong_words_are_told_in_an_error_and_a_hint_and_end_with_2(name: str, say: Say) -> None:
    words, fragment = WRONG_WORDS[name]
    assert_refused(name, say(*words), 2, fragment)


WRONG_CONFIGURATIONS: dict[str, tuple[str, str, str]] = {
    "an unknown key": ("password =", "pasword =", 'did you mean "password"'),
    "no TOML": ("[sources.shop]", "[sources.shop", "not valid TOML"),
    "a missing secret": ('"shop-pass:with/odd+signs"', '{ env = "NO_SUCH_SECRET" }', "NO_SUCH_SECRET"),
    "an upstream without TLS": ("http://127.0.0.1:9/cyclis", "http://example.com", "https://example.com"),
}


@pytest.mark.parametrize("name", WRONG_CONFIGURATIONS)
def test_a_wrong_configuration_ends_with_2(name: str, say: Say, sandbox_config: Path) -> None:
    wrong, right, fragment = WRONG_CONFIGURATIONS[name]
    sandbox_config.write_text(sandbox_config.read_text().replace(wrong, right))
    ended = say("sync", "shop.stores")
    assert_refused(name, ended, 2, fragment)
    assert "shop-pass" not in ended.err


def test_a_missing_configuration_ends_with_2_and_tells_where_to_start(say: Say) -> None:
    assert_refused("", say("status", "--config", "/nowhere/config.toml"), 2, "syncd init")


def test_an_error_of_a_command_that_prints_json_is_json_too(say: Say) -> None:
    ended = say("sync", "shop.nothing", "--json")
    assert ended.code == 2
    assert ended.json["exit_code"] == 2
    assert "matches no stream" in ended.json["error"]


async def run_all(commands: dict[str, tuple[list[str], dict[str, str]]]) -> dict[str, Ended]:
    """Run commands, four at a time."""
    slots = asyncio.Semaphore(4)

    async def one(words: list[str], env: dict[str, str]) -> Ended:
        async with slots:
            return await syncd(*words, env=env)

    ended = await asyncio.gather(*(one(words, env) for words, env in commands.values()))
    return dict(zip(commands, ended, strict=True))


def assert_refused(name: str, ended: Ended, code: int, fragment: str) -> None:
    assert ended.code == code, (name, ended)
    assert ended.err.startswith("error: "), (name, ended)
    assert fragment in ended.err, (name, ended)
    assert ended.out == "", (name, ended)


async def refuse_login(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak PostgreSQL's protocol as far as a wrong password."""
    (size,) = struct.unpack("!i", await reader.readexactly(4))
    (code,) = struct.unpack("!i", (await reader.readexactly(size - 4))[:4])
    if code == 80877103:  # asks for TLS first
        writer.write(b"N")
        await refuse_login(reader, writer)
        return
    writer.write(b"R" + struct.pack("!ii", 8, 3))
    await reader.readexactly(5)
    fields = b'SFATAL\0C28P01\0Mpassword authentication failed for user "u"\0\0'
    writer.write(b"E" + struct.pack("!i", len(fields) + 4) + fields)
    await writer.drain()
    writer.close()


async def test_a_wrong_database_ends_with_3(shop: Bench, server: embedded.Server, tmp_path: Path) -> None:
    right = shop.config_file().read_text()
    password = "Sesame-4711-open"
    host = f"127.0.0.1:{free_port()}"
    strict = await asyncio.start_server(refuse_login, "127.0.0.1", 0)
    wrong_login = f"postgresql://u:{password}@127.0.0.1:{strict.sockets[0].getsockname()[1]}/d"
    cases = {
        "wrong password": (right.replace(shop.db_url, wrong_login), 3, "Check user and password"),
        "unreachable": (right.replace(shop.db_url, f"postgresql://u:{password}@{host}/d"), 3, "cannot be reached"),
        "no database": (right.replace(shop.db_url, database_url(server, "nowhere")), 3, "createdb"),
        "not migrated": (right.replace(shop.db_url, database_url(server, "postgres")), 3, "syncd migrate"),
    }
    commands: dict[str, tuple[list[str], dict[str, str]]] = {}
    for number, (name, (text, _, _)) in enumerate(cases.items()):
        path = tmp_path / f"case{number}.toml"
        path.write_text(text)
        path.chmod(0o600)
        commands[name] = (["status", "--config", str(path)], {})
    async with strict:
        ended = await run_all(commands)
    for name, (_, code, fragment) in cases.items():
        assert_refused(name, ended[name], code, fragment)
        assert password not in ended[name].err


async def test_a_failing_source_holds_up_no_other_and_each_reason_is_told_once(shop: Bench) -> None:
    shop.sandbox.faults.add("bad-credentials", api="cyclis")
    shop.sandbox.faults.add("scope-revoked", api="autengo")
    path = shop.config_file()
    down = f"http://127.0.0.1:{free_port()}"
    path.write_text(path.read_text().replace(shop.address.base_url("ghs"), down))
    ended = await syncd("sync", "shop.stores", "lease", "cars.makes", "parts.account", "--config", path)
    assert ended.code == 1
    outcomes = {line.split()[0]: line.split()[1] for line in ended.out.splitlines() if "." in line}
    assert outcomes.pop("shop.stores") == "ok"
    assert set(outcomes.values()) == {"failed"}
    assert ended.err.count("answered 401") == 4  # each stream of the source has its own request
    assert "hint: Check the credentials" in ended.err
    assert "answered 403" in ended.err
    assert "hint: Ask the vendor for the scope" in ended.err
    assert "cannot connect" in ended.err
    assert "shop-pass" not in ended.err + ended.out


async def test_an_internal_error_shows_its_place_but_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = exits.foreseen(ExceptionGroup("x", [ExceptionGroup("y", [ValueError("jan@example.com")])]))
    assert str(shown) == "internal error: ValueError"
    assert "jan@example.com" not in str(shown) + shown.hint


# --- sync -------------------------------------------------------------------------------------------------------------


async def test_sync_prints_a_line_for_each_run_and_repeats_nothing(shop: Bench) -> None:
    path = shop.config_file()
    first = await syncd("sync", "--config", path)
    assert first.code == 0, first
    assert first.row("shop.customers")[1] == "ok"
    assert first.row("shop.customers")[3] == "250"
    assert int(first.row("cars.models")[2]) > 0, "the models were asked for before the makes were there"
    again = await syncd("sync", "shop.customers", "--json", "--config", path)
    assert again.code == 0
    assert [(run["rows_inserted"], run["rows_updated"], run["outcome"]) for run in again.json] == [(0, 0, "ok")]


async def test_full_sweeps_and_the_breaker_asks_for_accept_deletions(shop: Bench) -> None:
    path = shop.config_file()
    await shop.sync("shop.customers")
    for customer in shop.sandbox.truth("cyclesoftware", "customers")[:100]:
        shop.sandbox.delete("cyclesoftware", "customers", customer["customer_id"])
    refused = await syncd("sync", "shop.customers", "--full", "--config", path)
    assert refused.code == 1
    assert "hint: If they are really gone: syncd sync shop.customers --full --accept-deletions" in refused.err
    accepted = await syncd("sync", "shop.customers", "--full", "--accept-deletions", "--json", "--config", path)
    assert accepted.code == 0
    assert accepted.json[0]["rows_deleted"] == 100


async def requests_reach(bench: Bench, count: int, stream: str = "customers") -> None:
    """Wait until the sandbox has answered so many requests of a stream."""
    await until(lambda: asked(bench, stream) >= count)


def asked(bench: Bench, stream: str = "customers") -> int:
    return sum(entry.stream == stream for entry in bench.sandbox.requests)


async def test_ctrl_c_stops_at_a_page_and_loses_nothing(shop: Bench) -> None:
    shop.sandbox.latency_s = 0.2
    path = shop.config_file()
    async with started("sync", "shop.customers", "--config", path) as running:
        await requests_reach(shop, 3)
        shop.sandbox.latency_s = HELD_S
        running.interrupt()
        ended = await running.ended()
    assert ended.code == 1
    assert ended.row("shop.customers")[1] == "aborted"
    assert "stopped at a page boundary. The next run goes on from here." in ended.err
    shop.sandbox.latency_s, before = 0.0, len(await shop.rows("cyclesoftware.customers"))
    assert 0 < before < 250
    assert (await syncd("sync", "shop.customers", "--config", path)).code == 0
    assert len(await shop.rows("cyclesoftware.customers")) == 250


async def test_a_second_ctrl_c_ends_at_once_and_quietly(shop: Bench) -> None:
    shop.sandbox.faults.add("hang", api="cyclesoftware")
    async with started("verify", "shop.customers", "--config", shop.config_file()) as running:
        await requests_reach(shop, 1)
        running.interrupt()
        await asyncio.sleep(0.3)
        running.interrupt()
        ended = await running.ended()
    assert ended.code == exits.STOPPED
    assert ended.err.splitlines()[-1].startswith("stopped; what was committed stays")


# --- backfill ---------------------------------------------------------------------------------------------------------


async def live_cursor(bench: Bench, stream: str = "customers") -> Any:
    found = await bench.fetch("SELECT cursor FROM syncd.cursors WHERE stream = $1 AND kind = 'live'", stream)
    return found[0]["cursor"] if found else None


async def test_backfill_is_estimated_without_a_trace_and_then_walked_once(shop: Bench) -> None:
    path = shop.config_file()
    await shop.sync("shop.customers")
    cursor = await live_cursor(shop)
    words = ["backfill", "shop.customers", "--since", "2020-01-01", "--config", str(path)]
    dry = await syncd(*words, "--dry-run", "--json")
    assert dry.code == 0
    (cost,) = dry.json
    assert (cost["rows"], cost["page_rows"], cost["requests"] >= 5) == (250, 50, True)
    assert cost["takes_s"] > 0 < cost["quota_days"] < 1
    assert not await shop.fetch("SELECT FROM syncd.runs WHERE kind = 'backfill'")

    first = await syncd(*words)
    assert first.code == 0
    assert first.row("shop.customers")[1:3] == ["backfill", "ok"]
    assert first.row("shop.customers")[4:6] == ["0", "0"]
    assert "about 250 rows" in first.err
    spent = asked(shop)
    second = await syncd(*words)
    assert second.code == 0
    assert "complete since" in second.err
    assert asked(shop) == spent, "a range that is complete was walked again"
    assert (await syncd(*words, "--again")).code == 0
    assert asked(shop) > spent
    assert await live_cursor(shop) == cursor


async def test_backfill_stops_at_a_page_says_how_to_go_on_and_does_while_live_runs_go_on(shop: Bench) -> None:
    path = shop.config_file()
    await shop.sync("shop.stores")
    shop.sandbox.latency_s = 0.2
    words = ["backfill", "shop.customers", "--since", "2020-01-01", "--config", str(path)]
    async with started(*words) as running:
        await requests_reach(shop, 4)
        shop.sandbox.latency_s = HELD_S
        live = asyncio.create_task(shop.sync("shop.customers"))  # another process, the same stream
        running.interrupt()
        ended = await running.ended()
        shop.sandbox.latency_s = 0.0
    assert ended.code == 1
    assert f"to go on: syncd {' '.join(words)}" in ended.err
    assert (await live).outcome == "ok"
    cursor, spent = await live_cursor(shop), asked(shop)
    done = await syncd(*words)
    assert done.code == 0
    assert "goes on where it stopped" in done.err
    assert asked(shop) - spent < 5, "it began anew"
    assert await live_cursor(shop) == cursor


@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["to walk", "dry run"])
async def test_backfill_stops_while_it_still_estimates(shop: Bench, more: tuple[str, ...]) -> None:
    shop.sandbox.faults.add("hang", api="cyclesoftware")
    words = ["backfill", "shop.customers", "--since", "2020-01-01", *more, "--config", str(shop.config_file())]
    async with started(*words) as running:
        await requests_reach(shop, 1)
        running.process.terminate()
        ended = await asyncio.wait_for(running.ended(), 20)
    assert ended.code == 1
    assert "stopping at the next page" in ended.err
    if not more:
        assert ended.row("shop.customers")[1:3] == ["backfill", "aborted"]
        assert f"to go on: syncd {' '.join(words)}" in ended.err
    assert await shop.fetch("SELECT FROM syncd.runs") == []


async def test_backfill_overwrites_nothing_newer(shop: Bench) -> None:
    await shop.sync("shop.customers")
    shop.sandbox.latency_s = 0.2
    async with started(
        "backfill", "shop.customers", "--since", "2020-01-01", "--config", shop.config_file()
    ) as running:
        await requests_reach(shop, asked(shop) + 2)
        shop.sandbox.latency_s = HELD_S
        async with shop.db.connection() as conn:  # as a live run would that fetched a later state of every row
            await conn.execute(
                "UPDATE cyclesoftware.customers"
                " SET city = 'Nieuwstad', _hash = NULL, _changed_at = now() + interval '1 min'"
            )
        shop.sandbox.latency_s = 0.0
        assert (await running.ended()).code == 0
    assert {row["city"] for row in await shop.rows("cyclesoftware.customers")} == {"Nieuwstad"}


# --- The mending tools ------------------------------------------------------------------------------------------------


@pytest.fixture
async def synced(shop: Bench) -> Bench:
    """A bench with mirrored customers, dealers and rejects, for commands that ask no upstream."""
    shop.sandbox.faults.add("missing-key", api="cyclis", stream="dealers")
    assert (await shop.sync("shop.customers")).outcome == "ok"
    assert (await shop.sync("lease.dealers")).counts.rejected > 0
    await shop.fetch(
        "INSERT INTO syncd.rejects (source, stream, reason, record, fingerprint, run_id, first_seen_at, last_seen_at,"
        " occurrences) SELECT source, stream, 'an older syncd could not read it', $1, $2, run_id, first_seen_at,"
        " now() + interval '1 hour', 1 FROM syncd.rejects LIMIT 1",
        '{"id": "7d444840-9dc0-11d1-b245-5ffdce74fad2", "type": "dealers", "attributes": {"name": "Nieuw"}}',
        b"x",
    )
    return shop


@pytest.fixture
def tell(synced: Bench, say: Say, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Run a command in this process on the mirror of `synced`, whose sandbox does not answer meanwhile."""
    monkeypatch.setenv("SYNCD_CONFIG", str(synced.config_file()))
    return say


def test_cursors_are_shown_set_and_reset(tell: Say) -> None:
    shown = tell("cursor", "show", "shop.customers", "--json")
    assert [(entry["kind"], list(entry["cursor"])) for entry in shown.json] == [("live", ["since"])]
    wanted = '{"since": "2026-01-31T00:00:00+00:00"}'
    assert tell("cursor", "set", "shop.customers", wanted).code == 0
    assert tell("cursor", "show", "shop.customers", "--json").json[0]["cursor"] == msgspec.json.decode(wanted)
    reset = tell("cursor", "reset", "shop.customers")
    assert (reset.code, "the next run lists everything" in reset.out) == (0, True)
    assert "no cursors yet" in tell("cursor", "show", "shop.customers").out


def test_rejects_are_listed_without_contents_shown_with_them_and_replayed(tell: Say) -> None:
    listed = tell("rejects", "list", "lease", "--json")
    assert len(listed.json) >= 2
    assert "record" not in listed.json[0]
    shown = tell("rejects", "show", str(listed.json[0]["reject_id"]))
    assert '"7d444840-9dc0-11d1-b245-5ffdce74fad2"' in shown.out
    assert tell("rejects", "replay", "--json").json == {"replayed": 1, "left": len(listed.json) - 1}
    assert tell("sql", "SELECT name FROM cyclis.dealers WHERE name = 'Nieuw'", "--json").json == [{"name": "Nieuw"}]


def test_status_shows_streams_and_budgets_and_the_same_as_json(tell: Say) -> None:
    shown = tell("status")
    assert shown.code == 0
    assert shown.row("shop.customers")[1:3] == ["fresh", "250"]
    assert shown.row("shop.leads")[1] == "never"
    assert shown.row("shop")[2] == "360"  # the budget, as the server's headers tell
    told = tell("status", "--json").json
    stream = next(entry for entry in told["streams"] if entry["stream"] == "customers")
    assert (stream["state"], stream["rows"]["alive"]) == ("fresh", 250)


def test_sql_prints_a_table_a_list_or_json(tell: Say) -> None:
    query = "SELECT customer_id, city FROM cyclesoftware.customers ORDER BY 1 LIMIT 2"
    assert tell("sql", query).out.split()[:2] == ["customer_id", "city"]
    assert "── row 1 ──" in tell("sql", "SELECT * FROM cyclesoftware.customers LIMIT 1").out
    assert [list(row) for row in tell("sql", query, "--json").json] == [["customer_id", "city"]] * 2
    assert "0 rows" in tell("sql", "SELECT 1 AS one WHERE false").out


_VERSIONS = "SELECT customer_id, xmin::text, _changed_at FROM cyclesoftware.customers"
_SPENT = "SELECT day_used_live, day_used_backfill FROM syncd.budgets WHERE source = 'shop'"


async def test_verify_finds_and_repairs_what_was_changed_by_hand(shop: Bench) -> None:
    path = shop.config_file()
    await shop.sync("shop.customers")
    assert (await syncd("verify", "shop.customers", "--config", path)).code == 0
    customers = [row["customer_id"] for row in await shop.rows("cyclesoftware.customers")]
    phones = await shop.rows("cyclesoftware.customer_phone_numbers")
    altered, dropped, buried = customers[3], customers[60], customers[120]
    phone = next(row for row in phones if row["customer_id"] not in (altered, dropped, buried))
    async with shop.db.connection() as conn:
        await conn.execute("UPDATE cyclesoftware.customers SET city = 'Elders' WHERE customer_id = $1", altered)
        await conn.execute("DELETE FROM cyclesoftware.customers WHERE customer_id = $1", dropped)
        await conn.execute("UPDATE cyclesoftware.customers SET _deleted_at = now() WHERE customer_id = $1", buried)
        await conn.execute(
            "UPDATE cyclesoftware.customer_phone_numbers SET phone_number = '0' WHERE customer_id = $1"
            " AND phone_number_id = $2",
            phone["customer_id"], phone["phone_number_id"],
        )  # fmt: skip
    found = await syncd("verify", "shop.customers", "--config", path)
    assert found.code == 1
    assert f"cyclesoftware.customers {altered}: city\n" in found.out
    assert f"cyclesoftware.customers {dropped}: missing here\n" in found.out
    assert f"cyclesoftware.customers {buried}: buried here, alive upstream\n" in found.out
    key = f"{phone['customer_id']}/{phone['phone_number_id']}"
    assert f"cyclesoftware.customer_phone_numbers {key}: phone_number\n" in found.out
    assert "--repair" in found.err
    versions = {row["customer_id"]: (row["xmin"], row["_changed_at"]) for row in await shop.fetch(_VERSIONS)}
    spent = await shop.fetch(_SPENT)
    repaired = await syncd("verify", "shop.customers", "--repair", "--json", "--config", path)
    assert repaired.code == 0
    assert all(difference["repaired"] for difference in repaired.json[0]["differences"])
    again = await syncd("verify", "shop.customers", "--json", "--config", path)
    assert (again.code, again.json[0]["differences"]) == (0, [])
    now = {row["customer_id"]: (row["xmin"], row["_changed_at"]) for row in await shop.fetch(_VERSIONS)}
    assert {key for key in now if now[key] != versions.get(key)} <= {altered, dropped, buried, phone["customer_id"]}
    (before,), (after,) = spent, await shop.fetch(_SPENT)
    assert after["day_used_live"] == before["day_used_live"] > 0
    assert after["day_used_backfill"] > before["day_used_backfill"] > 0


async def test_verify_tells_what_is_gone_upstream_and_leaves_it_to_the_sweep(shop: Bench) -> None:
    await shop.sync("shop.customers")
    shop.sandbox.delete("cyclesoftware", "customers", 8)
    part = await syncd("verify", "shop.customers", "--pages", "1", "--json", "--config", shop.config_file())
    assert (part.json[0]["complete"], part.json[0]["differences"]) == (False, [])
    whole = await syncd("verify", "shop.customers", "--repair", "--pages", "0", "--config", shop.config_file())
    assert whole.code == 1
    assert "cyclesoftware.customers 8: gone upstream" in whole.out
    assert "--full" in whole.err


# --- check ------------------------------------------------------------------------------------------------------------


async def test_check_says_all_well_and_writes_no_row(shop: Bench) -> None:
    ended = await syncd("check", "--config", shop.config_file())
    assert ended.code == 0, ended
    assert "ok      source shop: " in ended.out
    assert "all well" in ended.out
    assert not await shop.fetch("SELECT FROM syncd.runs")
    assert await shop.fetch("SELECT FROM syncd.budgets WHERE source = 'shop' AND day_used_live > 0")


async def test_check_tells_of_lookup_streams_without_keys(shop: Bench) -> None:
    path = shop.config_file()
    path.write_text(re.sub(r"^uuids = .*$", "", path.read_text(), flags=re.MULTILINE))
    ended = await syncd("check", "--config", path)
    assert ended.code == 0, ended
    assert "shop.leads: is off: it has no keys to look up" in ended.out


async def test_check_of_a_database_that_is_not_migrated_still_asks_the_upstreams(
    shop: Bench, server: embedded.Server
) -> None:
    path = shop.config_file()
    path.write_text(path.read_text().replace(shop.db_url, database_url(server, "postgres")))
    ended = await syncd("check", "--config", path)
    assert ended.code == 3
    assert "failed  migrations:" in ended.out
    assert "→ Run: syncd migrate" in ended.out
    assert "ok      source parts: " in ended.out


# --- sandbox and demo -------------------------------------------------------------------------------------------------


async def test_sandbox_prints_a_configuration_that_works_and_ends_at_ctrl_c(shop: Bench, tmp_path: Path) -> None:
    path = tmp_path / "sandbox.toml"
    async with started("sandbox", "--port", "0", "--config", path) as running:
        await until(lambda: path.exists() and bool(path.read_text()))
        path.write_text(f'[database]\nurl = "{shop.db_url}"\n{path.read_text()}')
        assert (await syncd("check", "--config", path)).code == 0
        running.interrupt()
        assert (await running.ended()).code == 0


async def test_sandbox_overwrites_no_configuration_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("# mine\n")
    assert_refused("", await syncd("sandbox", "--port", "0", "--config", path), 2, "not of our making")
    assert path.read_text() == "# mine\n"


@pytest.fixture
async def demo_dir(tmp_path: Path) -> AsyncIterator[Path]:
    async with AsyncExitStack() as stack:
        stack.push_async_callback(embedded.stop, tmp_path / "demo" / "database")
        yield tmp_path / "demo"


async def test_demo_once_fills_every_table_and_its_queries_run(demo_dir: Path) -> None:
    ended = await syncd("demo", "--once", "--customers", "60", "--data-dir", demo_dir)
    assert ended.code == 0, ended
    rows = {line.split()[0]: line.split()[2] for line in ended.out.splitlines() if re.match(r" \w+\.\w+ ", line)}
    assert len(rows) == 20
    assert "0" not in rows.values(), rows
    reports = re.findall(r"^syncd report (\w+) --config (\S+)$", ended.out, re.MULTILINE)
    assert len(reports) == 3
    for name, path in reports:
        answer = await syncd("report", name, "--format", "json", "--config", path)
        assert answer.code == 0, answer
        assert answer.json
        first = str(next(iter(answer.json[0].values())))
        assert first in ended.out, "the answer was printed too"

    # it goes on, on another port than the one that is taken, until Ctrl-C
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        except OSError:
            pass  # somebody else's: that will do
        async with started("demo", "--customers", "30", "--data-dir", demo_dir) as running:
            out = running.process.stdout
            assert out
            told = b""
            while b"syncing on until Ctrl-C" not in told:
                told += await asyncio.wait_for(out.readline(), 60)
            assert re.search(rb"Status page: http://127.0.0.1:(?!8787)\d+/", told)
            async with asyncio.timeout(10):
                running.interrupt()
                assert (await running.ended()).code == 0
