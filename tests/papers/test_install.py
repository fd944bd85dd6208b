"""The ways to install of deploy/install.md, followed word by word in a copy of the machine (`make acceptance`)."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd import __version__
from syncd.sandbox import CREDENTIALS
from tests.support.copied_machine import SERVER_PATH, Copy, copied, why_not
from tests.support.papers import blocks
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "deploy" / "install.md"
FOLLOWED = ("1. Packages", "2. The program", "3. The account and its directories", "4. The database",
            "5. The configuration", "6. First run")  # fmt: skip
WAYS = ("An environment of its own", "pipx", "uv", "Debian package")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
ASSUME_YES = "echo 'APT::Get::Assume-Yes \"true\";' > /etc/apt/apt.conf.d/99yes\n"
ANSWERING = """
import os, pty, sys, termios, time
pid, terminal = pty.fork()
if pid == 0:
    os.execv("/usr/local/bin/syncd", ["syncd", *sys.argv[1:]])
shown = b""
while True:
    try:
        shown += os.read(terminal, 4096)
    except OSError:  # the command has ended
        break
    if shown.endswith(b": "):
        print(shown.decode())
        while b"not shown" in shown and termios.tcgetattr(terminal)[3] & termios.ECHO:
            time.sleep(0.05)  # what is typed before the terminal stops showing it is dropped
        if not ANSWERS:
            sys.exit("it asks more than was expected")
        os.write(terminal, ANSWERS.pop(0).encode() + b"\\n")
        shown = b""
print(shown.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
"""Runs syncd on a terminal and answers what it asks, one by one."""


def steps(heading: str) -> list[str]:
    """Return the commands below a heading, block by block."""
    lines = PAGE.read_text().splitlines()
    [start] = [place for place, line in enumerate(lines, 1) if re.fullmatch(rf"##+ {re.escape(heading)}", line)]
    end = next((place for place, line in enumerate(lines, 1) if place > start and line.startswith("##")), len(lines))
    return [each.text for each in blocks("sh") if each.paper == PAGE and start < each.line < end]


def test_the_page_has_the_steps_that_are_followed() -> None:
    assert [len(steps(each)) for each in FOLLOWED] == [1, 2, 1, 1, 2, 1]
    assert [len(steps(each)) for each in (*WAYS, "Uninstall")] == [1, 1, 1, 1, 1]
    words = PAGE.read_text()
    assert "`make acceptance` follows the steps 1 to 6 above, the first four of these" in words
    ways = re.findall(r"^### (.+)$", words, re.MULTILINE)
    assert ways == [*WAYS, "Container"], "a way that is added is followed, or said not to be"


# --- The trials -------------------------------------------------------------------------------------------------------

trial = pytest.mark.acceptance
copyable = pytest.mark.skipif(why_not() != "", reason=why_not())
debian = pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt-get is not installed: this is no Debian")


@pytest.fixture
def machine() -> Iterator[Copy]:
    """A copy of the machine, on a disk: an overlay cannot lie on another."""
    with tempfile.TemporaryDirectory(prefix="syncd-copy-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        with copied(Path(folder)) as made:
            yield made


def interpreter(version: str) -> Path | None:
    """Return a Python of this version, of the path or of pyenv, whose commands on the path may be names only."""
    listed = [Path(found)] if (found := shutil.which(f"python{version}")) else []
    listed += Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")
    for one in listed:
        told = subprocess.run(  # noqa: S603
            [one, "-c", "import sys, venv; print(sys.executable)"], capture_output=True, text=True, check=False
        )
        if told.returncode == 0:
            return Path(told.stdout.strip())
    return None


def tools(folder: Path, package: str) -> Path:
    """Install a program of the package index into an environment of its own; return where it is."""
    subprocess.run(["python3", "-m", "venv", folder], check=True, timeout=60)  # noqa: S603, S607
    subprocess.run([folder / "bin" / "python", "-m", "pip", "--quiet", "install", package], check=True, timeout=300)  # noqa: S603
    return folder / "bin" / package


def link(folder: Path, name: str, target: str | Path) -> str:
    """Put a program in front of a PATH under a name; return that PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).symlink_to(target)
    return f"{folder}:{SERVER_PATH}"


@trial
@copyable
@pytest.mark.timeout(900)
@pytest.mark.parametrize("python", PYTHONS)
def test_an_environment_of_its_own(machine: Copy, python: str, tmp_path: Path) -> None:
    program = interpreter(python)
    if program is None:
        pytest.skip(f"no Python {python} is installed here")
    path = link(tmp_path / "first", "python3", program)
    [words] = steps("An environment of its own")
    out = machine.run(f"{words}~/syncd/bin/python --version\n", cwd=ROOT, path=path)
    assert f"syncd, version {__version__}" in out or __version__ in out
    assert out.splitlines()[-1].startswith(f"Python {python}.")


@trial
@copyable
@pytest.mark.timeout(900)
@pytest.mark.parametrize("program", ["pipx", "uv"])
def test_a_program_that_installs_programs(machine: Copy, program: str, tmp_path: Path) -> None:
    path = link(tmp_path / "first", program, tools(tmp_path / "tools", program))
    [words] = steps(program)
    out = machine.run(words, cwd=ROOT, path=path)
    assert __version__ in out.splitlines()[-1]


@trial
@copyable
@debian
@pytest.mark.timeout(900)
def test_the_debian_package(machine: Copy) -> None:
    [words] = steps("Debian package")
    script = (
        f"{ASSUME_YES}{words}dpkg -s syncd\nid syncd\nman -w syncd\nsystemd-analyze verify syncd.service\n"
        "apt-get remove syncd\n"
        "test ! -e /usr/bin/syncd && test ! -e /opt/syncd && test -d /etc/syncd && id syncd && echo gone\n"
    )
    out = machine.run(script, cwd=ROOT)
    assert "Status: install ok installed" in out
    assert f"Version: {__version__}" in out
    assert out.splitlines()[-1] == "gone"


@trial
@copyable
@debian
@pytest.mark.timeout(900)
def test_the_page_from_the_first_step_to_the_last_and_away_again(machine: Copy) -> None:
    port = free_port()
    packages, program, account, database, configuration, first = (steps(each) for each in FOLLOWED)
    answers = ["cyclis", "lease", f"http://127.0.0.1:{port}/cyclis", str(CREDENTIALS["cyclis"]["api_token"]), ""]
    before = (
        f"{ASSUME_YES}shopt -s expand_aliases\n"
        # `syncd init` asks on a terminal
        'syncd() { if [[ $1 == init ]]; then python3 /answering.py "$@"; else command syncd "$@"; fi; }\n'
    )
    (machine.folder / "upper" / "answering.py").write_text(f"ANSWERS = {answers}\n{ANSWERING}")
    started = (
        "version=$(ls /etc/postgresql | tail -1)\n"
        "pg_ctlcluster $version main start -o '-c listen_addresses='\n"
        f"({ROOT}/.venv/bin/python -m syncd sandbox --port {port} >/sandbox.log 2>&1 &)\n"
    )
    asked = "runuser -u postgres -- psql -d mirror -Atc 'SELECT count(*) > 0 FROM cyclis.orders'\n"
    [last] = steps("Uninstall")
    last = last.replace("systemctl disable --now syncd\n", "")  # no systemd runs in the copy
    out = machine.run(
        before + "".join(packages) + "".join(program) + "".join(account) + started + "".join(database)
        + configuration[0] + f"echo secret | (\n{configuration[1]})\n" + "".join(first) + asked
        + f"unalias syncd; unset -f syncd; cd /\n{last}test ! -e /usr/local/bin/syncd && echo gone\n",
        cwd=ROOT,
    )  # fmt: skip
    assert out.splitlines()[-1] == "gone"
    assert "\nt\n" in out, out
