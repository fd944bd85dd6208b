"""Every fault of the sandbox strikes once and is gone: a table of cases."""

import pytest

from syncd.sandbox import FAULTS
from tests.support.caller import Caller
from tests.support.fault_cases import CASES, PATHS, rows

# These need more than one answer to be seen; each has a test of its own below.
TOLD_BELOW = {
    "truncated-body", "reset", "hang", "corrupt-gzip", "login-error-200", "refresh-fails", "token-expires-early",
    "row-inserted-ahead", "row-deleted-ahead", "row-moved-ahead", "late-commit", "object-moves", "since-ignored",
    "daily-exhausted", "gzip-required", "odd-session", "unsound-http",
    "next-url-absent", "next-url-repeats", "token-expired", "range-refused", "days-in-utc", "last-day-excluded",
    "range-clamped", "stock-changes-unseen", "row-left-out",
}  # fmt: skip


def test_every_fault_has_a_test() -> None:
    assert set(CASES) | TOLD_BELOW == set(FAULTS)
    assert all(description for description in FAULTS.values())


@pytest.mark.parametrize("name", CASES)
async def test_fault_strikes_once_and_is_gone(caller: Caller, name: str) -> None:
    case = CASES[name]
    path, query = PATHS[case.api, case.stream]
    good = await caller.call(case.api, path, query)
    caller.sandbox.faults.add(name, api=case.api, stream=case.stream, times=1, **case.params)
    bad = await caller.call(case.api, path, query)
    assert case.check(bad, good), bad.body[:500]
    assert caller.sandbox.faults.hits(name) == 1
    caller.tokens.clear()
    caller.sandbox.faults.clear()
    again = await caller.call(case.api, path, query)
    assert again.status == 200
    if name not in {"empty-page-with-next", "unstable-ties", "shuffled-order"}:
        assert rows(again) == rows(good)
