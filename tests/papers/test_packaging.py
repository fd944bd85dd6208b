"""What is handed out: the wheel, an editable install, and the pinned dependencies."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from syncd import __version__
from syncd.cli import carried
from tests.support.search import trial

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]
LOCKS = {
    name: (ROOT / name).read_text() for name in ("requirements.lock", "deploy/requirements.lock", "deploy/release.lock")
}


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


def test_the_wheel_holds_every_file_that_syncd_brings(wheel: Path) -> None:
    assert {f"syncd/deploy/{one.name}" for one in carried.FILES} <= names(wheel)
    assert len(carried.FILES) > 5


@trial
def test_the_installed_wheel_shows_the_files_that_it_brings(installed: Path, tmp_path: Path) -> None:
    for name in ("config.example.toml", "roles.sql", "man/syncd.1"):
        assert f"syncd {__version__}: {name}\n" in run(
            "-m", "syncd", "files", "show", name, cwd=tmp_path, path=installed
        )


def test_the_container_gets_every_folder_that_the_wheel_is_made_of() -> None:
    made_of = SETTINGS["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {path.partition("/")[0] for path in (*made_of["only-include"], *made_of["shared-data"])} | {"README.md"}
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (ROOT / "deploy" / "Containerfile").read_text(), re.MULTILINE)
    assert needed <= {path.rstrip("/") for line in copied for path in line.split()}


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    ours = ("syncd/", f"syncd-{__version__}.dist-info/", f"syncd-{__version__}.data/data/share/man/man")
    assert [name for name in names(wheel) if not name.startswith(ours)] == []
    assert [name for name in names(wheel) if "__pycache__" in name or name.startswith("syncd/tests")] == []


@trial
def test_the_installed_wheel_runs_and_finds_its_own_migrations(installed: Path, tmp_path: Path) -> None:
    assert __version__ in run("-m", "syncd", "--version", cwd=tmp_path, path=installed)
    code = "from syncd.storage.postgres import migrations as m; print(m.migrations_dir(), m.newest_revision())"
    folder, newest = run("-c", code, cwd=tmp_path, path=installed).rsplit(" ", 1)
    assert Path(folder) == installed / "syncd" / "migrations"
    assert newest == max(path.name[:4] for path in (ROOT / "migrations" / "versions").glob("0*.py"))


def test_the_installed_wheel_brings_the_command(installed: Path) -> None:
    assert (installed / "bin" / "syncd").is_file()


def test_an_editable_install_leaves_no_copy_of_anything_but_the_manual(tmp_path: Path) -> None:
    run("-c", f"from hatchling.build import build_editable; build_editable({str(tmp_path)!r})")
    [wheel] = tmp_path.glob("*.whl")
    manual = {f"syncd-{__version__}.data/data/share/man/{page}" for page in ("man1/syncd.1", "man5/syncd-config.5")}
    assert {name for name in names(wheel) if ".dist-info/" not in name} == {"_syncd.pth", *manual}


def pinned(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", LOCKS[lock], flags=re.MULTILINE))


def wanted(extra: str) -> list[Requirement]:
    """Return what the project needs with an extra, and with the extras that this one names."""
    found = [Requirement(text) for text in PROJECT["optional-dependencies"].get(extra, [])]
    named = [inner for each in found if each.name == "syncd" for inner in each.extras]
    return [each for each in found if each.name != "syncd"] + [each for inner in named for each in wanted(inner)]


@pytest.mark.parametrize(
    ("lock", "extra"),
    [("requirements.lock", "dev"), ("deploy/requirements.lock", ""), ("deploy/release.lock", "release")],
)
def test_a_lock_pins_every_dependency_as_the_project_names_it(lock: str, extra: str) -> None:
    found = pinned(lock)
    needed = [*map(Requirement, PROJECT["dependencies"]), *wanted(extra)]
    assert len(needed) >= 12
    for each in needed:
        assert each.name.lower() in found, f"{each.name} is not in {lock}: run make lock"
        assert each.specifier.contains(found[each.name.lower()]), f"{each} differs from {lock}: run make lock"


def test_the_locks_agree() -> None:
    runtime = pinned("deploy/requirements.lock")
    assert len(runtime) > 20
    for lock in ("requirements.lock", "deploy/release.lock"):
        assert runtime.items() <= pinned(lock).items(), f"{lock} differs from deploy/requirements.lock: run make lock"


def test_a_library_that_runs_with_syncd_may_be_newer_than_the_one_in_the_lock() -> None:
    ranges = [*map(Requirement, PROJECT["dependencies"]), *wanted("parquet")]
    assert [str(each) for each in ranges if any(part.operator in ("==", "===") for part in each.specifier)] == []
    assert [str(each) for each in ranges if not any(part.operator == ">=" for part in each.specifier)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_hashes_for_everything_and_names_no_place(lock: str) -> None:
    entries = [entry for entry in re.split(r"\n(?=\S)", LOCKS[lock]) if "==" in entry]
    assert len(entries) > 25
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"://|^-|/\w", LOCKS[lock], flags=re.MULTILINE) == []


def test_fragments_of_the_changelog_are_well_formed() -> None:
    fragments = [path for path in (ROOT / "changelog.d").iterdir() if path.name != "README.md"]
    assert fragments, "an empty folder would check nothing"
    kinds = "|".join(kind["directory"] for kind in SETTINGS["tool"]["towncrier"]["type"])
    for path in fragments:
        assert re.fullmatch(rf"(\d+|\+[a-z0-9-]+)\.({kinds})(\.\d+)?\.md", path.name), path.name
        text = path.read_text().strip()
        assert text.endswith("."), f"{path.name} is no sentence"
        assert not text.startswith(("-", "*", "#")), f"{path.name}: towncrier adds the list"


def test_the_next_changelog_can_be_made_of_the_fragments() -> None:
    draft = run("-m", "towncrier", "build", "--draft", "--version", __version__, "--date", "2026-01-01")
    assert draft.startswith(f"## {__version__} · 2026-01-01")
    assert draft.count("\n- ") >= 4
    assert "<!-- fragments -->" in (ROOT / "CHANGELOG.md").read_text()


def test_the_hooks_before_a_commit_are_valid_and_local() -> None:
    run("-m", "pre_commit", "validate-config", ".pre-commit-config.yaml")
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"], "a hook from elsewhere needs a network"
    assert {hook["id"] for hook in hooks[0]["hooks"]} >= {"ruff", "ruff-format", "imports", "types"}


def test_what_the_makefile_runs_is_there() -> None:
    lists = re.findall(r"\$\(addprefix tests/,([^)]+)\)", (ROOT / "Makefile").read_text())
    assert len(lists) == 3
    named = [path for each in lists for path in each.replace("\\\n", " ").split()]
    assert [path for path in named if not any((ROOT / "tests").glob(path))] == []
