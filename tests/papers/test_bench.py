"""The benchmarks run, at a size where nothing is measured, and count what they say they count."""

import json
from pathlib import Path

import pytest

from bench import idle_tick, loads, table
from bench.stage import Stage
from bench.table import Limit, Row
from syncd.storage.postgres import embedded
from tests.support.search import trial

CUSTOMERS = 2_100


@pytest.fixture
def stage(server: embedded.Server, tmp_path: Path) -> Stage:
    return Stage(folder=tmp_path, server=server, size=CUSTOMERS, peer=False, repeats=1)


@trial
async def test_loads_write_each_row_once_and_only_what_changed(stage: Stage) -> None:
    found = {(row.item, row.subject, row.what): row for row in await loads.measure(stage)}
    assert {"floor", "syncd"} == {subject for _, subject, _ in found}
    for what in ("rows written in the mirror", "dead rows left in the mirror", "WAL of the mirror's tables"):
        assert found[loads.SAME, "syncd", what].value == 0
    assert found[loads.SOME, "syncd", "customers updated"].value == CUSTOMERS / 100
    assert found[loads.SOME, "syncd", "phone numbers updated"].value == 11
    assert found[loads.SOME, "syncd", "rows written but not changed"].value == 0
    assert found[loads.SOME, "syncd", "WAL of the mirror's tables"].value > 0


@trial
async def test_idle_ticks_ask_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_tick, "TICKS", 2)
    monkeypatch.setattr(idle_tick, "LOGGED", 1)
    found = {(row.subject, row.what): row.value for row in await idle_tick.measure(stage)}
    assert [found[f"syncd {stream}", "requests"] for stream in idle_tick.STREAMS] == [1.0] * len(idle_tick.STREAMS)
    assert [found[f"syncd {stream}", "statements"] for stream in idle_tick.STREAMS] == [4.0] * len(idle_tick.STREAMS)


def test_every_limit_leaves_room_between_aim_and_failure() -> None:
    known = table.limits()
    assert known
    assert all(limit.holds(Row(*name, value=limit.fails, unit="")) for name, limit in known.items())


def test_a_figure_that_fell_back_is_told(tmp_path: Path) -> None:
    most = Limit(item="a", subject="b", what="c", aim=1.5, fails=2.0)
    least = Limit(item="a", subject="b", what="d", aim=10, fails=8, least=True)
    known = {("a", "b", "c"): most, ("a", "b", "d"): least}
    rows = [Row("a", "b", "c", 1.2, "×"), Row("a", "b", "c", 1.8, "×"), Row("a", "b", "c", 2.1, "×")]
    rows += [Row("a", "b", "d", 11, "×"), Row("a", "b", "d", 9, "×"), Row("a", "b", "d", 7, "×")]
    said = [known[row.item, row.subject, row.what].says(row) for row in rows]
    assert said == ["≤ 1.50 met", "≤ 1.50 missed", "≤ 1.50 FELL BACK", "≥ 10 met", "≥ 10 missed", "≥ 10 FELL BACK"]
    assert [row.value for row in table.fallen(rows, known)] == [2.1, 7]
    assert not table.fallen([Row("a", "b", "c", float("nan"), "×")], known)

    path = tmp_path / "page.md"
    path.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    table.write_block(path, rows, known, {"cores": 2})
    assert "old" not in path.read_text()
    assert "| a | b | c | 2.10 | × | ≤ 1.50 FELL BACK |  |" in path.read_text()
    table.write_json(tmp_path / "found.json", rows, known, {"cores": 2})
    assert json.loads((tmp_path / "found.json").read_text())["rows"][0]["aim"] == 1.5
