"""`syncd files`: what is brought along, stamped with the version, and never over somebody's own work."""

import json
import tomllib
from pathlib import Path

import pytest
import yaml

from syncd import __version__
from syncd.cli import carried
from tests.support.command import Say, assert_refused

STAMP = f"syncd {__version__}: "


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_file_is_written_with_its_stamp_and_is_still_what_its_program_reads(say: Say, tmp_path: Path) -> None:
    names = {one["name"] for one in say("files", "list", "--json").json}
    assert {
        "syncd.service",
        "roles.sql",
        "prometheus-alerts.yaml",
        "grafana-dashboard.json",
        "dbt/models/sources.yml",
    } < names
    assert say("files", "write", "--to", "out").code == 0
    out = tmp_path / "out"
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == names
    for name in names:
        assert STAMP + name in (out / name).read_text(), name
        assert say("files", "show", name).out == (out / name).read_text()
    assert "CREATE ROLE syncd_reader" in (out / "roles.sql").read_text()
    assert json.loads((out / "grafana-dashboard.json").read_text())["panels"]
    assert yaml.safe_load((out / "prometheus-alerts.yaml").read_text())["groups"]
    assert tomllib.loads((out / "config.example.toml").read_text())["sources"]
    tables = {
        (source["name"], table["name"])
        for source in yaml.safe_load((out / "dbt" / "models" / "sources.yml").read_text())["sources"]
        for table in source["tables"]
    }
    assert {("cyclesoftware", "customers"), ("ghs", "products")} <= tables


def test_a_file_that_differs_is_left_alone_unless_forced(say: Say, tmp_path: Path) -> None:
    unit = tmp_path / "syncd.service"
    unit.write_text("[Service]\nExecStart=/bin/mine\n")
    assert_refused("", say("files", "write", "syncd.service", "roles.sql"), 2, "syncd.service is there and differs")
    assert not (tmp_path / "roles.sql").exists(), "half of it was written"
    assert unit.read_text() == "[Service]\nExecStart=/bin/mine\n"
    program = tmp_path / "bin" / "syncd"
    assert say("files", "write", "syncd.service", "--force", "--program", str(program)).code == 0
    assert f"\nExecStart={program} run --config" in unit.read_text()
    assert say("files", "write", "syncd.service", "--program", str(program)).code == 0, "the same again"


def test_wrong_names_and_places_are_refused(say: Say) -> None:
    assert_refused("", say("files", "show", "syncd.sevice"), 2, "syncd brings no file 'syncd.sevice'")
    assert_refused("", say("files", "write", "roles.sql", "--install"), 2, "roles.sql has no place of its own")
    assert_refused("", say("files", "write", "--install", "--to", "x"), 2, "--install and --to say two places")


def test_the_copy_at_its_place_is_judged_by_its_stamp(tmp_path: Path) -> None:
    place = tmp_path / "syncd.conf"

    def state() -> str:
        return one.state

    one = carried.Carried(name="sysusers.conf", purpose="", place=str(place))
    assert state() == "absent"
    place.write_text(one.text)
    assert state() == "current"
    place.write_text(one.text + "# mine\n")
    assert state() == "changed"
    place.write_text(one.text.replace(__version__, "0.0.1"))
    assert state() == "another version"
