"""How many requests a day a source will need: declarations, what runs have shown, what is proposed if it is much."""

from pathlib import Path

import pytest

from syncd.clock import utc_now
from syncd.config import SourceConfig, is_off, load
from syncd.engine import schedule
from syncd.sources import registry, specs
from syncd.sources.cyclesoftware import SOURCE
from syncd.status import Forecast
from syncd.status.forecast import ROOM, Need, Shown, changes_for, forecast_of

DAY_LIMIT = 15_000
ROWS = {
    "customers": 60_000, "stores": 6, "stock_items": 2_500, "repair_objects": 25_000, "articles": 120_000,
    "sales_transactions": 180_000, "sales_orders": 150_000, "payments": 200_000, "workshop_orders": 58_000,
    "proforma_invoices": 500, "service_items": 20_000, "packing_list_items": 90_000, "insurances": 8_000,
    "employees": 60, "enums": 200, "suppliers": 900, "repair_codes": 400, "code_list_entries": 20_000,
    "article_properties": 300, "rental_objects": 200, "trading_hours": 3_000, "stock_objects": 9_000,
}  # fmt: skip
"""The account of STREAMS, section 6."""


@pytest.fixture
def shop(tmp_path: Path) -> SourceConfig:
    path = tmp_path / "config.toml"
    path.write_text(
        '[database]\nurl = "postgresql://u@127.0.0.1/none"\n'
        '[sources.shop]\ntype = "cyclesoftware"\nusername = "u"\npassword = "p"\n'
    )
    path.chmod(0o600)
    return load(path, specs()).sources["shop"]


def forecast(shop: SourceConfig, *, limit: int | None = DAY_LIMIT, **more: object) -> Forecast:
    intervals = {each.name: schedule.interval_s(each, utc_now()) for each in shop.streams.values() if not is_off(each)}
    arguments = {"rows": ROWS, "shown": {}, "intervals": intervals, **more}
    return forecast_of(SOURCE, shop, limit=limit, **arguments)  # type: ignore[arg-type]


def test_the_default_intervals_of_a_full_account_need_less_than_a_quarter_of_the_day(shop: SourceConfig) -> None:
    found = forecast(shop)
    names = {need.stream for need in found.needs}
    assert {"customers", "sales_transactions", "payments", "articles", "workshop_orders"} <= names
    assert 1_500 < found.a_day < DAY_LIMIT / 4
    assert (found.fits, found.changes) == (True, [])
    assert found.left_for_backfills == pytest.approx(DAY_LIMIT - max(found.a_day, 0.2 * DAY_LIMIT), abs=1)


def test_what_runs_have_shown_counts_more_than_a_declaration(shop: SourceConfig) -> None:
    shown = {("payments", "live"): Shown(runs=50, requests=7.0), ("enums", "live"): Shown(runs=2, requests=99.0)}
    needs = {need.stream: need for need in forecast(shop, shown=shown).needs}
    assert (needs["payments"].run, needs["payments"].known_by) == (7.0, "runs")
    assert needs["payments"].a_day == pytest.approx(96 * 7 + 2)
    assert (needs["enums"].run, needs["enums"].known_by) == (1.0, "declaration")


def test_a_day_that_is_too_short_is_told_with_what_would_make_it_fit(shop: SourceConfig) -> None:
    found = forecast(shop, limit=1_000)
    assert not found.fits
    assert found.left_for_backfills == 0
    changed = {change.stream: change for change in found.changes}
    assert changed["stock_objects"].every == "off"
    assert changed["sales_transactions"].instead_of == "15m"
    assert found.a_day - sum(change.saves for change in found.changes) <= ROOM * 1_000


def test_no_limit_no_proposal(shop: SourceConfig) -> None:
    found = forecast(shop, limit=None)
    assert (found.fits, found.changes, found.left_for_backfills) == (True, [], None)
    assert "no limit of the day is known" in found.words


def test_the_dearest_stream_is_asked_less_often_first_and_no_more_than_needed() -> None:
    def need(stream: str, run: float, every_s: float) -> Need:
        return Need(
            stream=stream,
            every_s=every_s,
            run=run,
            sweep_s=None,
            sweep=0.0,
            a_day=run * 86_400 / every_s,
            known_by="runs",
        )

    cheap, dear = need("cheap", 1, 600), need("dear", 10, 300)
    limit = 1_500
    (change,) = changes_for([cheap, dear], limit)
    assert (change.stream, change.every, change.instead_of) == ("dear", "15m", "5m")
    assert cheap.a_day + dear.a_day - change.saves <= ROOM * limit
    assert changes_for([cheap, replace_every(dear, 900)], limit) == []


def replace_every(need: Need, every_s: float) -> Need:
    return Need(**{**{name: getattr(need, name) for name in need.__struct_fields__}, "every_s": every_s,
                   "a_day": need.run * 86_400 / every_s})  # fmt: skip


def test_every_stream_of_every_source_has_a_cost_that_is_a_number() -> None:
    streams = [stream for source in registry().values() for stream in source.streams]
    assert len(streams) > 30
    for stream in streams:
        assert stream.cost.page_rows > 0
        assert (stream.cost.live or 1.0) >= 1.0
