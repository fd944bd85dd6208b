"""The questions that plugins bring for `syncd report`: what is taken, and what is left out with which words."""

from pathlib import Path

import pytest

from syncd.cookbook import collect, questions
from syncd.cookbook.narrowing import answerable, dated, narrowed, parse_condition, views_of

GOOD = "-- about: Club\n-- question: How many?\nSELECT count(*) AS members\nFROM toy.members;\n"


def write(folder: Path, **texts: str) -> Path:
    folder.mkdir()
    for name, text in texts.items():
        (folder / f"{name}.sql").write_text(text)
    return folder


def test_a_plugins_questions_come_after_ours_and_bad_files_cost_nothing_else(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "toy", toy_good=GOOD, toy_last=GOOD.rstrip(), toy_untitled="SELECT 1;\n", stock_by_store=GOOD,
        toy_open=GOOD.replace(";", ""), toy_silent=GOOD.replace("How many?", ""), Bad=GOOD,
    )  # fmt: skip
    (folder / "toy_latin.sql").write_bytes(GOOD.replace("many", "vél").encode("latin-1"))
    (folder / "toy_folder.sql").mkdir()
    (folder / "toy_gone.sql").symlink_to(tmp_path / "nowhere")
    (folder / "notes.txt").write_text("no report")
    other = write(tmp_path / "zoo", toy_good=GOOD, zoo_good=GOOD)
    shelf = collect({"toy": folder, "odd": tmp_path / "away", "none": "reports", "zoo": other})
    own = list(questions())
    assert list(shelf.questions) == [*own, "toy_good", "toy_last", "zoo_good"]
    assert len(own) > 25
    good = shelf.questions["toy_good"]
    assert (good.plugin, good.about, good.text) == ("toy", "Club", "How many?")
    assert good.query == "SELECT count(*) AS members\nFROM toy.members"
    assert {each.plugin for each in map(shelf.questions.get, own) if each} == {""}
    latin = "/toy/toy_latin.sql is no UTF-8 text: invalid continuation byte"
    form = "it must begin with `-- about: …` and `-- question: …`, and its query end with `;`"
    assert [each.words.replace(str(tmp_path), "") for each in shelf.left_out] == [
        "the report Bad of plugin toy is left out: the name of a report has small letters, digits and _ only",
        "the report stock_by_store of plugin toy is left out: the name is taken by a report of syncd",
        "the report toy_folder of plugin toy is left out: /toy/toy_folder.sql is no file",
        "the report toy_gone of plugin toy is left out: /toy/toy_gone.sql is no file",
        f"the report toy_latin of plugin toy is left out: {latin}",
        f"the report toy_open of plugin toy is left out: {form}",
        f"the report toy_silent of plugin toy is left out: {form}",
        f"the report toy_untitled of plugin toy is left out: {form}",
        "the reports of plugin odd are left out: /away is no folder that holds files *.sql",
        "the reports of plugin none are left out: reports is no folder that holds files *.sql",
        "the report toy_good of plugin zoo is left out: the name is taken by plugin toy",
    ]


def test_a_file_that_may_not_be_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "toy", toy_closed=GOOD, toy_good=GOOD)

    def read(path: Path, *_: object) -> str:  # root may read everything, so that no right can be taken away
        if path.name == "toy_closed.sql":
            raise PermissionError(13, "Permission denied")
        return path.read_bytes().decode()

    monkeypatch.setattr(Path, "read_text", read)
    shelf = collect({"toy": folder})
    assert "toy_good" in shelf.questions
    [told] = shelf.left_out
    assert told.words.endswith("toy_closed.sql cannot be read: Permission denied")


def test_a_question_on_a_plugins_tables_is_narrowed_and_dated_as_ours_are() -> None:
    query = (
        "SELECT extract(year FROM m.joined_at) FROM toy.members AS m JOIN reporting.freshness USING (source)"
        " WHERE m.joined_at >= reporting.now() - interval '1 year'"
    )
    columns = {"toy.members": {"source": "text", "joined_at": "timestamptz"}, "reporting.freshness": {"source": "text"}}
    assert views_of(query, "toy") == ["toy.members", "reporting.freshness"]
    assert views_of(query) == ["reporting.freshness"]
    assert answerable(query, columns, "toy") == ["source", "joined_at"]
    asked = narrowed(query, [parse_condition("source=club")], columns, "toy")
    assert """FROM (SELECT * FROM toy.members WHERE (lower("source") = lower('club'))) AS m JOIN""" in asked
    assert '"joined_at" <= reporting.now()' in dated(query, "2026-01-01", columns, "toy")
