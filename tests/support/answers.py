"""The answers to the cookbook's questions, computed from the records that the sandbox holds.

Plain Python over the vendors' own records; knows no table, no view and no SQL. One function for each question, of the
question's name, in the modules beside this one.
"""

from collections.abc import Callable

from tests.support import (
    answers_cars,
    answers_lease,
    answers_mirror,
    answers_open,
    answers_sales,
    answers_shops,
    shop_answers,
)
from tests.support.answers_truth import Row, Truth

__all__ = ["Truth", "of"]

MODULES = (answers_shops, shop_answers, answers_sales, answers_open, answers_lease, answers_cars, answers_mirror)


def of(question: str) -> Callable[[Truth], list[Row]]:
    """Return the function that knows the answer to a question."""
    for module in MODULES:
        found: Callable[[Truth], list[Row]] | None = getattr(module, question, None)
        if found:
            return found
    raise KeyError(question)
