"""The first hour: a configuration that is written by asking or from flags."""

import asyncio
import re
import shlex
import stat
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from syncd import config as configuration
from syncd.sources import specs
from syncd.storage.postgres import embedded
from tests.support.bench import Bench, database_url
from tests.support.command import Ended, syncd
from tests.support.terminal import on_terminal

FLAGS: dict[str, tuple[str, ...]] = {
    "cyclesoftware": ("--set", "username=u"),
    "cyclis": ("--set", "base_url=https://cyclis.example.com"),
    "autengo": (
        "--set", "base_url=https://autengo.example.com", "--set", "dealer_alzura_id=1", "--set", "user_alzura_id=2",
    ),
    "ghs": ("--set", "base_url=https://ghs.example.com", "--set", "username=u"),
}  # fmt: skip
"""What each type of source needs beyond its secrets."""


async def init(path: Path, *words: str, source: str = "cyclesoftware", name: str = "shop") -> Ended:
    return await syncd("init", "--type", source, "--name", name, *words, "--config", path)


def load(path: Path) -> configuration.Config:
    return configuration.load(path, specs(), resolve_secrets=False)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def uncommented(text: str) -> str:
    """Return the file with everything in it that is commented out and could be said."""
    said = re.sub(r'^# url = ".*\n', "", text, flags=re.MULTILINE)  # the file has one already
    return re.sub(r"^# (\[|[a-z_]+ = )", r"\1", said, flags=re.MULTILINE)


# --- From flags -------------------------------------------------------------------------------------------------------


def test_every_type_of_source_is_tried_here() -> None:
    assert set(FLAGS) == set(specs())


@pytest.mark.parametrize("source", FLAGS)
async def test_what_init_writes_loads_with_every_comment_taken_away(source: str, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    ended = await init(path, *FLAGS[source], source=source, name="one")
    assert ended.code == 0, ended
    assert f"next: syncd migrate --config {path}\nthen: syncd check --config {path}\n" in ended.out
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load(path).sources["one"].type == source
    assert names_in(tmp_path) == ["config.toml"]
    path.write_text(uncommented(path.read_text()).replace('from = "…"', ""))
    whole, table = load(path), tomllib.loads(path.read_text())["sources"]["one"]
    spec = specs()[source]
    assert set(table) == {"type", "base_url", "streams", "budget", "timeouts", *spec.options}
    assert set(table["streams"]) == set(spec.streams)
    assert whole.sources["one"].options.keys() == spec.options.keys()


async def test_a_secret_that_no_flag_names_is_looked_for_in_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    ended = await init(path, *FLAGS["ghs"], source="ghs", name="my-parts")
    assert "sources.my-parts.api_key: the environment variable MY_PARTS_API_KEY is not set" in ended.out
    assert re.search(r'^api_key = \{ env = "MY_PARTS_API_KEY" \}', path.read_text(), re.MULTILINE)


async def test_the_place_of_a_secret_and_of_the_database_may_be_named(tmp_path: Path) -> None:
    path, secret = tmp_path / "config.toml", tmp_path / "token"
    secret.write_text("t0ken-of-cyclis\n")
    secret.chmod(0o600)
    words = ("--set", f"api_token=file:{secret}", "--database", "env:DATABASE_URL")
    ended = await init(path, *FLAGS["cyclis"], *words, source="cyclis")
    assert ended.code == 0, ended
    assert "DATABASE_URL is not set" in ended.out
    loaded = configuration.load(path, specs(), environ={"DATABASE_URL": "postgresql://u@h/d", "HOME": "/"})
    assert loaded.sources["shop"].secret("api_token") == "t0ken-of-cyclis"
    assert loaded.database.shown == "postgresql://u@h/d"


SHOP = ("--type", "cyclesoftware", *FLAGS["cyclesoftware"])
REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "an unknown type": (("--type", "cyclesoftwar"), 'did you mean "cyclesoftware"'),
    "an unknown key": (("--type", "ghs", "--set", "usrname=u"), 'did you mean "username"'),
    "what is missing": (("--type", "ghs"), "--set username=…"),
    "a name that is none": (("--type", "cyclesoftware", "--name", "1x", "--set", "username=u"), "starts with a letter"),
    "no number": (("--type", "autengo", "--set", "dealer_alzura_id=many"), "expected a number, found 'many'"),
    "a base_url without TLS": (("--type", "cyclis", "--set", "base_url=http://h.example"), "write https://h.example"),
    "a value that is missing": (("--type", "ghs", "--set", "username"), "no value"),
    "no terminal": ((), "there is no terminal"),
    "a name alone": (("--name", "x"), "--type is missing"),
    "a database that is none": ((*SHOP, "--database", "mysql://h/d"), "embedded"),
    "adding to nothing": ((*SHOP, "--add"), "is not there"),
}  # fmt: skip


async def test_wrong_flags_are_told_with_what_would_be_right_and_write_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    ended = await asyncio.gather(*(syncd("init", *words, "--config", path) for words, _ in REFUSED.values()))
    for (name, (_, fragment)), end in zip(REFUSED.items(), ended, strict=True):
        assert (end.code, end.out) == (2, ""), (name, end)
        assert fragment in end.err, (name, end)
    assert names_in(tmp_path) == []


async def test_a_secret_on_the_command_line_is_refused_and_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    typed = await init(path, "--set", "username=u", "--set", "password=hunter2-typed")
    address = await init(path, "--set", "username=u", "--database", "postgresql://u:hunter2-typed@h/d")
    for ended in (typed, address):
        assert ended.code == 2
        assert "everybody on this machine can read" in ended.err
        assert "env:" in ended.err
        assert "hunter2" not in ended.err + ended.out
    assert not path.exists()


async def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    for make in (lambda: path.write_text("# mine\n"), lambda: path.symlink_to(tmp_path / "nowhere")):
        make()
        ended = await init(path, *FLAGS["cyclesoftware"])
        assert ended.code == 2
        assert "is there already" in ended.err
        assert path.is_symlink() or path.read_text() == "# mine\n"
        path.unlink()


async def test_one_more_source_is_added_and_nothing_else_changes(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    await init(path, *FLAGS["cyclesoftware"], "--database", "env:DATABASE_URL")
    before = path.read_text()
    path.chmod(0o640)
    added = await init(path, *FLAGS["cyclis"], "--add", source="cyclis", name="lease")
    assert added.code == 0, added
    assert path.read_text().startswith(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tomllib.loads(path.read_text())["sources"]) == ["shop", "lease"]
    twice = await init(path, *FLAGS["cyclis"], "--add", source="cyclis", name="lease")
    assert (twice.code, "has a source lease already" in twice.err) == (2, True)


# --- By asking --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def bare_url(server: embedded.Server) -> AsyncIterator[str]:
    """The address of a database that is not migrated."""
    conn = await asyncpg.connect(**server.connect_arguments)
    await conn.execute("CREATE DATABASE bare_of_init")
    yield database_url(server, "bare_of_init")
    await conn.execute("DROP DATABASE bare_of_init WITH (FORCE)")
    await conn.close()


async def test_init_asks_on_a_terminal_and_following_its_closing_words_ends_all_well(
    bench: Bench, bare_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "new folder" / "config.toml"
    async with on_terminal("init", "--config", path) as terminal:
        for question, answer in (
            ("Type of the source", "cyclis"),
            ("Its name", ""),
            ("Address of the API", "http://cyclis.example.com"),
            ("write https://cyclis.example.com", ""),  # asked again
            ("Address of the API", bench.address.base_url("cyclis")),
            ("api_token", "sandbox-cyclis-token-3f9a"),
            ("Another source?", "y"),
            ("Type of the source", "cyclesoftware"),
            ("Its name", "shop"),
            ("username", "sandbox-shop"),
            ("password (not shown", ""),
            ("Another source?", "n"),
            ("Database", bare_url),
        ):
            await terminal.shows(question)
            if answer or question in ("Its name", "password (not shown"):
                terminal.raw = ""
                terminal.type(f"{answer}\n")
        await terminal.shows("then: syncd check")
        assert await terminal.ended() == 0
        steps = [shlex.split(step)[1:] for step in re.findall(r"(?:next|then): (.+?)\r?\n", terminal.shown)]
    assert [step[0] for step in steps] == ["migrate", "check"]
    assert "sandbox-cyclis-token" not in terminal.raw
    secret = path.parent / "secrets" / "lease_api_token"
    assert secret.read_text() == "sandbox-cyclis-token-3f9a\n"
    assert {stat.S_IMODE(file.stat().st_mode) for file in (path, secret)} == {0o600}
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    assert 'password = { env = "SHOP_PASSWORD" }' in path.read_text()
    migrated = await syncd(*steps[0])
    assert migrated.code == 0, migrated
    missing = await syncd(*steps[1], "--json")
    assert missing.code == 2
    assert [found["detail"] for found in missing.json if found["state"] == "failed"] == [
        "sources.shop.password: the environment variable SHOP_PASSWORD is not set"
    ]
    text = path.read_text().replace("# base_url", f'base_url = "{bench.address.base_url("cyclesoftware")}" #')
    path.write_text(text)
    checked = await syncd(*steps[1], env={"SHOP_PASSWORD": "shop-pass:with/odd+signs"})
    assert checked.code == 0, checked
    assert "ok      source lease: " in checked.out
    assert "ok      source shop: " in checked.out
    assert f"all well; next: syncd sync --config '{path}', or syncd run --config '{path}'" in checked.out


async def test_ctrl_c_while_it_asks_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    async with on_terminal("init", "--config", path) as terminal:
        await terminal.shows("Type of the source")
        while terminal.process.returncode is None:  # it is lost on a reader that is just about to wait
            terminal.type("\x03")
            await asyncio.sleep(1)
        assert await terminal.ended() == 130
        assert "nothing was written" in terminal.shown
    assert names_in(tmp_path) == []
