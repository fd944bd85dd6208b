"""Writes the dashboard for Superset (deploy/superset) and for Metabase (deploy/metabase/dashboard.json).

`python -m tests.papers.dashboards`. Both show the same panels. Their queries are the cookbook's where it has one, so
that the tests of the cookbook say whether the answers are right.
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from syncd.cookbook import questions

DEPLOY = Path(__file__).parents[2] / "deploy"
TITLE = "syncd: the mirror at a glance"
ABOUT = "How fresh the mirror is, and what shops, lease and cars look like. Every panel reads schema reporting."
NAMESPACE = uuid.UUID("6d1f0a52-3a0c-5a52-9d43-2f2d6f0f4c11")
"""Ids are made of names, so that a dashboard that is imported again replaces itself."""
HEAD = "# Written by python -m tests.papers.dashboards. How to import it: docs/superset.md\n"
DATABASE = "syncd mirror"
TYPES = {"text": "STRING", "int": "BIGINT", "float": "FLOAT", "date": "DATE", "time": "DATETIME"}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel: a question, its query, the answer's columns with their types, and how it is drawn.

    x, y     the column on the axis and the columns that are drawn; of a table neither
    series   the column by which the drawn one is split
    ranks    the answer's own order is that of the axis; Superset sorts texts by the alphabet
    """

    name: str
    title: str
    query: str
    columns: Mapping[str, str]
    kind: Literal["table", "bar", "line"] = "bar"
    x: str = ""
    y: tuple[str, ...] = ()
    series: str = ""
    ranks: bool = False


def panels() -> list[Panel]:
    """Return the panels in the order in which they stand, two in a row."""
    cookbook = questions()

    def asked(name: str, **how: Any) -> Panel:
        found = cookbook[name]
        return Panel(name=name, title=found.text, query=found.query, **how)

    return [
        Panel(
            name="freshness", title="How old is what each stream has mirrored?", kind="table",
            query="SELECT source, stream, (lag_s / 60)::integer AS minutes_old, as_of, last_outcome, last_error\n"
            "FROM reporting.freshness\nORDER BY lag_s DESC NULLS FIRST, source, stream",
            columns={"source": "text", "stream": "text", "minutes_old": "int", "as_of": "time", "last_outcome": "text",
                     "last_error": "text"},
        ),
        asked("stock_by_store", columns={"store_name": "text", "for_sale": "int", "demo": "int", "rental": "int"},
              x="store_name", y=("for_sale", "demo", "rental")),
        asked("stock_by_age", x="age", y=("bikes",), ranks=True,
              columns={"age": "text", "bikes": "int", "purchase_value": "float"}),
        asked("sales_orders_by_month", columns={"month": "date", "store": "text", "orders": "int", "customers": "int"},
              x="month", y=("orders",), series="store"),
        asked("lease_by_month", kind="line", x="month", y=("orders",),
              columns={"month": "date", "orders": "int", "lease_value": "float", "average_cost": "float"}),
        asked("cars_by_age_in_stock", columns={"age": "text", "cars": "int", "value": "float"}, x="age", y=("cars",),
              ranks=True),
    ]  # fmt: skip


# --- Superset ---------------------------------------------------------------------------------------------------------


def superset() -> Iterator[tuple[str, str]]:
    """Give each file of the bundle by its path, in the form that Superset itself exports (version 1.0.0)."""
    yield "metadata.yaml", _yaml({"version": "1.0.0", "type": "Dashboard", "timestamp": "2026-01-01T00:00:00+00:00"})
    yield "databases/syncd_mirror.yaml", _yaml(
        {
            "database_name": DATABASE,
            # ten times X means that Superset asks for the password when it imports
            "sqlalchemy_uri": "postgresql+psycopg2://superset:XXXXXXXXXX@localhost:5432/mirror",
            "cache_timeout": None, "expose_in_sqllab": True, "allow_run_async": False, "allow_ctas": False,
            "allow_cvas": False, "allow_dml": False, "extra": {}, "uuid": _id("database"), "version": "1.0.0",
        }
    )  # fmt: skip
    for panel in panels():
        yield f"datasets/syncd_mirror/{panel.name}.yaml", _yaml(_dataset(panel))
        yield f"charts/{panel.name}.yaml", _yaml(_chart(panel))
    yield "dashboards/syncd.yaml", _yaml(_dashboard())


def _dataset(panel: Panel) -> dict[str, Any]:
    times = [name for name, type_ in panel.columns.items() if type_ in ("date", "time")]
    return {
        "table_name": f"syncd_{panel.name}", "main_dttm_col": times[0] if times else None, "description": panel.title,
        "schema": "reporting", "sql": _ranked(panel) if panel.ranks else panel.query, "offset": 0,
        "cache_timeout": None, "params": None, "template_params": None, "filter_select_enabled": True, "extra": None,
        "uuid": _id(f"dataset {panel.name}"), "metrics": [],
        "columns": [
            {"column_name": name, "is_dttm": type_ in ("date", "time"), "is_active": True, "type": TYPES[type_],
             "groupby": True, "filterable": True, "expression": None}
            for name, type_ in panel.columns.items()
        ],
        "version": "1.0.0", "database_uuid": _id("database"),
    }  # fmt: skip


def _ranked(panel: Panel) -> str:
    """Return the query with a number before each text of the axis, so that the alphabet keeps the answer's order."""
    others = ", ".join(name for name in panel.columns if name != panel.x)
    ranked = f"SELECT row_number() OVER () || '. ' || {panel.x} AS {panel.x}, {others}"
    return f"{ranked}\nFROM (\n{panel.query}\n) AS answer"


def _query_context(panel: Panel) -> dict[str, Any]:
    """Return what Superset's own page asks for this chart; reports, alerts and its API ask by what is saved here.

    An import fills in the number of the dataset.
    """
    query: dict[str, Any] = {
        "filters": [], "extras": {"having": "", "where": ""}, "columns": list(panel.columns), "orderby": [],
        "row_limit": 1000, "order_desc": True, "post_processing": [],
    }  # fmt: skip
    if panel.kind != "table":
        axis = {"columnType": "BASE_AXIS", "sqlExpression": panel.x, "label": panel.x, "expressionType": "SQL"}
        if panel.columns[panel.x] == "date":
            axis["timeGrain"] = query["extras"]["time_grain_sqla"] = "P1M"
        series, metrics = [panel.series] if panel.series else [], [_sum(name, panel.columns[name]) for name in panel.y]
        pivot = {"index": [panel.x], "columns": series, "aggregates": {name: {"operator": "mean"} for name in panel.y},
                 "drop_missing_columns": False}  # fmt: skip
        query |= {
            "columns": [axis, *series], "metrics": metrics, "orderby": [[metrics[0], False]], "row_limit": 10000,
            "series_columns": series,
            "post_processing": [{"operation": "pivot", "options": pivot}, {"operation": "flatten"}],
        }  # fmt: skip
    return {
        "datasource": {"id": 1, "type": "table"}, "force": False, "queries": [query], "result_format": "json",
        "result_type": "full",
    }  # fmt: skip


def _chart(panel: Panel) -> dict[str, Any]:
    drawn: dict[str, Any] = {
        "metrics": [_sum(name, panel.columns[name]) for name in panel.y],
        "groupby": [panel.series] if panel.series else [],
        "x_axis": panel.x, "x_axis_sort_asc": True, "row_limit": 10000, "truncate_metric": True,
        "stack": "Stack" if panel.kind == "bar" else None, "show_legend": True, "rich_tooltip": True,
    }  # fmt: skip
    if panel.columns.get(panel.x) == "date":
        drawn["time_grain_sqla"] = "P1M"
    raw = {"query_mode": "raw", "all_columns": list(panel.columns), "row_limit": 1000, "include_search": True}
    viz = {"table": "table", "bar": "echarts_timeseries_bar", "line": "echarts_timeseries_line"}[panel.kind]
    return {
        "slice_name": panel.title, "description": None, "viz_type": viz,
        "params": {"viz_type": viz, "adhoc_filters": [], **(raw if panel.kind == "table" else drawn)},
        "query_context": json.dumps(_query_context(panel)),
        "cache_timeout": None, "uuid": _id(f"chart {panel.name}"), "version": "1.0.0",
        "dataset_uuid": _id(f"dataset {panel.name}"),
    }  # fmt: skip


def _sum(column: str, type_: str) -> dict[str, Any]:
    return {
        "expressionType": "SIMPLE", "aggregate": "SUM", "label": column, "optionName": f"metric_{column}",
        "column": {"column_name": column, "type": TYPES[type_]}, "hasCustomLabel": True,
    }  # fmt: skip


def _dashboard() -> dict[str, Any]:
    position: dict[str, Any] = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
        "GRID_ID": {"type": "GRID", "id": "GRID_ID", "children": [], "parents": ["ROOT_ID"]},
        "HEADER_ID": {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": TITLE}},
    }
    for place, panel in enumerate(panels()):
        row, chart = f"ROW-{place // 2}", f"CHART-{panel.name}"
        if row not in position:
            position["GRID_ID"]["children"].append(row)
            position[row] = {"type": "ROW", "id": row, "children": [], "parents": ["ROOT_ID", "GRID_ID"],
                             "meta": {"background": "BACKGROUND_TRANSPARENT"}}  # fmt: skip
        position[row]["children"].append(chart)
        position[chart] = {
            "type": "CHART", "id": chart, "children": [], "parents": ["ROOT_ID", "GRID_ID", row],
            "meta": {"width": 6, "height": 50, "chartId": place + 1, "sliceName": panel.title,
                     "uuid": _id(f"chart {panel.name}")},
        }  # fmt: skip
    return {
        "dashboard_title": TITLE, "description": ABOUT, "css": "", "slug": "syncd", "uuid": _id("dashboard"),
        "position": position, "metadata": {"refresh_frequency": 300, "color_scheme": "supersetColors"},
        "published": True, "version": "1.0.0",
    }  # fmt: skip


def _id(name: str) -> str:
    return str(uuid.uuid5(NAMESPACE, name))


def _yaml(value: Mapping[str, Any]) -> str:
    return HEAD + yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True, width=120)


# --- Metabase ---------------------------------------------------------------------------------------------------------


def metabase() -> str:
    """Return the dashboard as deploy/metabase/load.py reads it: each card in the words of Metabase's own API."""
    cards = [
        {
            "name": panel.title, "display": panel.kind, "query": panel.query,
            "visualization_settings": {} if panel.kind == "table" else {
                "graph.dimensions": [panel.x, *([panel.series] if panel.series else [])],
                "graph.metrics": list(panel.y),
                **({"stackable.stack_type": "stacked"} if panel.kind == "bar" else {}),
            },
            "row": place // 2 * 7, "col": place % 2 * 12, "size_x": 12, "size_y": 7,
        }
        for place, panel in enumerate(panels())
    ]  # fmt: skip
    return json.dumps({"name": TITLE, "description": ABOUT, "cards": cards}, indent=2, ensure_ascii=False) + "\n"


def files() -> dict[Path, str]:
    """Return every file as it should be, by its path."""
    found = {DEPLOY / "superset" / name: text for name, text in superset()}
    return {**found, DEPLOY / "metabase" / "dashboard.json": metabase()}


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
