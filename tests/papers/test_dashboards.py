"""The dashboards for Superset and Metabase: their queries run, their parts fit together, and one is loaded."""

import asyncio
import json
import subprocess
import sys
import uuid
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import asyncpg
import pytest
import yaml
from aiohttp import web

from syncd.storage.postgres.database import Database
from tests.papers import dashboards
from tests.support.papers import blocks

SUPERSET = dashboards.DEPLOY / "superset"
METABASE = dashboards.DEPLOY / "metabase"
CARDS: list[dict[str, Any]] = json.loads((METABASE / "dashboard.json").read_text())["cards"]
FAMILIES = {
    "STRING": {"text", "varchar"},
    "BIGINT": {"int8", "int4"},
    "FLOAT": {"numeric", "float8"},
    "DATE": {"date"},
    "DATETIME": {"timestamptz"},
}
KNOWN = {
    "databases": "database_name sqlalchemy_uri cache_timeout expose_in_sqllab allow_run_async allow_ctas allow_cvas"
    " allow_dml extra uuid version",
    "datasets": "table_name main_dttm_col description offset cache_timeout schema sql params template_params"
    " filter_select_enabled extra uuid columns metrics version database_uuid",
    "charts": "slice_name description viz_type params query_context cache_timeout uuid version dataset_uuid",
    "dashboards": "dashboard_title description css slug uuid position metadata published version",
}
"""The fields of ours that Superset 6.1 knows (its Import…Schema classes): it refuses a file with any other."""


def parts(folder: str) -> list[dict[str, Any]]:
    return [yaml.safe_load(path.read_text()) for path in sorted((SUPERSET / folder).rglob("*.yaml"))]


async def answered(conn: asyncpg.Connection, query: str) -> dict[str, str]:
    """Return the columns of a query with their types, as the server plans it; the query is not run."""
    return {each.name: each.type.name for each in (await conn.prepare(query)).get_attributes()}


def test_the_files_are_current() -> None:
    made = dashboards.files()
    assert len(made) > 12
    assert [path.name for path, text in made.items() if path.read_text() != text] == [], (
        "write them anew: python -m tests.papers.dashboards"
    )
    assert {path for path in SUPERSET.rglob("*") if path.is_file()} == {
        path for path in made if SUPERSET in path.parents
    }


async def test_every_dataset_of_superset_answers_the_columns_that_it_names(db: Database) -> None:
    datasets = parts("datasets")
    assert len(datasets) == 6
    async with db.connection() as conn:
        for each in datasets:
            found = await answered(conn, each["sql"])
            assert list(found) == [column["column_name"] for column in each["columns"]], each["table_name"]
            odd = [column for column in each["columns"] if found[column["column_name"]] not in FAMILIES[column["type"]]]
            assert odd == [], each["table_name"]
            await conn.fetch(f"SELECT * FROM ({each['sql']}) AS virtual_table LIMIT 1")  # as Superset asks it
    ranked = [each["table_name"] for each in datasets if "row_number() OVER ()" in each["sql"]]
    assert ranked == ["syncd_cars_by_age_in_stock", "syncd_stock_by_age"], "Superset sorts an axis by the alphabet"


def test_the_parts_of_the_superset_dashboard_fit_together() -> None:
    metadata = yaml.safe_load((SUPERSET / "metadata.yaml").read_text())
    [database], [board] = parts("databases"), parts("dashboards")
    assert (metadata["type"], metadata["version"]) == ("Dashboard", "1.0.0")
    datasets, charts = (
        {each["uuid"]: each for each in parts("datasets")},
        {each["uuid"]: each for each in parts("charts")},
    )
    assert {each["database_uuid"] for each in datasets.values()} == {database["uuid"]}
    assert "XXXXXXXXXX" in database["sqlalchemy_uri"]
    for folder, fields in KNOWN.items():
        assert [each.keys() - set(fields.split()) for each in parts(folder)] == [set()] * len(parts(folder))
    assert {each["dataset_uuid"] for each in charts.values()} == datasets.keys()
    placed = {name: each for name, each in board["position"].items() if name.startswith("CHART-")}
    assert {each["meta"]["uuid"] for each in placed.values()} == charts.keys()
    for name, each in placed.items():
        assert name in board["position"][each["parents"][-1]]["children"]
    for chart in charts.values():
        known = {column["column_name"] for column in datasets[chart["dataset_uuid"]]["columns"]}
        params = chart["params"]
        used = {metric["column"]["column_name"] for metric in params.get("metrics", [])}
        used |= {*params.get("all_columns", []), *params.get("groupby", []), *filter(None, [params.get("x_axis")])}
        assert used, chart["slice_name"]
        assert used <= known, chart["slice_name"]
        [query] = json.loads(chart["query_context"])["queries"]  # what alerts, reports and the API ask
        asked = {each if isinstance(each, str) else each["sqlExpression"] for each in query["columns"]}
        asked |= {metric["column"]["column_name"] for metric in query.get("metrics", [])}
        assert asked == used, chart["slice_name"]
    assert board["published"], "only its owners see a draft"
    assert len({uuid.UUID(each) for each in [*datasets, *charts, database["uuid"], board["uuid"]]}) == 14


def test_the_bundle_is_packed_as_superset_unpacks_it(tmp_path: Path) -> None:
    [command] = [each.text.split() for each in blocks("sh") if each.paper.name == "superset.md"]
    assert command[:3] == ["python3", "-m", "zipfile"]
    bundle = tmp_path / command[4]
    packing = [sys.executable, "-m", "zipfile", "-c", str(bundle), *command[5:]]
    subprocess.run(packing, cwd=dashboards.DEPLOY.parent, check=True, timeout=30)  # noqa: S603
    with zipfile.ZipFile(bundle) as archive:
        names = {name for name in archive.namelist() if name.endswith(".yaml")}
    below = {PurePosixPath(*PurePosixPath(name).parts[1:]).as_posix() for name in names}  # it drops the first folder
    assert below == {path.relative_to(SUPERSET).as_posix() for path in SUPERSET.rglob("*.yaml")}
    assert "metadata.yaml" in below


async def test_every_card_of_metabase_answers_what_it_draws(db: Database) -> None:
    assert len(CARDS) == 6
    async with db.connection() as conn:
        for card in CARDS:
            found = await answered(conn, card["query"])
            await conn.fetch(card["query"])
            drawn = card["visualization_settings"]
            assert {*drawn.get("graph.dimensions", []), *drawn.get("graph.metrics", [])} <= found.keys(), card["name"]
    places = {(card["row"] + row, card["col"] + col) for card in CARDS for row in range(card["size_y"])
              for col in range(card["size_x"])}  # fmt: skip
    assert len(places) == sum(card["size_x"] * card["size_y"] for card in CARDS), "two cards overlap"


def is_card(body: dict[str, Any]) -> bool:
    """Say whether Metabase takes it: `POST /api/card` of its documentation."""
    query = body.get("dataset_query") or {}
    return bool(
        body.get("name") and body.get("display") in ("table", "bar", "line")
        and isinstance(body.get("visualization_settings"), dict)
        and query.get("type") == "native" and isinstance(query.get("database"), int) and query["native"]["query"]
    )  # fmt: skip


def are_placed(cards: list[dict[str, Any]]) -> bool:
    """Say whether Metabase takes them: `dashcards` of `PUT /api/dashboard/:id`; a new one has a negative id."""
    return len({card["id"] for card in cards}) == len(cards) > 0 and all(
        card["id"] < 0 and card["size_x"] > 0 and card["size_y"] > 0 and card["row"] >= 0 and 0 <= card["col"] < 24
        and isinstance(card["card_id"], int)
        for card in cards
    )  # fmt: skip


class Metabase:
    """Plays Metabase's API as its documentation says, as far as the program asks it, and keeps what it was sent."""

    def __init__(self) -> None:
        self.cards: list[dict[str, Any]] = []
        self.boards: dict[str, dict[str, Any]] = {}

    async def answer(self, request: web.Request) -> web.Response:
        if request.headers.get("X-API-Key") != "mb_key":
            return web.Response(status=401, text="Unauthenticated")
        body: dict[str, Any] = await request.json() if request.can_read_body else {}
        match request.method, request.path:
            case "GET", "/api/database":
                return web.json_response({"data": [{"id": 7, "name": "syncd mirror"}], "total": 1})
            case "POST", "/api/card" if is_card(body):
                self.cards.append(body)
                return web.json_response({"id": 100 + len(self.cards)})
            case "POST", "/api/dashboard" if body.get("name"):
                return web.json_response({"id": 3})
            case "PUT", path if are_placed(body["dashcards"]):
                self.boards[path] = body
                return web.json_response({})
        return web.Response(status=404)


@pytest.fixture
async def metabase() -> Any:
    played = Metabase()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", played.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield played, f"http://127.0.0.1:{port}/"
    await runner.cleanup()


async def load(*words: str, key: str = "mb_key") -> tuple[int | None, str]:
    program: Path = METABASE / "load.py"
    process = await asyncio.create_subprocess_exec(
        sys.executable, program, *words, env={"METABASE_API_KEY": key},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode, out.decode()


async def test_the_dashboard_is_loaded_into_metabase(metabase: tuple[Metabase, str]) -> None:
    played, address = metabase
    code, told = await load(address, "syncd mirror")
    assert code == 0, told
    assert f"{address}dashboard/3" in told
    assert [card["dataset_query"]["native"]["query"] for card in played.cards] == [card["query"] for card in CARDS]
    assert {card["dataset_query"]["database"] for card in played.cards} == {7}
    placed = played.boards["/api/dashboard/3"]["dashcards"]
    assert [each["card_id"] for each in placed] == list(range(101, 107))
    assert len({each["id"] for each in placed}) == 6


async def test_what_keeps_the_dashboard_from_metabase_is_said(metabase: tuple[Metabase, str]) -> None:
    _, address = metabase
    assert await load(address, "other") == (1, "error: Metabase has no database 'other'; it has: syncd mirror\n")
    code, told = await load(address, "syncd mirror", key="wrong")
    assert (code, told) == (1, "error: GET /api/database answered 401: Unauthenticated\n")
    code, told = await load("http://127.0.0.1:1", "syncd mirror")
    assert (code, told.startswith("error: http://127.0.0.1:1 does not answer as Metabase does")) == (1, True)
