"""Writes docs/reliability.md from the tests: `python -m tests.papers.reliability`.

With `--check` it only says whether the page is current.

The matrix and the crash points come from the tables that the tests run; every test that a promise names must exist.
"""

import ast
import sys
from collections.abc import Iterable
from pathlib import Path

from syncd.sandbox import FAULTS
from tests.support.crashes import CRASHES, PAGINGS
from tests.support.matrix import CELLS, MATRIX
from tests.support.matrix_fault import Fault

FOLDER = Path(__file__).parents[1]
PAGE = FOLDER.parent / "docs" / "reliability.md"

INTRODUCTION = """\
# Reliability: what is promised, and which test says so

This page is written by `python -m tests.papers.reliability` from the tests themselves.
CI fails if it is not current. Do not edit it.

These tests compare the mirror with what the simulated upstreams hold, row by row and field by field.
`tests/support/truth.py` puts every row back into the record as sent and shares no code with the parser.
`tests/papers/test_truth.py` shows that it would see a difference.
"""

PROMISES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Nothing lost",
        "After the upstream rests and one clean run, the mirror equals the upstream, whatever happened before.",
        (
            "promises.test_faults.test_the_mirror_outlives_the_fault",
            "promises.test_crashes.test_a_killed_run_leaves_whole_pages_and_the_next_one_goes_on",
            "promises.test_crashes_of_pagings.test_whatever_way_pages_come_a_killed_run_leaves_whole_records",
            "promises.test_crashes.test_a_first_load_that_is_killed_again_and_again_comes_to_its_end",
            "promises.test_crashes.test_a_database_that_is_killed_under_a_run_costs_nothing",
            "promises.test_crashes.test_a_full_disk_ends_the_run_and_harms_nothing",
            "promises.test_deletions.test_a_sweep_finds_what_live_runs_cannot_and_raises_what_returns",
            "promises.test_deletions.test_what_is_deleted_behind_a_killed_sweep_is_found_by_the_next_one",
        ),
    ),
    (
        "Nothing invented: no half page, no cursor ahead of its data",
        "Rows, cursor and counts of a page commit in one transaction.",
        (
            "promises.test_crashes.test_a_killed_run_leaves_whole_pages_and_the_next_one_goes_on",
            "promises.test_crashes.test_sigterm_ends_a_command_at_a_page_boundary",
            "promises.test_crashes.test_what_changes_behind_a_resume_point_is_seen_by_the_run_that_goes_on_there",
            "promises.test_two_processes.test_of_two_syncs_of_a_stream_one_runs_and_the_other_says_who_does",
            "cli.test_backfill_walks.test_backfill_overwrites_nothing_newer",
        ),
    ),
    (
        "Nothing invented: no wrong deletion",
        "Only a clean and complete listing buries, and neither too many rows nor one that is alive when asked for.",
        (
            "promises.test_deletions.test_a_listing_that_lacks_too_many_rows_buries_nothing",
            "promises.test_deletions.test_a_sweep_that_fails_buries_nothing",
            "promises.test_deletions.test_a_run_that_is_cancelled_in_a_sweep_buries_nothing",
            "promises.test_deletions.test_a_row_that_is_missing_from_the_listing_but_alive_when_asked_for_is_kept",
            "promises.test_deletions.test_of_very_many_missing_rows_one_that_is_alive_discredits_the_listing",
            "promises.test_deletions.test_a_record_without_a_key_may_be_any_row_that_is_missing",
            "promises.test_deletions.test_a_refused_listing_is_not_taken_up_again_at_its_end",
            "promises.test_deletions_below.test_what_is_no_longer_in_stock_is_buried_only_if_it_was_asked_for",
            "promises.test_deletions_below.test_rows_of_a_revoked_company_stay_while_deleted_ones_go",
        ),
    ),
    (
        "Children live and die with their parent",
        "A phone number that is removed is buried, so are those of a buried customer; they return with it.",
        (
            "promises.test_deletions_below.test_child_rows_follow_their_parent",
            "promises.test_deletions_below.test_a_parent_that_returns_as_it_was_brings_its_child_rows_back",
            "promises.test_deletions_below.test_an_array_that_is_missing_buries_no_child_and_an_empty_one_buries_all",
        ),
    ),
    (
        "Whatever happens, in any order",
        (
            "A model is put through arbitrary sequences of changes, runs, sweeps, faults and crashes: 24 in `make"
            " test`, 150 in `make trials`, 5,000 in `make soak`."
        ),
        ("promises.test_model.test_the_mirror_ends_as_the_truth",),
    ),
    (
        "Lossless, however odd",
        (
            "Typed columns and `_extra` give every record back as sent; what cannot be a row is in `syncd.rejects`, and"
            " becomes one by `syncd rejects replay` without asking the vendor again."
        ),
        (
            "promises.test_lossless.test_every_record_can_be_given_back",
            "promises.test_lossless.test_every_child_element_can_be_given_back",
            "promises.test_lossless.test_strict_and_lenient_reading_agree",
            "promises.test_lossless.test_records_without_a_usable_key_are_rejects",
            "promises.test_lossless.test_one_key_in_several_forms_is_one_key",
            "cli.test_rejects.test_rejects_are_listed_without_contents_shown_with_them_and_replayed",
        ),
    ),
    (
        "Who is forgotten stays forgotten, and what is excluded is nowhere",
        (
            "All of a person goes in one transaction, or nothing; no run, whenever it read its page, no fault and no"
            " command brings them back. The whole database is searched for planted values."
        ),
        (
            "cli.test_forget.test_a_person_is_erased_from_everything_and_nobody_else",
            "cli.test_forget.test_no_run_brings_a_forgotten_person_back",
            "cli.test_forget_meanwhile.test_a_page_that_was_read_before_does_not_bring_a_person_back",
            "cli.test_forget_meanwhile.test_a_page_under_way_is_waited_for_and_then_erased",
            "promises.test_crashes.test_a_person_is_forgotten_wholly_or_not_at_all",
            "promises.test_faults.test_no_fault_brings_back_who_was_forgotten",
            "integration.test_privacy.test_no_way_of_writing_lets_an_excluded_value_in",
            "integration.test_privacy.test_an_excluded_value_is_nowhere_and_all_else_is_kept",
        ),
    ),
    (
        "The past is not lost, and whoever follows misses nothing",
        (
            "Each state of a row that was ever seen is one version, without gap or overlap, whatever wrote the row,"
            " crashed or did to the clock; the model, the crashes, every fault and the soak are watched for it. The"
            " change feed tells of the same changes, in the order of their commits."
        ),
        (
            "integration.test_history.test_every_way_of_writing_keeps_versions",
            "integration.test_history.test_versions_follow_one_another_whatever_the_clock_does",
            "integration.test_history.test_the_past_is_what_the_views_showed_then",
            "promises.test_crashes.test_a_killed_run_leaves_whole_pages_and_the_next_one_goes_on",
            "promises.test_crashes.test_a_database_that_is_killed_under_a_run_costs_nothing",
            "integration.test_changes.test_who_remembers_the_last_number_misses_nothing_that_commits_later",
            "integration.test_changes.test_many_runs_at_once_neither_block_each_other_for_good_nor_lose_a_change",
            "integration.test_changes.test_who_fell_behind_is_told_so",
            "integration.test_consumer.test_the_example_follows_real_runs_over_its_own_death",
        ),
    ),
    (
        "No time lies",
        (
            "Local times that come twice or never, clocks that are wrong or jump on either side: live runs find what"
            " changed. Only what an upstream dates back by more than the overlap waits for the next sweep."
        ),
        (
            "promises.test_time.test_a_local_time",
            "promises.test_time.test_a_filter_is_early_or_late_enough_however_it_is_read",
            "promises.test_time.test_live_runs_lose_nothing_in_a_night_of_two_times",
            "promises.test_time.test_live_runs_and_sweeps_lose_nothing_to_clocks",
            "promises.test_time.test_what_an_upstream_dates_back_is_found_by_the_next_sweep",
            "promises.test_time.test_what_is_no_time_is_kept_as_sent_beside_an_empty_column",
        ),
    ),
    (
        "Paging that shifts",
        "A list that moves under the walk loses no row, where a plain walk by offset would have.",
        (
            "promises.test_paging.test_no_row_that_stays_is_missed",
            "promises.test_paging.test_a_resumed_walk_misses_nothing_either",
            "promises.test_paging.test_a_plain_walk_would_have_lost_a_row",
            "promises.test_paging.test_loops_fail",
            "sources.autengo.test_vehicles.test_vehicles_ties_longer_than_a_page",
        ),
    ),
    (
        "Workers: each account is run by one of them, and one that is lost has heirs",
        "One that is killed has heirs within five seconds; one that stood still and comes back commits nothing.",
        (
            "unit.test_placement.test_every_shard_is_somebody_s_once_and_shares_differ_by_one_at_most",
            "integration.test_memberships.test_a_worker_that_was_declared_lost_commits_nothing_and_keeps_no_job",
            "integration.test_workers.test_two_workers_share_the_accounts_and_one_that_is_killed_has_an_heir",
            "promises.test_workers.test_whoever_is_killed_has_heirs_within_five_seconds",
            "promises.test_workers.test_whoever_stood_still_in_the_middle_of_a_page_commits_nothing",
            "promises.test_workers.test_a_database_that_is_away_costs_no_worker_and_no_shard",
            "promises.test_workers.test_many_accounts_are_shared_fairly_and_run_in_time",
            "promises.test_upgrade_of_workers.test_workers_are_upgraded_one_after_the_other_and_no_stream_is_late",
            "integration.test_worker_traps.test_the_first_member_hoards_nothing_and_a_deaf_one_hears_again",
        ),
    ),
    (
        "Nothing burnt",
        "Requests never exceed a budget, across restarts and processes; live work is never starved by a backfill.",
        (
            "unit.test_budget.test_no_moving_minute_holds_more_than_its_limit",
            "unit.test_budget.test_a_backfill_never_delays_a_live_request",
            "unit.test_budget_days.test_a_jumping_clock_neither_stops_us_nor_lets_us_run",
            "promises.test_two_processes.test_a_budget_holds_over_processes_and_restarts",
        ),
    ),
    (
        "No hammering",
        (
            "A source that is down or refuses its credentials is asked by one request per step, of 15 minutes at most;"
            " the others do not notice; the log tells of the start and of the end, once."
        ),
        (
            "promises.test_outages.test_a_source_that_is_down_for_a_week_is_probed_by_one_request_per_step",
            "promises.test_outages.test_credentials_that_are_refused_are_tried_once_per_step",
            "promises.test_outages.test_a_login_that_is_refused_is_tried_once_per_step",
            "promises.test_outages.test_a_scope_that_is_taken_away_pauses_its_stream_only_and_keeps_its_rows",
            "promises.test_outages.test_a_stream_that_fails_alone_holds_up_no_other_of_its_source",
        ),
    ),
    (
        "Nothing hidden",
        (
            "No fault makes a run `ok` that lost something; `syncd.runs` names what happened, `syncd.drift` which"
            " fields changed, and `syncd verify` which rows differ."
        ),
        (
            "integration.test_drift.test_drift_tells_what_changed_since_when_how_often_and_masked",
            "cli.test_verify.test_verify_finds_and_repairs_what_was_changed_by_hand",
            "cli.test_verify.test_verify_tells_what_is_gone_upstream_and_leaves_it_to_the_sweep",
            "promises.test_faults.test_the_mirror_outlives_the_fault",
            "promises.test_faults.test_every_fault_of_the_sandbox_is_in_the_matrix",
            "promises.test_faults.test_every_source_meets_every_kind_of_fault_that_it_can",
        ),
    ),
)

MATRIX_TEXT = """\
Each fault happens in each stream named, once and then lastingly, in a live run and, where that differs, in a sweep.
*Once* and *lasting* say how such a run may end:

- `ok`: the run coped, by asking again or because the fault did no harm. The mirror then equals the upstream, except for
  what changed upstream after it was read. An odd row is mirrored as sent.
- `failed` and `throttled`: the run reported the fault and left the rest to the next run.

No row that is alive is buried meanwhile, unless the last column says so: there the upstream's wrong answer looks
exactly like a deletion, and the row returns as soon as it is sent again. When the fault is over, one clean run
leaves no difference.
"""

CRASH_TEXT = """\
A real `syncd sync` is ended by `kill -9`, in the middle of a pass that changes and adds rows. Afterwards the mirror
holds whole pages from the start of the list. The run's counts and its cursor agree with them. The next run marks
the dead one `aborted`, goes on and ends `ok`. No row is counted twice.
"""


PAGING_TEXT = """\
The other ways of paging are killed in their first load, again and again, and once all records have changed. Each record
is then there with all of its child rows, or not at all, and no row is buried.
"""

SOAK_TEXT = """\
`make soak MINUTES=20 SEED=1` does all of this at random. Real `syncd` processes sync, sweep, backfill and serve
while the sandbox changes and misbehaves. Processes and PostgreSQL (fsync on) are killed. Every half minute
everything rests: a clean sync and a full one, both accepting deletions, must end with 0. Then the whole mirror must
equal the truth, and runs, counts, cursors and seen keys must add up. The first difference ends the soak, with the
seed and the last 60 actions.
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
    parts.append(PAGING_TEXT)
    ways = [
        (each.way, f"`{each.stream}`", ", ".join(f"{point} {times}" for point, times in each.points))
        for each in PAGINGS
    ]
    parts.append(_table(("way", "stream", "killed at which call of what, one after the other"), ways))
    parts.append("## Soak\n")
    parts.append(SOAK_TEXT)
    return "\n".join(parts)


def _tests() -> Iterable[str]:
    """Return every test as `room.module.name`, with the rooms that lie in a room."""
    for path in sorted(FOLDER.rglob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield ".".join((*path.relative_to(FOLDER).with_suffix("").parts, node.name))


def _place(test: str) -> str:
    *rooms, module, name = test.split(".")
    return f"{'/'.join(rooms)}/{module}.py::{name}"


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
        sys.exit("docs/reliability.md is not current: python -m tests.papers.reliability")
