"""The command line as a whole: its list of commands, its help, and the option that every command takes."""

import asyncio
import pkgutil
import re
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from syncd import cli
from syncd.cli import commands
from syncd.sources import registry
from tests.support.bench import Bench
from tests.support.command import Say, assert_refused

SUBCOMMANDS = [
    "rejects list", "rejects show", "rejects replay", "cursor show", "cursor set", "cursor reset",
    "files list", "files show", "files write", "notify test", "runs list", "runs show", "config show",
    "callbacks register", "callbacks clear", "callbacks status",
]  # fmt: skip
HEAVY = ("sqlalchemy", "alembic", "aiohttp", "apscheduler", "jinja2")


def help_of(words: str = "") -> str:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(cli.cli, [*words.split(), "--help"], terminal_width=80)
    assert result.exit_code == 0
    return result.output


def command_of(name: str) -> click.Command:
    found = cli.cli.get_command(click.Context(cli.cli), name)
    assert found
    return found


def test_help_lists_the_commands_in_the_order_of_their_use_and_the_exit_codes() -> None:
    text = help_of()
    listed = re.findall(r"^  (\w+) {2,}\S", text.partition("Commands:")[2].partition("Examples:")[0], re.MULTILINE)
    assert listed == [
        "demo", "init", "config", "check", "migrate", "run", "sync", "backfill", "status", "runs", "logs", "rejects",
        "cursor", "verify", "forget", "sources", "notify", "worker", "workers", "reload", "callbacks", "backup",
        "restore", "doctor", "upgrade", "sandbox", "sql", "report", "export", "files", "completion",
    ]  # fmt: skip
    assert "..." not in text.partition("Commands:")[2]  # no summary is cut
    assert re.search(r"3  the database cannot be reached", text)


def test_every_command_has_one_module_and_every_module_one_command() -> None:
    modules = [module.name for module in pkgutil.iter_modules(commands.__path__)]
    assert sorted(modules) == sorted(name.replace("-", "_") for name in cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_list_of_commands_says_what_the_command_itself_says(name: str) -> None:
    command = command_of(name)
    assert command.name == name
    assert (command.help or "").partition("\n")[0] == cli.COMMANDS[name]


@pytest.mark.parametrize("words", [*cli.COMMANDS, *SUBCOMMANDS])
def test_help_of_a_command_fits_a_terminal_and_tells_of_the_configuration(words: str) -> None:
    text = help_of(words)
    assert "\b" not in text
    assert max(map(len, text.splitlines())) <= 80
    if words not in ("completion", "new-source"):
        assert "--config FILE" in text
    assert re.search(rf"^Examples:\n  .*syncd {words.partition(' ')[0]}", text, re.MULTILINE)


@pytest.mark.parametrize("words", [*cli.COMMANDS, *SUBCOMMANDS])
def test_every_command_takes_the_configuration_before_and_after_its_name(words: str) -> None:
    *above, name = words.split()
    for line in (["--config", "f", *above, name], [*above, "--config", "f", name], [*above, name, "--config", "f"]):
        assert CliRunner().invoke(cli.cli, [*line, "--help"]).exit_code == 0, line


def test_the_configuration_named_before_a_command_is_read(say: Say, sandbox_config: Path) -> None:
    wrong = "/nowhere/config.toml"
    for line in (["--config", wrong, "cursor", "show"], ["cursor", "--config", wrong, "show"]):
        assert_refused("", say(*line), 2, wrong)
    assert say("--config", str(sandbox_config), "sql", "SELECT 1").code == 0


def test_of_two_configurations_the_one_nearer_to_the_end_of_the_line_counts(say: Say, sandbox_config: Path) -> None:
    right, wrong = str(sandbox_config), "/nowhere/config.toml"
    assert say("--config", wrong, "sql", "SELECT 1", "--config", right).code == 0
    assert say("--config", wrong, "cursor", "--config", right, "show").code == 0
    assert_refused("", say("--config", right, "sql", "SELECT 1", "--config", wrong), 2, wrong)


def test_backfill_help_shows_examples_line_by_line() -> None:
    text = help_of("backfill")
    assert "\n  syncd backfill shop.customers --since 2026-01-01 --dry-run\n" in text


async def modules_of(*words: str | Path) -> set[str]:
    """Return the modules that a command imports."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "importtime", "-m", "syncd", *map(str, words),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, told = await process.communicate()
    assert process.returncode == 0, told[-2000:]
    return {line.rpartition("|")[2].strip() for line in told.decode().splitlines()}


async def imported_by(*words: str | Path) -> set[str]:
    """Return the top-level modules that a command imports."""
    return {name.partition(".")[0] for name in await modules_of(*words)}


async def test_help_imports_nothing_heavy_so_that_it_is_quick() -> None:
    imported = await imported_by("--help")
    assert "click" in imported
    assert imported.isdisjoint([*HEAVY, "asyncio", "asyncpg", "rich", "structlog", "msgspec"])


async def test_status_imports_neither_the_pool_nor_the_upstream_client(shop: Bench) -> None:
    imported = await imported_by("status", "--config", shop.config_file())
    assert imported.isdisjoint([*HEAVY, "rich", "structlog", "zipfile"])  # the latter with importlib.metadata


async def test_only_the_types_of_the_configuration_are_imported(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.touch(0o600)
    path.write_text('[sources.lease]\ntype = "cyclis"\nbase_url = "https://lease.example"\napi_token = "secret"\n')
    imported = await modules_of("config", "show", "--config", path)
    assert imported & {f"syncd.sources.{type_}.api" for type_ in registry()} == {"syncd.sources.cyclis.api"}


async def test_a_check_imports_nothing_that_makes_tables_or_serves(shop: Bench) -> None:
    modules = await modules_of("check", "--config", shop.config_file())
    imported = {name.partition(".")[0] for name in modules}
    assert "aiohttp.connector" in modules
    assert "aiohttp.web" not in modules
    assert imported.isdisjoint(["sqlalchemy", "alembic", "apscheduler", "jinja2", "rich", "structlog"])


async def test_a_run_imports_nothing_that_only_terminals_and_logs_need(shop: Bench) -> None:
    modules = await modules_of("sync", "shop.customers", "--config", shop.config_file())
    imported = {name.partition(".")[0] for name in modules}
    assert "aiohttp.connector" in modules
    assert modules.isdisjoint(["aiohttp.web", "syncd.status", "syncd.service"])
    assert imported.isdisjoint(["sqlalchemy", "alembic", "apscheduler", "jinja2", "rich", "structlog"])
