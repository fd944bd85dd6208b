"""Accounts in files of their own, which the configuration includes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from syncd import config as configuration
from syncd import sources
from syncd.config import Config, RowsReader, load, read_shown
from syncd.config.fragments import line_of
from syncd.errors import ConfigError

SHOP = '[sources.{}]\ntype = "cyclesoftware"\nusername = "u"\npassword = {{ env = "P" }}\n'
ENVIRON = {"HOME": "/home/someone", "P": "s1-hunter"}


def write(folder: Path, main: str, **fragments: str) -> Path:
    """Write a configuration and files of accounts beside it; return its path."""
    (folder / "accounts.d").mkdir(exist_ok=True)
    for name, text in fragments.items():
        (folder / "accounts.d" / f"{name}.toml").write_text(text)
    path = folder / "config.toml"
    path.write_text(main)
    return path


def loaded(path: Path) -> Config:
    return load(path, sources.specs(), environ=ENVIRON)


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(path)
    return str(caught.value)


INCLUDE = 'include = "accounts.d/*.toml"\n'


def test_accounts_come_from_every_file_that_matches_in_the_order_of_paths(tmp_path: Path) -> None:
    path = write(tmp_path, INCLUDE + SHOP.format("main"), b=SHOP.format("second"), a=SHOP.format("first"))
    config = loaded(path)
    assert list(config.sources) == ["main", "first", "second"]
    assert [Path(source.origin).name for source in config.sources.values()] == ["", "a.toml", "b.toml"]
    assert [file.name for file in config.files] == ["a.toml", "b.toml"]
    assert config.sources["first"].secret("password") == "s1-hunter"

    only = write(tmp_path, 'include = ["accounts.d/b.toml", "*.toml", "accounts.d/b*"]\n')  # the main file matches, too
    assert list(loaded(only).sources) == ["second"]


def test_accounts_that_say_the_same_share_what_was_read(tmp_path: Path) -> None:
    say = '[sources.{}.streams.customers]\nevery = "7m"\n'
    both = [SHOP.format(name) + say.format(name) for name in ("first", "second")]
    config = loaded(write(tmp_path, INCLUDE, a=both[0], b=both[1] + SHOP.format("third")))
    first, second, third = (config.sources[name] for name in ("first", "second", "third"))
    assert first.streams is second.streams
    assert first.streams["customers"].every_s == 420
    assert third.streams["customers"].every_s != 420
    assert third.streams["stores"] is first.streams["stores"]
    assert first.budget is third.budget


def test_what_a_file_of_accounts_says_changes_the_digest_and_where_it_stands_does_not(tmp_path: Path) -> None:
    path = write(tmp_path, INCLUDE, a=SHOP.format("shop"))
    before = loaded(path)
    write(tmp_path, INCLUDE, a=SHOP.format("shop") + "in_flight = 2\n")
    assert loaded(path).digest != before.digest
    (tmp_path / "accounts.d/a.toml").unlink()
    write(tmp_path, INCLUDE, b=SHOP.format("shop"))
    assert loaded(path) == before
    assert loaded(path).digest == before.digest


def test_a_secret_in_a_file_counts_from_the_directory_of_the_file_that_names_it(tmp_path: Path) -> None:
    path = write(tmp_path, INCLUDE, a=SHOP.format("shop").replace('env = "P"', 'file = "shop.secret"'))
    secret = tmp_path / "accounts.d/shop.secret"
    secret.write_text("s2-hunter\n")
    assert f"{secret} may be read by others (mode 0644)" in refusal(path)
    secret.chmod(0o600)
    assert loaded(path).sources["shop"].secret("password") == "s2-hunter"


@pytest.mark.parametrize(
    ("main", "fragment", "words"),
    [
        (INCLUDE, SHOP.format("shop") + 'evry = "5m"\n', "a.toml, line 5: sources.shop.evry: unknown key"),
        (INCLUDE, SHOP.format("shop") + '\n[sources.shop.streams.customers]\nevery = 5\n',
         "a.toml, line 7: sources.shop.streams.customers.every: expected a duration"),
        (INCLUDE, '[sources.shop]\ntype = "cyclesoftware"\nusername = "u"\n',
         "a.toml, line 1: sources.shop.password: required"),
        (INCLUDE, "[sources.shop]\ntype = \n", "a.toml is not valid TOML: Invalid value (at line 2, column 8)"),
        (INCLUDE, SHOP.format("shop") + "[http]\nlisten = 'off'\n",
         "a.toml, line 5: http: a file of accounts holds [sources.NAME] and nothing else; move this to"),
        (INCLUDE, SHOP.format("shop") + "[sources_from]\nquery = 'SELECT 1'\n",
         "a.toml, line 5: sources_from: a file of accounts"),
        (INCLUDE + SHOP.format("shop"), SHOP.format("shop"),
         "a.toml, line 1: sources.shop: is named in the file that includes it, too; keep one"),
        ('include = "accounts.e/*.toml"\n' + SHOP.format("shop"), "",
         "include: accounts.e/*.toml matches no file; looked at"),
        ("include = 5\n" + SHOP.format("shop"), "", "include: item 1: expected text in quotes, found integer 5"),
    ],
)  # fmt: skip
def test_complaints_name_the_file_of_accounts_and_the_line(
    tmp_path: Path, main: str, fragment: str, words: str
) -> None:
    text = refusal(write(tmp_path, main, a=fragment))
    assert words in text
    assert "hunter" not in text


def test_a_source_that_two_files_name_is_refused_with_both(tmp_path: Path) -> None:
    text = refusal(write(tmp_path, INCLUDE, a=SHOP.format("x") + SHOP.format("shop"), b=SHOP.format("shop")))
    folder = tmp_path / "accounts.d"
    assert f"{folder}/b.toml, line 1: sources.shop: is named in {folder}/a.toml, line 5, too; keep one" in text
    assert "has 1 problem:" in text


def test_every_key_is_shown_with_the_file_that_it_stands_in(tmp_path: Path) -> None:
    path = write(tmp_path, INCLUDE + SHOP.format("main"), a=SHOP.format("shop"))
    _, keys = read_shown(path, sources.specs(), environ=ENVIRON)
    origins = {one.name: one.origin for one in keys if one.key == "username"}
    assert origins == {"sources.main.username": "", "sources.shop.username": str(tmp_path / "accounts.d/a.toml")}


def test_the_line_of_a_key_is_that_of_the_nearest_table_around_it() -> None:
    document = '# [sources.a]\n[sources.a]\ntype = "x"\nbudget.per_day = 5\n\n[sources."b"]\ntype = "y"\n'
    assert line_of(document, ("sources", "a", "type")) == 3
    assert line_of(document, ("sources", "a", "budget", "per_day")) == 4
    assert line_of(document, ("sources", "b", "password")) == 6
    assert line_of(document, ("http",)) is None


# --- Rows -------------------------------------------------------------------------------------------------------------

FROM = '[sources_from]\nquery = "SELECT 1"\n'
ROW = {"name": "shop", "type": "cyclesoftware", "username": "u", "password": "env:P", "options": None}


def with_rows(path: Path, *rows: configuration.Row) -> Config:
    return read(loaded(path), rows)


def read(config: Config, rows: Sequence[configuration.Row]) -> Config:
    """Read the rows one at a time."""
    reader = RowsReader(config, sources.specs(), environ=ENVIRON)
    for row in rows:
        reader.take([row])
    return reader.config()


def test_a_row_is_an_account_as_a_table_of_the_file_would_be(tmp_path: Path) -> None:
    options = configuration.Json(
        '{"password": {"env": "P"}, "budget": {"per_day": 100}, "streams": {"customers": {"every": "7m"}}}'
    )
    row = {**ROW, "password": None, "in_flight": 2, "options": options}
    config = with_rows(write(tmp_path, FROM + SHOP.format("main")), row)
    told = SHOP.format("shop") + "in_flight = 2\nbudget.per_day = 100\nstreams.customers.every = '7m'\n"
    same = loaded(write(tmp_path, FROM + SHOP.format("main") + told))
    assert config == same
    assert config.digest == same.digest
    assert config.sources["shop"].origin == "sources_from"
    assert config.without_rows == loaded(write(tmp_path, FROM + SHOP.format("main")))


@pytest.mark.parametrize(
    ("row", "name", "words"),
    [
        ({**ROW, "password": "hunter2"}, "shop",
         "password: a secret does not stand in a table, only where it lies: env:NAME, file:PATH or credential:NAME"),
        ({**ROW, "password": "env:hunter 2"}, "shop", "password: env: expected the name of an environment variable"),
        ({**ROW, "password": "env:GONE"}, "shop", "password: the environment variable GONE is not set"),
        ({**ROW, "proxy": "http://u:hunter2@proxy:3128"}, "shop", "proxy: a secret does not stand in a table"),
        ({**ROW, "password": None}, "shop", "password: required, but missing"),
        ({**ROW, "evry": "5m"}, "shop", "evry: unknown key"),
        ({**ROW, "options": {"username": "u"}}, "shop", "username: stands in a column and in options, too; keep one"),
        ({**ROW, "options": ["a"]}, "shop", "options: expected a JSON object, found a list"),
        ({**ROW, "options": {"streams": {"customers": {"hash": ["email"]}}}}, "shop",
         "streams.customers.hash: needs privacy.hash_key in the configuration"),
        ({**ROW, "type": "cyclesoftwar"}, "shop", "type: expected one of"),
        ({**ROW, "type": "lightspeed"}, "shop", "the source type lightspeed is not installed"),
        ({**ROW, "type": None}, "shop", "type: required, but missing"),
        ({**ROW, "name": "a b"}, "row 2", "the column name holds text 'a b', and a source's name starts with"),
        ({**ROW, "name": None}, "row 2", "the column name holds null"),
        ({**ROW, "name": "good"}, "good", "2 rows have this name, and nobody can say which of them counts"),
        ({**ROW, "name": "main"}, "main (row 2)", "a file of the configuration has a source of this name"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_row_costs_this_account_alone(
    tmp_path: Path, row: dict[str, object], name: str, words: str
) -> None:
    path = write(tmp_path, FROM + SHOP.format("main"))
    config = with_rows(path, {**ROW, "name": "good"}, row, {**ROW, "name": "other"})
    assert words in config.left_out[name]
    assert "hunter" not in config.left_out[name]
    assert {"main", "other"} <= config.sources.keys()
    assert ("good" in config.sources) == (name != "good")
    assert "shop" not in config.sources
    assert list(config.left_out) == [name]
    assert config.without_rows == loaded(path)


def test_rows_take_the_place_of_rows_and_no_row_at_all_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, FROM)
    first = with_rows(path, ROW, {**ROW, "name": "bad", "type": None})
    again = read(first, [{**ROW, "name": "new"}])
    assert list(again.sources) == ["new"]
    assert not again.left_out
    assert first.rows_digest != again.rows_digest
    for rows, wrong in ([], "no row"), ([{"name": "shop"}], "no column type"):
        with pytest.raises(ConfigError, match=rf"sources_from\.query gives {wrong}"):
            with_rows(path, *rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[sources_from]\nevery = '5m'\n", "sources_from.query: required, but missing; a SELECT that gives"),
        (FROM + "every = 5\n", "sources_from.every: expected a duration such as"),
        (FROM + "url = 'embedded'\n", "sources_from.url: expected the address of a server"),
        (FROM + "sql = 'x'\n", "sources_from.sql: unknown key"),
    ],
)
def test_a_wrong_query_table_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in refusal(write(tmp_path, text))
