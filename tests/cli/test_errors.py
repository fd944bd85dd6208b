"""Wrong words, a wrong configuration, a wrong database: what a command says and how it ends."""

import asyncio
import errno
import struct
from pathlib import Path

import pytest

from syncd.cli import exits
from syncd.errors import Defect
from syncd.storage.postgres import embedded
from tests.support.bench import Bench, database_url
from tests.support.command import (
    Ended,
    Say,
    assert_refused,
    syncd,
)
from tests.support.ports import free_port

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


@pytest.mark.parametrize("name", WRONG_WORDS)
def test_wrong_words_are_told_in_an_error_and_a_hint_and_end_with_2(name: str, say: Say) -> None:
    words, fragment = WRONG_WORDS[name]
    assert_refused(name, say(*words), 2, fragment)


LACKS: dict[Exception, str] = {
    OSError(
        errno.EMFILE, "x", "/a/module.py"
    ): "Too many open files at /a/module.py. Let it open more files: ulimit -n",
    OSError(errno.ENOSPC, "x"): "No space left on device. Free disk space.",
    OSError(errno.EROFS, "x", "/data"): "Read-only file system at /data. Name a directory that can be written",
    MemoryError(): "Cannot allocate memory. Free memory",
    ExceptionGroup("x", [OSError(errno.ENFILE, "x")]): "Too many open files in system. The machine has no file",
}


def test_what_the_machine_lacks_is_told_with_what_mends_it_and_is_no_defect() -> None:
    for error, words in LACKS.items():
        told = exits.foreseen(error)
        assert words in told.whole
        assert (told.exit_code, isinstance(told, Defect)) == (1, False)
    assert isinstance(exits.foreseen(OSError(errno.EPERM, "x")), Defect)


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
    assert outcomes.pop("cars.makes") == "paused"
    assert set(outcomes.values()) == {"failed"}
    assert ended.err.count("answered 401") == 4  # each stream of the source has its own request
    assert "hint: Check the credentials" in ended.err
    assert "answered 403" in ended.err
    assert "Ask the vendor for the scope" in ended.err
    assert "cannot connect" in ended.err
    assert "shop-pass" not in ended.err + ended.out


async def test_a_defect_of_syncd_shows_its_kind_and_place_but_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = exits.foreseen(ExceptionGroup("x", [ExceptionGroup("y", [ValueError("jan@example.com")])]))
    assert str(shown) == "syncd has a defect: ValueError"
    assert "jan@example.com" not in str(shown) + shown.hint
