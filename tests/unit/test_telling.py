"""Which pieces of a secret count as told."""

from syncd.testing.telling import leaked_piece

SECRET = {"key-of-lightspeed-4b1d"}
NAMES = "lightspeed things"


def test_a_piece_in_any_writing_is_found() -> None:
    assert leaked_piece("GET /x?key=key-of-lightspeed-4b1d", SECRET, NAMES) is not None
    assert leaked_piece("…-4b1d and of-lightspee", SECRET, NAMES) == "of-lightsp"
    assert leaked_piece("a%2Fb%3D%3Dcdefghij", {"a/b==cdefghij"}, NAMES) is not None


def test_what_is_a_name_or_too_short_is_none() -> None:
    assert leaked_piece("the source lightspeed failed", SECRET, NAMES) is None
    assert leaked_piece("4b1d", SECRET, NAMES) is None
