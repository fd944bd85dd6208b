"""Writes docs/reliability.md from the tests: `python -m tests.reliability`; with `--check` it only says if it is stale.

The matrix and the crash points come from the tables that the tests run; every test that a promise names must exist.
"""

import ast
import sys
from collections.abc import Iterable
from pathlib import Path

from syncd.sandbox import FAULTS
from tests.test_crashes import CRASHES
from tests.test_faults import CELLS, MATRIX, Fault

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "docs" / "reliability.md"

INTRODUCTION = """\
# Reliability: what is promised, and which test says so

This page is written by `python -m tests.reliability` from the tests themselves; CI fails if it is not current. Do not
edit it.

These tests compare the mirror with what the simulated upstreams hold, row by row and field by field: `tests/truth.py`
puts every row back into the record as sent and shares no code with the parser; `tests/test_truth.py` shows that it
would see a difference.
"""

PROMISES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Nothing lost",
        "After the upstream rests and one clean run, the mirror equals the upstream, whatever happened before.",
        (
            "test_faults.test_the_mirror_outlives_the_fault",
            "test_crashes.test_a_killed_run_leaves_whole_pages_and_the_next_one_goes_on",
            "test_crashes.test_a_first_load_that_is_killed_again_and_again_comes_to_its_end",
            "test_crashes.test_a_database_that_is_killed_under_a_run_costs_nothing",
            "test_crashes.test_a_full_disk_ends_the_run_and_harms_nothing",
            "test_deletions.test_a_sweep_finds_what_live_runs_cannot_and_raises_what_returns",
            "test_deletions.test_what_is_deleted_behind_a_killed_sweep_is_found_by_the_next_one",
        ),
    ),
    (
        "Nothing invented: no half page, no cursor ahead of its data",
        "Rows, cursor and counts of a page commit in one transaction.",
        (
            "test_crashes.test_a_killed_run_leaves_whole_pages_and_the_next_one_goes_on",
            "test_crashes.test_sigterm_ends_a_command_at_a_page_boundary",
        ),
    ),
    (
        "Nothing invented: no wrong deletion",
        "Only a clean and complete listing buries, and neither too many rows nor one that is alive when asked for.",
        (
            "test_deletions.test_a_listing_that_lacks_too_many_rows_buries_nothing",
            "test_deletions.test_a_sweep_that_fails_buries_nothing",
            "test_deletions.test_a_run_that_is_cancelled_in_a_sweep_buries_nothing",
            "test_deletions.test_a_row_that_is_missing_from_the_listing_but_alive_when_asked_for_is_kept",
            "test_deletions.test_of_very_many_missing_rows_one_that_is_alive_discredits_the_listing",
            "test_deletions.test_a_record_without_a_key_may_be_any_row_that_is_missing",
            "test_deletions.test_a_refused_listing_is_not_taken_up_again_at_its_end",
            "test_deletions.test_what_is_no_longer_in_stock_is_buried_only_if_it_was_asked_for",
            "test_deletions.test_rows_of_a_revoked_company_stay_while_deleted_ones_go",
        ),
    ),
    (
        "Children live and die with their parent",
        "A phone number that is removed is buried, so are those of a buried customer; they return with it.",
        (
            "test_deletions.test_child_rows_follow_their_parent",
            "test_deletions.test_a_parent_that_returns_as_it_was_brings_its_child_rows_back",
            "test_deletions.test_an_array_that_is_missing_buries_no_child_and_an_empty_one_buries_all",
        ),
    ),
    (
        "Nothing hidden",
        "No fault makes a run `ok` that lost something; `syncd.runs` names what happened.",
        (
            "test_faults.test_the_mirror_outlives_the_fault",
            "test_faults.test_every_fault_of_the_sandbox_is_in_the_matrix",
            "test_faults.test_every_source_meets_every_kind_of_fault_that_it_can",
        ),
    ),
)

MATRIX_TEXT = """\
Each misbehaviour strikes each stream named, once and then for good, in a live run and, where that differs, in a sweep.
*Once* and *lasting* tell how such a run may end. `ok` means that it coped, by asking again or because nothing was
amiss: the mirror then equals the upstream at once, but for an odd row, which is mirrored as odd as it was sent, and for
what changed upstream after it was read. `failed` and `throttled` mean that it said so and left the rest to the next
run. Nothing alive is buried meanwhile, but where the last column says so: there the upstream's lie cannot be told from
a deletion, and the row is raised as soon as it is sent again. When the fault is over, one clean run leaves no
difference.
"""

CRASH_TEXT = """\
`kill -9` of a real `syncd sync`, in the middle of a pass that changes and adds rows. Afterwards the mirror shows a
start of the list, page by page; the run's counts and its cursor say the same; the next run marks the dead one
`aborted`, goes on and ends `ok`; no row is counted twice.
"""


def page() -> str:
    """Return the whole page."""
    parts = [INTRODUCTION, "## The promises\n"]
    known = set(_tests())
    for name, text, tests in PROMISES:
        if missing := [test for test in tests if test not in known]:
            raise LookupError(f"there is no test {', '.join(missing)}")
        parts.append(f"**{name}.** {text}\n\n" + "".join(f"- `tests/{_place(test)}`\n" for test in tests))
    parts.append(f"## The fault matrix: {len({fault.name for fault in MATRIX})} faults, {len(CELLS)} cells\n")
    parts.append(MATRIX_TEXT)
    rows = sorted((_row(fault) for fault in MATRIX), key=lambda row: row[0])
    parts.append(_table(("fault", "what happens", "where", "once", "lasting", "trace"), rows))
    parts.append("## Crash points\n")
    parts.append(CRASH_TEXT)
    crashes = [(crash.point, f"{crash.times}.", str(crash.pages)) for crash in CRASHES]
    parts.append(_table(("killed", "at which call", "pages committed"), crashes))
    return "\n".join(parts)


def _tests() -> Iterable[str]:
    """Return every test as `module.name`."""
    for path in sorted(FOLDER.rglob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield f"{path.stem}.{node.name}"


def _place(test: str) -> str:
    module, _, name = test.partition(".")
    return f"{module}.py::{name}"


def _row(fault: Fault) -> tuple[str, ...]:
    traces = [f"says “{fault.says.split('|')[0]}”"] if fault.says else []
    traces += [f"`syncd.{fault.leaves}`"] if fault.leaves else []
    traces += ["may bury until it is sent again"] if fault.buries else []
    lasting = _outcomes(fault.lasting) if fault.lasting else "–"
    parts = (fault.shown, FAULTS[fault.name], " ".join(fault.streams), _outcomes(fault.once), lasting)
    return (*parts, "; ".join(traces) or "–")


def _outcomes(outcomes: frozenset[str]) -> str:
    return " or ".join(sorted(outcomes, key=("ok", "throttled", "failed").index))


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        sys.exit("docs/reliability.md is not current: python -m tests.reliability")
