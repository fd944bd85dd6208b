"""The rooms of the tests: what may import what, and what lies where."""

import ast
import functools
import re
from pathlib import Path

import syncd

FOLDER = Path(__file__).parents[1]
ROOMS = {"cli", "integration", "papers", "promises", "sandbox", "sources", "support", "unit"}


def imported(path: Path) -> set[str]:
    """Return the full names of all modules that a file imports, and of what it takes from them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


@functools.cache
def all_imports() -> dict[str, set[str]]:
    """Return what each file of the tests imports; not read when this module is, which each worker does."""
    return {path.relative_to(FOLDER).as_posix(): imported(path) for path in FOLDER.rglob("*.py")}


def test_no_module_imports_a_test_module() -> None:
    assert len(all_imports()) > 80
    assert {
        path: sorted(name for name in names if name.startswith("tests.") and ".test_" in name)
        for path, names in all_imports().items()
        if any(name.startswith("tests.") and ".test_" in name for name in names)
    } == {}, "move what is shared to tests/support"


def test_what_is_shared_imports_from_no_other_room() -> None:
    shared = {path: names for path, names in all_imports().items() if path.startswith("support/")}
    assert len(shared) > 12
    ours = {name for names in shared.values() for name in names if name.startswith("tests.")}
    assert "tests.support.bench" in ours
    assert [name for name in sorted(ours) if not name.startswith("tests.support")] == []


def test_every_test_lies_in_a_room() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.is_dir() and path.name != "__pycache__"} == ROOMS
    assert {path.name for path in FOLDER.glob("*.py")} == {"__init__.py", "conftest.py"}
    assert all((FOLDER / room / "__init__.py").is_file() for room in ROOMS)


MARKERS = {"__init__.py", "__init__.pyi", "py.typed", "__pycache__"}


def test_the_top_of_the_program_can_be_overlooked() -> None:
    rooms = {path.name for path in Path(syncd.__file__).parent.iterdir()} - MARKERS
    assert {"cli", "engine", "storage"} <= rooms
    assert len(rooms) <= 20, "move something into a room where it belongs"


def test_a_walk_is_opened_in_one_place() -> None:
    """Whoever opens a walk in another way forgets to wait for what it asked for before its turn."""
    program = Path(syncd.__file__).parent
    calls = re.compile(r"\.walk\(\w*walk\w*\)|\.walk\(dataclasses\.replace")
    opens = {
        path.relative_to(program).as_posix() for path in program.rglob("*.py") if calls.search(path.read_text("utf-8"))
    }
    assert opens == {"contract/source.py"}
