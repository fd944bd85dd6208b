"""Searches among very many cases: `make test` tries a part of each, `make trials` the whole.

A search bears the mark `search` and says how many examples it tries. Cases that cost two seconds of CPU or more bear
the mark `trial`, if quicker ones of their promise do not: only `make trials` runs them. Of a table of many like cases
`make test` tries every n-th: `sampled`.
"""

import os
from collections.abc import Iterable
from typing import Any

import pytest

IS_WHOLE = os.environ.get("SYNCD_SEARCH") == "whole"

search = pytest.mark.search
trial = pytest.mark.trial


def examples(whole: int, *, part: int) -> int:
    """Return how many examples this run tries."""
    return whole if IS_WHOLE else part


def sampled(cases: Iterable[Any], *, every: int) -> list[Any]:
    """Return cases as parameters: every n-th, from the first on, for `make test`, the others for `make trials`.

    A case is a value, a tuple of values, or what `pytest.param` made.
    """
    params = [
        case
        if isinstance(case, type(pytest.param()))
        else pytest.param(*(case if isinstance(case, tuple) else (case,)))
        for case in cases
    ]
    return [
        param if number % every == 0 else pytest.param(*param.values, id=param.id, marks=(*param.marks, trial))
        for number, param in enumerate(params)
    ]


def length(case: pytest.Item) -> int:
    """Say in steps how long a case may take: 0 for seconds, 2 for a minute."""
    return 2 if case.get_closest_marker("search") else 1 if case.get_closest_marker("trial") else 0
