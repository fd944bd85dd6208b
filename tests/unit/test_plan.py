"""What a pass will be, and what each of its pages is: pure decisions as tables of cases."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from syncd.contract import Cursor, Page, Scope, Stream, Walk, Windows
from syncd.engine.plan import Ending, Listing, PagePlan, Plan, Tracking, is_tick, may_be_first_load, plan_pass
from syncd.sources.cyclesoftware import SOURCE

NOW = datetime(2026, 11, 28, tzinfo=UTC)
PASS: Cursor = {"pass": {"offset": 100}}
SINCE: Cursor = {"since": "2026-11-27T00:00:00+00:00"}


async def _walk(_walk: Walk) -> AsyncIterator[Page]:
    yield page()


def page(*, scope: Scope | None = None, whole_walk: bool = False, starts_over: bool = False) -> Page:
    return Page(
        records=[], cursor=None, requested_at=NOW, scope=scope, whole_walk=whole_walk, starts_over=starts_over
    )  # fmt: skip


def stream(*, sweep_s: float | None = None, backfills: bool = False, lookup: tuple[str, ...] = ()) -> Stream:
    table = SOURCE.stream("stores").table
    return Stream(
        name="stores", table=table, walk=_walk, every_s=60.0, sweep_s=sweep_s, backfills=backfills, lookup=lookup
    )


WHOLE = stream()
SWEPT = stream(sweep_s=86_400.0)
SWEPT_RANGES = stream(sweep_s=86_400.0, backfills=True)
SWEPT_WINDOWS = replace(SWEPT_RANGES, windows=Windows(of=lambda _walk: [], columns=("at",)))
RANGES = stream(backfills=True)
LOOKUP = stream(lookup=("ids",))
NONE, FIRST_LOAD, FULL = Listing.NONE, Listing.FIRST_LOAD, Listing.FULL


@pytest.mark.parametrize(
    ("kind_of_stream", "kind", "cursor", "is_empty", "expected"),
    [
        pytest.param(WHOLE, "live", None, True, (FIRST_LOAD, False, None), id="whole list, never read"),
        pytest.param(WHOLE, "live", None, False, (FULL, False, None), id="whole list, cursor was reset"),
        pytest.param(WHOLE, "live", {}, True, (FIRST_LOAD, False, {}), id="an empty cursor is none"),
        pytest.param(WHOLE, "live", SINCE, False, (FULL, False, SINCE), id="whole list, read before"),
        pytest.param(WHOLE, "live", SINCE, True, (FULL, False, SINCE), id="a table emptied by hand is no first load"),
        pytest.param(WHOLE, "live", PASS, False, (FULL, True, PASS), id="whole list, resumed"),
        pytest.param(WHOLE, "sweep", PASS, False, (FULL, False, {}), id="a sweep never resumes"),
        pytest.param(WHOLE, "callback", None, False, (NONE, False, None), id="a callback lists nothing"),
        pytest.param(SWEPT, "live", None, True, (FIRST_LOAD, False, None), id="swept, never read"),
        pytest.param(SWEPT, "live", None, False, (FULL, False, None), id="swept, cursor was reset"),
        pytest.param(SWEPT, "live", SINCE, False, (NONE, False, SINCE), id="swept, what is new"),
        pytest.param(SWEPT, "live", SINCE | PASS, False, (NONE, True, SINCE | PASS), id="swept, what is new, resumed"),
        pytest.param(SWEPT, "live", PASS, False, (NONE, True, PASS), id="a first load that was cut short"),
        pytest.param(SWEPT, "sweep", None, True, (FIRST_LOAD, False, None), id="a sweep before any other run"),
        pytest.param(SWEPT, "sweep", None, False, (FULL, False, None), id="the first sweep"),
        pytest.param(SWEPT, "sweep", {"swept_at": "x"}, False, (FULL, False, {"swept_at": "x"}), id="a later sweep"),
        pytest.param(
            SWEPT, "sweep", {"swept_at": "x"} | PASS, False, (FULL, False, {"swept_at": "x"}),
            id="a sweep that was cut short starts over",
        ),
        pytest.param(SWEPT, "sweep", PASS, True, (FIRST_LOAD, False, {}), id="a first sweep cut short before its rows"),
        pytest.param(SWEPT, "sweep", PASS, False, (FULL, False, {}), id="a first sweep that was cut short"),
        pytest.param(SWEPT_RANGES, "backfill", None, True, (NONE, False, None), id="a backfill lists a range"),
        pytest.param(SWEPT_RANGES, "backfill", PASS, False, (NONE, True, PASS), id="a backfill resumes"),
        pytest.param(SWEPT_RANGES, "live", None, True, (FIRST_LOAD, False, None), id="swept ranges, never read"),
        pytest.param(SWEPT_RANGES, "sweep", None, False, (FULL, False, None), id="swept ranges, a sweep"),
        pytest.param(RANGES, "live", None, True, (NONE, False, None), id="ranges are never all listed"),
        pytest.param(RANGES, "sweep", None, False, (NONE, False, None), id="ranges without sweeps, swept by command"),
        pytest.param(LOOKUP, "live", None, True, (NONE, False, None), id="a lookup lists what was asked for"),
        pytest.param(LOOKUP, "sweep", None, False, (NONE, False, None), id="a lookup, swept by command"),
    ],
)  # fmt: skip
def test_a_pass_is_planned_from_its_stream_its_kind_and_its_cursor(
    kind_of_stream: Stream,
    kind: str,
    cursor: Cursor | None,
    is_empty: bool,
    expected: tuple[Listing, bool, Cursor | None],
) -> None:
    before = None if cursor is None else dict(cursor)
    plan = plan_pass(kind_of_stream, kind, cursor, is_empty)
    assert (plan.listing, plan.resumes, plan.cursor) == expected
    assert cursor == before


@pytest.mark.parametrize(
    ("kind_of_stream", "kind", "cursor", "expected"),
    [
        pytest.param(WHOLE, "live", None, True, id="a list without a cursor"),
        pytest.param(WHOLE, "live", SINCE, False, id="a list read before"),
        pytest.param(SWEPT, "live", SINCE, False, id="a tick"),
        pytest.param(SWEPT, "sweep", PASS, True, id="a sweep that starts over"),
        pytest.param(SWEPT, "sweep", {"swept_at": "x"}, False, id="a later sweep"),
        pytest.param(RANGES, "live", None, False, id="ranges"),
        pytest.param(LOOKUP, "live", None, False, id="a lookup"),
    ],
)
def test_whether_the_table_is_empty_is_asked_only_where_it_matters(
    kind_of_stream: Stream, kind: str, cursor: Cursor | None, expected: bool
) -> None:
    assert may_be_first_load(kind_of_stream, kind, cursor) is expected
    plans = {plan_pass(kind_of_stream, kind, cursor, is_empty).listing for is_empty in (False, True)}
    assert (len(plans) == 2) is expected


MIDDLE = page()
ENDS_LISTING = page(scope=Scope(), whole_walk=True)
OF_A_COMPANY = page(scope=Scope(column="company_id", values=(1,)), whole_walk=True)
ASKED_FOR = page(scope=Scope(column="id", values=(1,)))
WITHOUT_SCOPE = page(whole_walk=True)
STARTS_OVER = page(starts_over=True)
NOT_TRACKED, ONE_PAGE, STORED = Tracking.NOT_TRACKED, Tracking.ONE_PAGE, Tracking.STORED
OPEN, CLOSES, CLOSES_IF_COMPLETE = Ending.OPEN, Ending.CLOSES, Ending.CLOSES_IF_COMPLETE


@pytest.mark.parametrize(
    ("listing", "resumes", "given", "is_first", "is_last", "expected"),
    [
        pytest.param(FULL, False, MIDDLE, True, False, (STORED, True, OPEN), id="full: the first of many"),
        pytest.param(FULL, False, MIDDLE, False, False, (STORED, False, OPEN), id="full: one in the middle"),
        pytest.param(FULL, False, ENDS_LISTING, False, True, (STORED, False, CLOSES_IF_COMPLETE), id="full: the last"),
        pytest.param(
            FULL, False, ENDS_LISTING, False, False, (STORED, False, CLOSES_IF_COMPLETE),
            id="full: the last, though the walk has not ended yet",
        ),
        pytest.param(
            FULL, False, ENDS_LISTING, True, True, (ONE_PAGE, True, CLOSES_IF_COMPLETE), id="full: the only one"
        ),
        pytest.param(
            FULL, False, ENDS_LISTING, True, False, (STORED, True, CLOSES_IF_COMPLETE),
            id="full: the only one, though the walk has not ended yet",
        ),
        pytest.param(
            FULL, False, OF_A_COMPANY, True, True, (ONE_PAGE, True, CLOSES_IF_COMPLETE), id="full: for some companies"
        ),
        pytest.param(FULL, False, WITHOUT_SCOPE, False, True, (STORED, False, CLOSES), id="full: speaks for no rows"),
        pytest.param(FULL, True, MIDDLE, True, False, (STORED, False, OPEN), id="full, resumed: the first"),
        pytest.param(FULL, True, STARTS_OVER, True, False, (STORED, True, OPEN), id="full, resumed: starts over"),
        pytest.param(
            FULL, True, ENDS_LISTING, True, True, (STORED, False, CLOSES_IF_COMPLETE),
            id="full, resumed: one page holds only the rest of the listing",
        ),
        pytest.param(FIRST_LOAD, False, MIDDLE, True, False, (NOT_TRACKED, True, OPEN), id="first load: the first"),
        pytest.param(FIRST_LOAD, False, ENDS_LISTING, False, True, (NOT_TRACKED, False, CLOSES), id="first load: last"),
        pytest.param(FIRST_LOAD, False, ENDS_LISTING, True, True, (NOT_TRACKED, True, CLOSES), id="first load: only"),
        pytest.param(
            FIRST_LOAD, False, ENDS_LISTING, False, False, (NOT_TRACKED, False, OPEN),
            id="first load: the last, though the walk has not ended yet",
        ),
        pytest.param(NONE, False, MIDDLE, True, False, (NOT_TRACKED, True, OPEN), id="what is new: the first"),
        pytest.param(NONE, False, MIDDLE, False, True, (NOT_TRACKED, False, CLOSES), id="what is new: the last"),
        pytest.param(NONE, False, MIDDLE, True, True, (ONE_PAGE, True, CLOSES), id="what is new: the only one"),
        pytest.param(NONE, False, ASKED_FOR, True, True, (ONE_PAGE, True, CLOSES), id="a lookup: the only answer"),
        pytest.param(NONE, False, ASKED_FOR, False, False, (NOT_TRACKED, False, OPEN), id="a lookup: one of many"),
        pytest.param(
            NONE, False, ENDS_LISTING, False, True, (NOT_TRACKED, False, CLOSES),
            id="the pages of a pass that was not planned as a listing were not tracked: nothing is missing from it",
        ),
        pytest.param(
            NONE, False, ENDS_LISTING, True, True, (ONE_PAGE, True, CLOSES_IF_COMPLETE),
            id="unless it is one page",
        ),
    ],
)  # fmt: skip
def test_a_page_is_what_the_plan_and_its_place_make_of_it(
    listing: Listing,
    resumes: bool,
    given: Page,
    is_first: bool,
    is_last: bool,
    expected: tuple[Tracking, bool, Ending],
) -> None:
    plan = Plan(listing=listing, resumes=resumes, cursor=None)
    tracking, begins, ending = expected
    assert plan.page(given, is_first=is_first, is_last=is_last) == PagePlan(
        tracking=tracking, begins=begins, ending=ending
    )


@pytest.mark.parametrize(
    ("of_stream", "kind", "lists_on"),
    [
        (WHOLE, "live", True), (SWEPT, "live", False), (SWEPT, "sweep", False), (SWEPT_RANGES, "live", False),
        (SWEPT_WINDOWS, "live", False), (SWEPT_WINDOWS, "sweep", True),
    ],
)  # fmt: skip
def test_the_keys_of_a_first_load_are_kept_where_one_that_goes_on_will_ask_what_is_missing(
    of_stream: Stream, kind: str, lists_on: bool
) -> None:
    plan = plan_pass(of_stream, kind, None, table_is_empty=True)
    assert plan.listing is FIRST_LOAD
    first, last = plan.page(MIDDLE, is_first=True, is_last=False), plan.page(ENDS_LISTING, is_first=False, is_last=True)
    assert {first.tracking, last.tracking} == {STORED if lists_on else NOT_TRACKED}
    assert last.ending is (CLOSES_IF_COMPLETE if lists_on else CLOSES)
    assert plan.page(ENDS_LISTING, is_first=True, is_last=True).tracking is NOT_TRACKED, "nothing can go on there"


@pytest.mark.parametrize(
    ("stream", "kind", "cursor", "expected"),
    [
        (SWEPT_RANGES, "live", SINCE, True),
        (SWEPT_RANGES, "live", {**SINCE, **PASS}, False),
        (SWEPT_RANGES, "live", None, False),
        (SWEPT_RANGES, "sweep", SINCE, False),
        (SWEPT_RANGES, "backfill", SINCE, False),
        (RANGES, "live", SINCE, True),
        (RANGES, "live", None, False),
        (WHOLE, "live", {"as_of": "2026-11-27T00:00:00+00:00"}, False),
    ],
)
def test_a_tick_asks_only_for_what_is_new(stream: Stream, kind: str, cursor: Cursor | None, expected: bool) -> None:
    assert is_tick(stream, kind, cursor) is expected
