"""Searches among very many cases: `make test` tries a part of each, `make trials` the whole.

A search bears the mark `search` and says how many examples it tries. Cases of many seconds bear the mark `trial`, if
quicker ones of the same promise do not: only `make trials` runs them.
"""

import os

import pytest

IS_WHOLE = os.environ.get("SYNCD_SEARCH") == "whole"

search = pytest.mark.search
trial = pytest.mark.trial


def examples(whole: int, *, part: int) -> int:
    """Return how many examples this run tries."""
    return whole if IS_WHOLE else part


def is_long(case: pytest.Item) -> bool:
    """Say whether a case may take many seconds."""
    return any(case.get_closest_marker(mark) for mark in ("search", "trial", "timeout"))
