"""Who may act on the status page: pure decisions."""

from datetime import UTC, datetime

import pytest

from syncd.config import Secret
from syncd.service.web import sessions

NOW = datetime(2026, 11, 28, 3, tzinfo=UTC)
TOKEN = Secret("a-token-of-an-operator-0123")


def test_a_cookie_stands_for_a_sign_in_until_it_is_over_or_the_token_is_another() -> None:
    cookie = sessions.new_cookie(TOKEN, NOW)
    found = sessions.session_of(cookie, TOKEN, NOW)
    assert found is not None
    assert found.until == NOW + sessions.SIGNED_IN_FOR
    assert sessions.session_of(cookie, TOKEN, NOW + sessions.SIGNED_IN_FOR) is None
    assert sessions.session_of(cookie, Secret("another-token-of-an-operator"), NOW) is None
    assert cookie != sessions.new_cookie(TOKEN, NOW)
    assert TOKEN.reveal() not in cookie


@pytest.mark.parametrize("change", ["later", "cut", "empty", "words", "no signature"])
def test_a_cookie_that_was_changed_stands_for_nothing(change: str) -> None:
    cookie = sessions.new_cookie(TOKEN, NOW)
    until, nonce, signature = cookie.split(".")
    forged = {
        "later": f"{int(until) + 9999}.{nonce}.{signature}", "cut": cookie[:-1], "empty": "", "words": "é.x.y",
        "no signature": f"{until}.{nonce}.",
    }[change]  # fmt: skip
    assert sessions.session_of(forged, TOKEN, NOW) is None


def test_a_form_is_taken_from_its_own_sign_in_and_site_only() -> None:
    mine, yours = (sessions.session_of(sessions.new_cookie(TOKEN, NOW), TOKEN, NOW) for _ in range(2))
    assert mine is not None
    assert yours is not None
    assert sessions.is_own_form(mine, mine.form_key, {})
    assert sessions.is_own_form(mine, mine.form_key, {"Sec-Fetch-Site": "same-origin"})
    for site in ("cross-site", "same-site"):
        assert not sessions.is_own_form(mine, mine.form_key, {"Sec-Fetch-Site": site})
    for key in (yours.form_key, "", "é"):
        assert not sessions.is_own_form(mine, key, {})


def test_only_the_token_itself_is_the_token() -> None:
    assert sessions.is_token(TOKEN.reveal(), TOKEN)
    for given in ("", TOKEN.reveal()[:-1], TOKEN.reveal() + "x", "ü"):
        assert not sessions.is_token(given, TOKEN)
    assert sessions.bearer_of({"Authorization": "Bearer  x"}) == "x"
    assert sessions.bearer_of({"Authorization": "Basic x"}) == sessions.bearer_of({}) == ""


@pytest.mark.parametrize("odd", ["\udce9", "1.\udcff.x", "1.x.\udcff", "\udcff.\udcff.\udcff"], ids=ascii)
def test_what_is_no_utf_8_in_a_request_is_no_token_no_cookie_and_no_form(odd: str) -> None:
    signed_in = sessions.session_of(sessions.new_cookie(TOKEN, NOW), TOKEN, NOW)
    assert signed_in is not None
    assert not sessions.is_token(odd, TOKEN)
    assert sessions.session_of(odd, TOKEN, NOW) is None
    assert not sessions.is_own_form(signed_in, odd, {})
