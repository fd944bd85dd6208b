"""`syncd new-source`: what it writes, and what it refuses. That it works: tests/promises/test_kit_mutants.py."""

import ast
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from syncd.cli.commands.new_source import new_source
from syncd.errors import UsageError


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def call(name: str) -> str:
    result = CliRunner().invoke(new_source, [name], catch_exceptions=False, standalone_mode=False)
    assert result.return_value == 0
    return result.output


def test_a_folder_with_all_that_a_plugin_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call("web_shop")
    folder = tmp_path / "syncd-web_shop"
    assert written(folder) == [
        "README.md", "docs/web_shop.md", "pyproject.toml", "syncd_web_shop/__init__.py",
        "syncd_web_shop/migrations/0001_web_shop.py", "syncd_web_shop/sandbox.py", "tests/test_kit.py",
    ]  # fmt: skip
    for path in folder.rglob("*.py"):
        ast.parse(path.read_text())
    for path in folder.rglob("*"):
        assert "sample" not in path.name.lower()
        assert path.is_dir() or "sample" not in path.read_text().lower().replace("samples", ""), path
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {
        "syncd.sources": {"web_shop": "syncd_web_shop:SOURCE"}, "syncd.sandbox": {"web_shop": "syncd_web_shop.sandbox"}
    }  # fmt: skip
    assert project["optional-dependencies"] == {"dev": ["syncd[testing]"]}


@pytest.mark.parametrize("name", ["", "Shop", "web-shop", "syncd", "history", "pg_shop", "class", "s" * 25, "1shop"])
def test_a_name_that_cannot_be_a_type(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cannot be the name of a source type"):
        call(name)
    assert written(tmp_path) == []


def test_nothing_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "syncd-webshop").mkdir()
    with pytest.raises(UsageError, match="is there already"):
        call("webshop")
    with pytest.raises(UsageError, match="there is a source type ghs already"):
        call("ghs")
    assert written(tmp_path) == []
