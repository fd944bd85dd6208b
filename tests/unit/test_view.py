"""What the status page shows of a status: pure decisions."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.service.web import view
from syncd.status import HOUR, SPANS, Freshness, Notice, Pair, RunStatus, SourceStatus, Status, StreamStatus
from syncd.status.causes import KINDS, Cause
from syncd.status.day import DAY, span_of
from syncd.storage.state.operators import Acknowledgement

NOW = datetime(2026, 11, 28, 3, tzinfo=UTC)


def run(outcome: str = "ok", kind: str = "live", error_kind: str | None = None) -> RunStatus:
    return RunStatus(
        run_id=1, kind=kind, outcome=outcome, started_at=NOW, finished_at=NOW, requests=1, pages=1, rows_seen=0,
        rows_inserted=0, rows_updated=0, rows_unchanged=0, rows_deleted=0, rows_rejected=0, rows_expected=None,
        budget_wait_s=0, error=None, error_kind=error_kind,
    )  # fmt: skip


def stream(name: str, state: Any = "fresh", **values: Any) -> StreamStatus:
    given = {
        "source": "shop", "stream": name, "state": state, "why": "", "schedule": "", "table": "", "cursor": None,
        "cursor_words": "", "rows": None, "last_run": None, "running": None, "last_sweep": None,
        "last_ok_at": NOW - timedelta(hours=1), "freshness_s": 3600.0, "next_run_at": NOW + timedelta(minutes=4),
        "rejects": 0, "drift_count": 0, "drift": [],
    }  # fmt: skip
    return StreamStatus(**(given | values))


def status(*streams: StreamStatus, notices: list[Notice] | None = None, refused: str | None = None) -> Status:
    source = SourceStatus(source="shop", type="cyclesoftware", base_url="", budget=None, refused=refused)
    summary = dict[str, int](Counter(one.state for one in streams))
    return Status(
        at=NOW, version="", database="", summary=summary, sources=[source], streams=list(streams), backfills=[],
        notices=notices or [],
    )  # fmt: skip


def told(seen: Status) -> Callable[[Pair], StreamStatus | None]:
    return {(one.source, one.stream): one for one in seen.streams}.get


def cause(kind: str, *names: str) -> Cause:
    return Cause(key=f"shop {kind}", title=f"shop: {kind}", step="", about="x", source="shop", streams=names)


WELL = stream("stores")
REFUSED = stream("orders", last_sweep=run("failed", "sweep", "SweepRefused"))
SWEPT_BADLY = stream("orders", last_sweep=run("failed", "sweep", "BadPayload"))
FAILING = stream("orders", "failing")
NOTICE = Notice(at=NOW, what="config_refused", text="", hint="")
ACKNOWLEDGED = Acknowledgement(cause="shop late", acknowledged_at=NOW, muted_until=None, actor="anna")


@pytest.mark.parametrize(
    ("seen", "causes", "known", "tone", "words"),
    [
        (status(WELL), [], {}, "good", "The stream is fresh"),
        (status(WELL, FAILING), [cause("x", "orders")], {}, "bad", "1 of 2 streams needs a look"),
        (status(WELL, stream("orders", "late")), [cause("late", "orders")], {}, "warn", "1 of 2 streams needs a look"),
        (status(WELL, REFUSED), [cause("SweepRefused", "orders")], {}, "warn", "1 of 2 streams needs a look"),
        (status(WELL, SWEPT_BADLY), [cause("sweep failing", "orders")], {}, "warn", "1 of 2 streams needs a look"),
        (status(WELL), [cause("rejects")], {}, "warn", "1 thing needs a look"),
        (status(WELL, notices=[NOTICE]), [], {}, "warn", "1 thing needs a look"),
        (status(WELL, refused="another account"), [cause("budget")], {}, "warn", "2 things need a look"),
        (status(WELL), [cause("late", "stores")], {"shop late": ACKNOWLEDGED}, "warn", "Nothing new; 1 cause is known"),
        (status(stream("orders", "never")), [], {}, "idle", "None of 1 stream has run yet"),
    ],
)  # fmt: skip
def test_the_headline_is_green_only_if_nothing_needs_a_look(
    seen: Status, causes: list[Cause], known: dict[str, Acknowledgement], tone: str, words: str
) -> None:
    assert view.headline(seen, view.looks(told(seen), causes, known)) == (tone, words)


def test_causes_are_shown_worst_first_each_with_its_streams_and_next_try() -> None:
    late = stream("stores", "late", last_ok_at=None)
    refused = stream("customers", last_sweep=run("failed", "sweep", "SweepRefused"), next_sweep_at=NOW)
    ended = Cause(key="backfill 7", title="", step="", is_event=True, streams=("stores",), source="shop")
    mine = Cause(key="host config_refused", title="", step="", scope="host")
    causes = [cause("rejects"), cause("SweepRefused", "customers"), cause("late", "stores"), cause("x", "orders")]
    found = view.looks(told(status(late, refused, FAILING)), [ended, mine, *causes], {})
    assert [look.state for look in found] == ["failing", "late", "sweep refused", "look"]
    assert [look.id for look in found] == ["p-shop.x", "p-shop.late", "p-shop.SweepRefused", "p-shop.rejects"]
    assert [look.next_at for look in found] == [FAILING.next_run_at, late.next_run_at, NOW, None]
    assert [look.oldest_ok_at for look in found[:2]] == [FAILING.last_ok_at, None]


def test_a_stream_whose_sweep_went_badly_is_never_called_well() -> None:
    assert [view.doubt(one) for one in (WELL, REFUSED, SWEPT_BADLY, FAILING)] == [
        "fresh", "sweep refused", "sweep failed", "failing",
    ]  # fmt: skip
    assert [one.stream for one in view.swept([stream("a", last_sweep=run()), REFUSED, WELL])] == ["orders", "a"]


def test_every_kind_of_trouble_has_a_paragraph_and_a_next_step() -> None:
    for kind in KINDS.values():
        assert len(kind.about.split()) > 10
        assert kind.step


@pytest.mark.parametrize("span", list(SPANS.values()))
def test_a_strip_fills_its_width_whatever_the_span(span: Any) -> None:
    cells = [Freshness(begins_at=NOW, level="fresh", age_s=1.0)] * span.slots
    path = view.strip(cells)["fresh"]
    last = path.split("M")[-1]
    begin, wide = float(last.split()[0]), float(last.split("h")[1].split("v")[0])
    assert path.count("M") == span.slots
    assert begin + wide == pytest.approx(view.STRIP_WIDTH, abs=0.1)


def test_a_young_mirror_shows_its_first_hour_and_a_wish_is_heeded() -> None:
    assert span_of("", None, NOW) is HOUR
    assert span_of("", NOW - timedelta(minutes=90), NOW) is HOUR
    assert span_of("", NOW - timedelta(hours=3), NOW) is DAY
    assert span_of("7d", None, NOW).name == "7d"
    assert view.Choice.of({"range": "7d", "q": "x"}).link(page=2) == "/?q=x&page=2&range=7d"
    assert view.Choice.of({"range": "2y"}).span == ""
