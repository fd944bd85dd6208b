"""The page on reliability says what the tests do."""

from tests.papers.reliability import PAGE, page


def test_the_reliability_page_is_current() -> None:
    assert page() == PAGE.read_text(), "write it anew: python -m tests.papers.reliability"
