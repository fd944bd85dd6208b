"""`syncd report` and `syncd export`: what the files hold, and what becomes of one that cannot be written."""

import csv
import json
from io import StringIO
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from syncd.cli.files import written
from syncd.cookbook import questions
from syncd.errors import UsageError
from tests.support.bench import Bench, MakeBench
from tests.support.command import Say, assert_refused, syncd


@pytest.fixture
async def shop(make_bench: MakeBench) -> Bench:
    """A bench with customers, one of them gone, and vehicles."""
    bench = await make_bench(customers=40, vehicles=30)
    await bench.sync("shop.customers")
    await bench.sync("cars.vehicles")
    await bench.fetch("UPDATE cyclesoftware.customers SET _deleted_at = now() WHERE customer_id = 30003")
    bench.config_file()
    return bench


async def export(shop: Bench, *words: str | Path) -> str:
    ended = await syncd("export", *words, "--config", shop.folder / "config.toml")
    assert ended.code == 0, ended
    return ended.out


async def test_csv_holds_every_row_in_order_of_the_key(shop: Bench) -> None:
    lines = list(csv.DictReader(StringIO(await export(shop, "shop.customers"))))
    alive = await shop.rows("cyclesoftware.customers")
    assert [int(line["customer_id"]) for line in lines] == [row["customer_id"] for row in alive]
    assert [line["name"] for line in lines] == [row["name"] for row in alive]
    assert len(alive) == 39
    assert not {"_hash", "_deleted_at"} & lines[0].keys()


async def test_what_is_gone_is_exported_if_asked_for(shop: Bench) -> None:
    lines = list(csv.DictReader(StringIO(await export(shop, "shop.customers", "--with-deleted"))))
    assert [line["customer_id"] for line in lines if line["_deleted_at"]] == ["30003"]
    assert len(lines) == 40


async def test_jsonl_holds_an_object_a_line_whatever_the_texts_hold(shop: Bench) -> None:
    odd = 'tab\t quote" back\\slash \u0001\u0002 new\nline €'
    await shop.fetch("UPDATE cyclesoftware.customers SET name = $1 WHERE customer_id = 30001", odd)
    rows = [json.loads(line) for line in (await export(shop, "shop.customers", "--format", "jsonl")).splitlines()]
    assert len(rows) == 39
    assert next(row["name"] for row in rows if row["customer_id"] == 30001) == odd


async def test_a_child_table_is_exported_too(shop: Bench) -> None:
    lines = (await export(shop, "shop.customer_phone_numbers", "--format", "jsonl")).splitlines()
    assert len(lines) == len(await shop.rows("cyclesoftware.customer_phone_numbers")) > 40


async def test_parquet_keeps_the_types(shop: Bench) -> None:
    path = shop.folder / "vehicles.parquet"
    await export(shop, "cars.vehicles", "--format", "parquet", "--output", path)
    table = parquet.read_table(path)
    rows = await shop.rows("autengo.vehicles")
    assert table.num_rows == len(rows) == 30
    kinds = {field.name: field.type for field in table.schema}
    assert kinds["created"] == pa.timestamp("us", tz="UTC")
    assert (kinds["branch_id"], kinds["is_damaged"], kinds["dealer_price"]) == (pa.int64(), pa.bool_(), pa.float64())
    for found, row in zip(table.to_pylist(), rows, strict=True):
        assert found["selling_id"] == row["selling_id"]
        assert found["created"] == row["created"]
        assert found["first_registration"] == row["first_registration"]
        assert found["equipment"] == row["equipment"]
        assert found["dealer_price"] == float(row["dealer_price"])
    assert path.stat().st_mode & 0o077 == 0, "it may hold personal data"


async def test_without_pyarrow_parquet_says_what_to_install(shop: Bench, tmp_path: Path) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError('away')")
    path = shop.folder / "x.parquet"
    ended = await syncd(
        "export", "cars.vehicles", "--format", "parquet", "--output", path,
        "--config", shop.folder / "config.toml", env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"},
    )  # fmt: skip
    assert ended.code == 1
    assert "syncd[parquet]" in ended.err
    assert not path.exists()


@pytest.mark.parametrize(("selector", "says"), [("shop", "streams"), ("shop.costumers", "shop.customers")])
async def test_a_selector_that_is_not_one_stream_is_refused(shop: Bench, selector: str, says: str) -> None:
    ended = await syncd("export", selector, "--config", shop.folder / "config.toml")
    assert ended.code == 2
    assert says in ended.err


def test_a_file_takes_its_name_only_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    path.write_text("the one of yesterday")

    def fail_half_way() -> None:
        with written(path) as file:
            file.write(b"half of it")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "the one of yesterday"
    with written(path) as file:
        file.write(b"all of it")
    assert path.read_text() == "all of it"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"), written(tmp_path / "away" / "x.csv"):
        pass


# --- Reports ----------------------------------------------------------------------------------------------------------


async def test_report_lists_every_question(shop: Bench) -> None:
    ended = await syncd("report", "--config", shop.folder / "config.toml")
    assert ended.code == 0
    assert [name for name in questions() if name not in ended.out] == []


async def test_a_report_says_the_same_in_every_form(shop: Bench) -> None:
    config = ("--config", shop.folder / "config.toml")
    table = await syncd("report", "cars_by_make", *config)
    plain = await syncd("report", "cars_by_make", "--format", "csv", *config)
    objects = await syncd("report", "cars_by_make", "--format", "json", *config)
    path = shop.folder / "makes.parquet"
    done = await syncd("report", "cars_by_make", "--format", "parquet", "--output", path, *config)
    assert (table.code, plain.code, objects.code, done.code) == (0, 0, 0, 0), (table, plain, objects, done)
    lines = list(csv.DictReader(StringIO(plain.out)))
    assert len(lines) > 3
    assert [line["make"] for line in lines] == [line["make"] for line in objects.json]
    assert [float(line["value"]) for line in lines] == [line["value"] for line in parquet.read_table(path).to_pylist()]
    assert all(line["make"] in table.out for line in lines)
    assert questions()["cars_by_make"].text in table.out


async def test_a_report_that_there_is_not_is_told_with_the_nearest(shop: Bench) -> None:
    ended = await syncd("report", "cars_by_mark", "--config", shop.folder / "config.toml")
    assert ended.code == 2
    assert "cars_by_make" in ended.err


# --- Reports of some rows, or of another day --------------------------------------------------------------------------


@pytest.fixture
def report(shop: Bench, say: Say, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Ask a question in this process, as JSON."""
    monkeypatch.setenv("SYNCD_CONFIG", str(shop.folder / "config.toml"))
    return lambda *words: say("report", *words)


def test_a_report_counts_the_rows_that_are_asked_for(report: Say) -> None:
    asked = ("cars_by_make", "--format", "json")
    makes = {row["make"]: row for row in report(*asked).json}
    one, other = sorted(makes)[:2]
    assert report(*asked, "--where", f"make={one.lower()}").json == [makes[one]]
    both = report(*asked, "--where", f"make={one}", "--where", f"make = {other}").json
    assert {row["make"] for row in both} == {one, other}
    assert report(*asked, "--where", "days_in_stock >= 100000").json == []
    rest = report(*asked, "--where", f"make!={one}", "--where", "days_in_stock>=-1").json
    assert {row["make"] for row in rest} == makes.keys() - {one}
    assert report(*asked, "--where", "make=x' OR 'a'='a").json == []


def test_a_report_that_cannot_be_narrowed_so_says_what_it_can(report: Say) -> None:
    assert_refused("", report("cars_by_make", "--where", "stores=3"), 2, "cannot be narrowed by stores")
    assert_refused("", report("cars_by_make", "--where", "make"), 2, "expected COLUMN=VALUE")
    assert "make" in report("cars_by_make", "--where", "stores=3").err.partition("It can by:")[2]
    assert_refused("", report("customers_best", "--where", "city=Utrecht"), 2, "cannot be narrowed by city")
    assert_refused("", report("cars_by_make", "--at", "2026"), 2, "tells how things are now")
    assert_refused("", report("customers_best", "--at", "soon"), 2, "no date or time")
    wrong = report("cars_by_make", "--format", "json", "--where", "days_in_stock>=long")
    assert (wrong.code, "--where: " in wrong.err) == (2, True)


def test_a_report_about_the_past_says_since_when_it_is_known(report: Say) -> None:
    asked = report("stock_on_a_day", "--at", "2026-11-01")
    assert asked.code == 0
    assert "(--at 2026-11-01 00:00 Europe/Amsterdam)" in asked.out
    assert "shop.stock_items has no old versions yet" in asked.err
    assert "shop.stock_items keeps no old versions; history = true" in asked.err


async def test_a_report_as_of_another_day_ends_there(shop: Bench) -> None:
    await shop.fetch("UPDATE cyclesoftware.customers SET datetime_created = '2025-06-15' WHERE customer_id <= 30005")
    await shop.fetch("UPDATE cyclesoftware.customers SET datetime_created = '2026-02-15' WHERE customer_id > 30005")
    asked = ("report", "customers_new_by_month", "--format", "json", "--at", "2026")
    months = await syncd(*asked, "--config", shop.folder / "config.toml")
    assert [row["month"] for row in months.json] == ["2025-06-01"]
