"""`syncd completion`, and the words that the shell proposes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import syncd

BASH = shutil.which("bash") or ""


@pytest.fixture
def with_sources(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(
        '[sources.shop]\ntype = "cyclesoftware"\npassword = { env = "NOT_SET" }\n[sources.cars]\ntype = "autengo"\n'
    )
    return path


async def proposed(line: str, path: Path, shell: str = "bash") -> list[str]:
    """Return what the shell would propose for the last word of a line, asked as its script asks."""
    words = line.split(" ")
    found = await syncd(
        env={
            "_SYNCD_COMPLETE": f"{shell}_complete", "COMP_WORDS": line, "SYNCD_CONFIG": str(path),
            "COMP_CWORD": words[-1] if shell == "fish" else str(len(words) - 1),
        },
    )  # fmt: skip
    assert (found.code, found.err) == (0, "")
    return re.findall(r"^plain[,\n](\S+)", found.out, re.MULTILINE)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_sources_and_streams_of_the_configuration_are_proposed(shell: str, with_sources: Path) -> None:
    assert "shop.customers" in await proposed("syncd sync shop", with_sources, shell)


async def test_commands_options_types_and_faults_are_proposed(with_sources: Path, tmp_path: Path) -> None:
    assert await proposed("syncd sy", with_sources) == ["sync"]
    assert await proposed("syncd sync --f", with_sources) == ["--full"]
    assert await proposed("syncd backfill cars.v", with_sources) == ["cars.vehicles"]
    assert await proposed("syncd cursor set shop.cust", with_sources) == ["shop.customers"]
    assert await proposed("syncd init --type c", with_sources) == ["cyclesoftware", "cyclis"]
    assert await proposed("syncd sandbox --fault gateway", with_sources) == ["gateway-504"]
    other = tmp_path / "other.toml"
    other.write_text('[sources.zaak]\ntype = "ghs"\n[sources.fietsen]\ntype = "cyclis"\n')
    assert await proposed("syncd callbacks reg", with_sources) == ["register"]
    assert await proposed(f"syncd callbacks register --config {other} ", with_sources) == ["fietsen"]
    assert await proposed(f"syncd verify --config {other} zaak.p", with_sources) == ["zaak.products"]
    for wrong in ("no TOML [", "sources = 1", '[sources]\nshop = 1\n[sources.x]\ntype = "?"'):
        other.write_text(wrong)
        assert await proposed("syncd sync sh", other) == (["shop"] if "shop" in wrong else [])


@pytest.mark.skipif(not BASH, reason="needs bash")
def test_the_script_for_bash_completes_in_bash(with_sources: Path, tmp_path: Path) -> None:
    program = tmp_path / "syncd"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m syncd "$@"\n')
    program.chmod(0o755)
    session = (
        "source <(syncd completion bash); COMP_WORDS=(syncd sync shop.cu); COMP_CWORD=2; "
        '_syncd_completion syncd; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    found = subprocess.run(  # noqa: S603
        [BASH, "--norc", "-c", session], capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SYNCD_CONFIG": str(with_sources)},
    )  # fmt: skip
    assert found.stdout.split() == ["shop.customers"], found


@pytest.mark.parametrize(
    ("shell", "fragment"), [("zsh", "#compdef syncd"), ("fish", "complete --no-files --command syncd")]
)
async def test_a_script_is_printed_for_other_shells_too(shell: str, fragment: str) -> None:
    ended = await syncd("completion", shell)
    assert (ended.code, fragment in ended.out, ended.err) == (0, True, "")


def test_the_help_of_sync_loads_no_engine() -> None:
    program = (
        "import sys; from click.testing import CliRunner; from syncd.cli import cli;"
        "assert CliRunner().invoke(cli, ['sync', '--help']).exit_code == 0;"
        "print(sorted({'aiohttp', 'asyncpg', 'syncd.engine', 'syncd.cli.runner'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "[]\n"
