"""The catalogue of the log says what the code does."""

import re

from syncd.log.events import EVENTS
from tests.papers.log_events import LEVELS, PAGE, calls, page


def test_the_page_of_events_is_current() -> None:
    assert page() == PAGE.read_text(), "write it anew: python -m tests.papers.log_events"


def test_every_event_has_a_sentence_and_every_sentence_an_event() -> None:
    logged = {call.event for call in calls()}
    assert len(logged) > 20
    assert logged == set(EVENTS), "mend syncd/log/events.py, then: python -m tests.papers.log_events"
    assert [event for event, sentence in EVENTS.items() if not re.fullmatch(r"[A-Z`].{20,}\.", sentence)] == []


def test_the_name_of_an_event_says_what_happened_to_what() -> None:
    assert [call.event for call in calls() if not re.fullmatch(r"[a-z]+(_[a-z]+)+", call.event)] == []


def test_run_finished_is_logged_in_one_place_with_outcome_and_counts() -> None:
    (call,) = (call for call in calls() if call.event == "run_finished")
    assert call.levels == ("info", "warning")
    assert {"source", "stream", "outcome", "requests", "seen", "rejected"} <= set(call.fields)
    assert call.sometimes == ("error", "hint", "notes")


def test_a_bug_of_ours_is_logged_as_an_error_with_its_traceback() -> None:
    crashed = [call for call in calls() if call.event in ("run_crashed", "page_failed", "daemon_task_failed")]
    assert {(LEVELS["exception"], True)} == {(*call.levels, "exception" in call.fields) for call in crashed}
