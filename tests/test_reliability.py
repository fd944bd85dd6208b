"""The page on reliability says what the tests do."""

from tests.reliability import PAGE, page


def test_the_reliability_page_is_current() -> None:
    assert page() == PAGE.read_text(), "write it anew: python -m tests.reliability"
