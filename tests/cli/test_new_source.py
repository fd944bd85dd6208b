"""`syncd new-source`: what it writes, and what it refuses. That it works: tests/promises/test_kit_mutants.py."""

import ast
import importlib.util
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from syncd.cli.commands.new_source import new_source, write
from syncd.contract import Answer, Walk
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
        "syncd_web_shop/migrations/0001_web_shop.py", "syncd_web_shop/reports/web_shop_dearest.sql",
        "syncd_web_shop/sandbox.py", "tests/test_kit.py",
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


class Listener:
    """An API that holds nothing, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []

    async def request(
        self, method: str, path: str, *, params: Sequence[tuple[str, str]] = (), query: str = "", json: Any = None
    ) -> Answer:
        self.asked.append(dict(params))
        at = datetime(2026, 11, 2, tzinfo=UTC)
        return Answer(status=200, headers={}, body=b'{"things":[],"next_after":null}', sent_at=at, served_at=None)


async def test_a_cursor_that_an_operator_set_in_another_zone_is_asked_from_its_instant(tmp_path: Path) -> None:
    write(tmp_path / "plugin", "tills")
    spec = importlib.util.spec_from_file_location("syncd_tills", tmp_path / "plugin/syncd_tills/__init__.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    upstream = Listener()

    async def nothing(_stream: str, _column: str) -> list[Any]:
        return []

    walk = Walk(
        upstream=upstream, kind="live", cursor={"since": "2026-11-01T10:00:00+02:00"}, options={}, stream_options={},
        lookup={}, now=lambda: datetime(2026, 11, 2, tzinfo=UTC), mirrored=nothing,
    )  # fmt: skip
    pages = [page async for page in module.SOURCE.stream("things").walk(walk)]
    assert len(pages) == 1
    assert [each["updated_since"] for each in upstream.asked] == ["2026-11-01T07:50:00Z"]
