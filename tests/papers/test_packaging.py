"""What is handed out: the wheel, an editable install, and the pinned dependencies."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()


def run(*arguments: str | Path, cwd: Path = ROOT, path: Path | None = None) -> str:
    """Run Python with its arguments, modules of `path` first, and return what it printed."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("SYNCD_", "PYTHON"))}
    if path:
        environ["PYTHONPATH"] = str(path)
    done = subprocess.run(  # noqa: S603
        [sys.executable, *arguments], cwd=cwd, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without asking any package index."""
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "-w", folder, ROOT)
    [found] = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the wheel was installed."""
    folder = tmp_path_factory.mktemp("installed")
    run("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", folder, wheel)
    return folder


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_file_of_the_package_and_every_migration(wheel: Path) -> None:
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "syncd").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    migrations = {f"syncd/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "migrations").rglob("*.py")}
    assert {
        "syncd/py.typed",
        "syncd/sandbox/apis/ghs/samples.json",
        "syncd/service/web/templates/index.html",
    } <= package
    assert len(migrations) > 5
    assert package | migrations <= names(wheel)


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    ours = ("syncd/", f"syncd-{PROJECT['version']}.dist-info/")
    assert [name for name in names(wheel) if not name.startswith(ours)] == []
    assert [name for name in names(wheel) if "__pycache__" in name or name.startswith("syncd/tests")] == []


def test_the_installed_wheel_runs_and_finds_its_own_migrations(installed: Path, tmp_path: Path) -> None:
    assert PROJECT["version"] in run("-m", "syncd", "--version", cwd=tmp_path, path=installed)
    code = "from syncd.storage.postgres import migrations as m; print(m.migrations_dir(), m.newest_revision())"
    folder, newest = run("-c", code, cwd=tmp_path, path=installed).rsplit(" ", 1)
    assert Path(folder) == installed / "syncd" / "migrations"
    assert newest == max(path.name[:4] for path in (ROOT / "migrations" / "versions").glob("0*.py"))


def test_the_installed_wheel_brings_the_command(installed: Path) -> None:
    assert (installed / "bin" / "syncd").is_file()


def test_an_editable_install_leaves_no_copy_of_anything(tmp_path: Path) -> None:
    run("-c", f"from hatchling.build import build_editable; build_editable({str(tmp_path)!r})")
    [wheel] = tmp_path.glob("*.whl")
    assert {name for name in names(wheel) if ".dist-info/" not in name} == {"_syncd.pth"}


def test_the_lock_pins_every_dependency_as_the_project_names_it() -> None:
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", LOCK, flags=re.MULTILINE))
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    for requirement in wanted:
        found = re.match(r"([\w.-]+)(?:\[\w+\])?(?:==(\S+))?", requirement)
        assert found, requirement
        name, version = found[1].lower(), found[2]
        assert name in pinned, f"{name} is not in requirements.lock: run make lock"
        assert version in (None, pinned[name]), f"{name} differs from requirements.lock: run make lock"


def test_the_lock_has_hashes_for_everything_and_names_no_place() -> None:
    entries = [entry for entry in re.split(r"\n(?=\S)", LOCK) if "==" in entry]
    assert len(entries) > 30
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"://|^-|/\w", LOCK, flags=re.MULTILINE) == []
