"""Which sources are taken, and which are refused, each in a sentence that names what was found and expected."""

import shutil
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from syncd.contract import VERSION, Source
from syncd.contract.version import misfit
from syncd.sources import registry, spec_of
from syncd.sources.by_type import ByType
from syncd.sources.entry_points import GROUP, Declared, Found, installed, load
from tests.support.plugged import plug_in


@pytest.fixture
def plugin(tmp_path: Path) -> Source:
    """A source like ours, in a schema of its own, with a folder of migrations."""
    (tmp_path / "0001_web.py").touch()
    stream = registry()["ghs"].stream("account")
    table = replace(stream.table, schema="web")
    return replace(
        registry()["ghs"], type="web", streams=(replace(stream, table=table),), contract="1.0", migrations=tmp_path
    )


def declared(name: str, value: Any, distribution: str = "syncd-web 1.0") -> Declared:
    """Return the entry point of a plugin whose module holds the value."""
    module = ModuleType(f"plugin_of_{len(name)}_{id(value)}")
    module.SOURCE = value  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    point = EntryPoint(name=name, value=f"{module.__name__}:SOURCE", group=GROUP)
    return Declared(point=point, distribution=distribution)


def loaded(*plugins: Declared) -> Found:
    return load([*installed(), *plugins], spec_of)


def refusal(*plugins: Declared) -> str:
    """Return the one sentence in which a plugin is refused; all others are as they were."""
    found = loaded(*plugins)
    assert found.sources.keys() >= {"autengo", "cyclesoftware", "cyclis", "ghs"}
    assert found.sources["cyclis"] is registry()["cyclis"]
    [one] = found.refused
    return one.words


def test_ours_are_loaded_by_the_same_way() -> None:
    own = [each for each in installed() if each.is_own]
    assert [(each.point.name, each.point.value, each.point.group) for each in own] == [
        (name, f"syncd.sources.{name}:SOURCE", GROUP) for name in ("autengo", "cyclesoftware", "cyclis", "ghs")
    ]
    assert {source.contract for source in registry().values()} == {"1.0"}


def test_a_source_is_made_when_its_type_is_asked_for() -> None:
    made: list[str] = []

    def make(type_: str) -> str | None:
        made.append(type_)
        return None if type_ == "unfit" else type_.upper()

    by_type = ByType(["shop", "unfit", "lease"], make)
    assert (by_type["lease"], "parts" in by_type, made) == ("LEASE", False, ["lease"])
    assert (dict(by_type), len(by_type), by_type.get("unfit")) == ({"shop": "SHOP", "lease": "LEASE"}, 2, None)


def test_a_plugin_is_found_where_pip_installed_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(each.is_own for each in installed())
    plug_in(tmp_path, "web")
    monkeypatch.syspath_prepend(tmp_path)
    [found] = [each for each in installed() if not each.is_own]
    assert (found.point.name, found.point.value, found.distribution) == ("web", "syncd_web:SOURCE", "syncd-web 0.1.0")


def test_a_plugin_is_found_in_a_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(tmp_path, "web")
    monkeypatch.syspath_prepend(shutil.make_archive(str(tmp_path / "site"), "zip", tmp_path))
    assert [each.distribution for each in installed() if not each.is_own] == ["syncd-web 0.1.0"]


def test_a_plugin_is_taken(plugin: Source) -> None:
    found = loaded(declared("web", plugin))
    assert found.sources["web"] is plugin
    assert found.plugins == {"web": "syncd-web 1.0"}
    assert found.refused == []


def test_one_that_cannot_be_imported() -> None:
    point = EntryPoint(name="web", value="no_such_module_at_all:SOURCE", group=GROUP)
    assert refusal(Declared(point=point, distribution="syncd-web 1.0")) == (
        "the source type web (of syncd-web 1.0) cannot be used: it failed when it was loaded, with"
        " ModuleNotFoundError: No module named 'no_such_module_at_all'"
    )


def test_one_that_exits_when_it_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "exits_at_once.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint(name="web", value="exits_at_once:SOURCE", group=GROUP)
    assert "with SystemExit: 3" in refusal(Declared(point=point, distribution="syncd-web 1.0"))


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another contract": ({"contract": "2.0"},
                         f"it wants version 2.0 of the contract, and this syncd serves 1.0 to {VERSION}"),
    "no contract": ({"contract": ""}, "its contract is '', and the version that it was built for is expected"),
    "another name": ({"type": "shop"}, "its entry point is called web and its source says type='shop'"),
    "no migrations": ({"migrations": None}, "its migrations are no folder: None"),
    "odd options": ({"options": (1,)}, "it failed when it was loaded, with "),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_one_that_declares_what_does_not_fit(plugin: Source, name: str) -> None:
    change, words = WRONG[name]
    assert words in refusal(declared("web", replace(plugin, **change)))


def test_what_is_no_source() -> None:
    assert "is of type dict, and a syncd.contract.Source is expected" in refusal(declared("web", {}))


def test_a_taken_name(plugin: Source) -> None:
    stream = plugin.streams[0]
    own = replace(stream, table=replace(stream.table, schema="ghs"))
    assert refusal(declared("ghs", replace(plugin, type="ghs", streams=(own,)))).endswith("the type is taken by syncd")
    found = loaded(declared("web", plugin, "a-web 1"), declared("web", replace(plugin), "b-web 2"))
    assert found.sources["web"] is plugin
    assert [each.why for each in found.refused] == ["the type is taken by a-web 1"]


def test_a_taken_schema(plugin: Source) -> None:
    stream = plugin.streams[0]
    others = replace(stream, table=replace(stream.table, schema="cyclis"))
    assert "lies in the schema cyclis, and its own schema is web" in refusal(
        declared("web", replace(plugin, streams=(others,)))
    )


@pytest.mark.parametrize("name", ["syncd", "history", "pg_web", "Web", "web-shop", "w" * 25])
def test_a_name_that_cannot_be_a_schema(plugin: Source, name: str) -> None:
    assert "a type is a name of at most 24 small letters" in refusal(declared(name, replace(plugin, type=name)))


@pytest.mark.parametrize(("wanted", "fits"), [("1.0", True), ("0.9", False), ("1.9999", False), ("2.0", False),
                                              ("1", False), (1.0, False), (None, False), ("1.0\n", False)])  # fmt: skip
def test_versions_of_the_contract(wanted: object, fits: bool) -> None:
    assert (misfit(wanted) is None) == fits
