"""No secret leaves through the log."""

import base64
import gc
import io
import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd import log
from syncd.config import Secret
from syncd.log import kept
from tests.support.log_lines import configure_alone, lines, restoring


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    with restoring():
        yield


@pytest.fixture
def out() -> io.StringIO:
    """Log as JSON at level debug, into this stream."""
    stream = io.StringIO()
    log.configure("json", "debug", stream=stream, environ={})
    return stream


@pytest.mark.parametrize("form", ["json", "console"])
@given(secret=st.text(min_size=log.SHORT_CHARS, max_size=30).filter(lambda text: text.strip("*.… \\xud") == text))
def test_a_protected_text_never_leaves(form: str, secret: str) -> None:
    stream = io.StringIO()
    configure_alone(form, stream)
    secret = f"s3cr3t{secret}"
    log.protect(secret)
    try:
        log.get("x").info(
            "page_fetched",
            plain=secret,
            within=f"a{secret}b",
            encoded=[quote(secret, errors="replace"), quote_plus(secret, errors="replace")],
            nested={"a": [{"b": (secret,)}], secret: 1},
            shown=repr({"a": secret}),
            dumped=json.dumps([secret]),
            error=ValueError(secret),
            raw=secret.encode("utf-8", "replace"),
            thing=SimpleNamespace(field=secret),
            wrapped=Secret(secret),
            group={secret},
        )
        logging.getLogger("sqlalchemy").warning("a %s", secret)
    finally:
        log._protected.forget_all()
    assert "s3cr3t" not in stream.getvalue()


@pytest.mark.parametrize(
    ("key", "masked"),
    [
        *(
            (key, True)
            for key in ("password", "PASSWORD", "db_password", "token", "api_token", "apiToken", "authToken")
        ),
        *((key, True) for key in ("api_key", "apikey", "apiKey", "X-Api-Key", "X-ApiKey", "Authorization")),
        *((key, True) for key in ("X-Authorization", "Cookie", "Set-Cookie", "ss-id", "ss-pid", "session_id")),
        *((key, True) for key in ("sessionId", "secret", "client_secret", "API-TOKEN", "credentials", "jwt")),
        *(
            (key, False)
            for key in ("key", "source", "keys", "rows_seen", "authority", "passed", "secretary", "key_sha256")
        ),
        *((key, False) for key in ("tokenizer", "stream", "monkey", "api", "compass")),
    ],
)
def test_a_telling_key_hides_its_value(out: io.StringIO, key: str, masked: bool) -> None:
    log.get("x").info("request_sent", **{key: "value-1"}, headers={key: "value-2"}, lists=[{key: ["value-3"]}])
    assert ("value" not in out.getvalue()) == masked
    (line,) = lines(out)
    assert (line[key] == "***") == masked


def test_whether_a_secret_is_there_at_all_may_be_told(out: io.StringIO) -> None:
    log.get("x").info("login_done", has_token=True, cookie=None)
    (line,) = lines(out)
    assert (line["has_token"], line["cookie"]) == (True, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:pw@h/d failed", "postgresql://u:***@h/d failed"),
        ("https://h:80/x", "https://h:80/x"),
        ("sent Bearer abc.def-123", "sent Bearer ***"),
        ("sent Basic dTpwYXNz and so on", "sent Basic *** and so on"),
        ("Basic authentication failed", "Basic authentication failed"),
        ("JWT eyJhbGciOi.x.y", "JWT ***"),
        ("GET /x?api_key=abc&page=2", "GET /x?api_key=***&page=2"),
        ("host=h password=pw user=u", "host=h password=*** user=u"),
        ("access_token=abc", "access_token=***"),
        ("nothing secret here", "nothing secret here"),
    ],
)
def test_what_looks_like_a_credential_is_masked_in_any_text(text: str, expected: str) -> None:
    assert log.mask(text) == expected


def test_a_short_secret_is_masked_as_a_word_only() -> None:
    log.protect("u1")
    assert log.mask("user u1 (u1) u12 menu1") == "user *** (***) u12 menu1"


def test_a_number_that_is_a_secret_is_masked(out: io.StringIO) -> None:
    log.protect("12345678")
    log.get("x").info("login_done", pin=12345678, rows=8)
    (line,) = lines(out)
    assert (line["pin"], line["rows"]) == ("***", 8)


def test_a_longer_secret_leaves_no_tail_of_itself() -> None:
    log.protect("secret")
    log.protect("secret-and-more")
    assert log.mask("x secret-and-more x secret x") == "x *** x *** x"


def test_a_text_that_was_told_before_is_masked_as_soon_as_it_is_protected() -> None:
    assert log.mask("tram-number-nine") == "tram-number-nine"
    log.protect("tram-number-nine")
    assert log.mask("tram-number-nine") == "***"


def test_a_line_that_is_also_kept_is_made_once(out: io.StringIO) -> None:
    keeper, asked = kept.keep(), list[int]()

    class Asking:
        def __str__(self) -> str:
            asked.append(1)
            return "asking"

    log.get("syncd.engine").info("page_read", run_id=7, what=Asking())
    assert '"what":"asking"' in out.getvalue()
    assert keeper.of_run(7)[0].fields == (("what", "asking"),)
    assert len(asked) == 1


def test_an_empty_text_protects_nothing() -> None:
    log.protect("")
    assert log.mask("a b") == "a b"


class _Account:
    """Holds sessions."""


def test_what_a_session_replaced_is_forgotten_oldest_first_and_lasting_secrets_never() -> None:
    log.protect("lasting-secret")
    account = _Account()
    for number in range(log.REPLACED_KEPT + 2):
        log.protect_held(f"session-{number:04}", account, "Cookie")
    newest = f"session-{log.REPLACED_KEPT + 1:04}"
    assert log.mask(f"lasting-secret session-0000 session-0001 {newest}") == "*** session-0000 *** ***"


def test_every_account_s_living_session_is_masked_however_many_there_are() -> None:
    accounts = [_Account() for _ in range(5 * log.REPLACED_KEPT)]
    for round_ in range(2):
        for number, account in enumerate(accounts):
            log.protect_held(f"token-{number:04}-{round_}", account, "Authorization")
            log.protect_held(f"cookie-{number:04}-{round_}", account, "Cookie")
    for number in (0, 1, len(accounts) - 1):
        line = (
            f"token-{number:04}-1 cookie-{number:04}-1 {base64.b64encode(f'x token-{number:04}-1'.encode()).decode()}"
        )
        masked = log.mask(line)
        assert f"{number:04}" not in masked
        assert masked.startswith("*** *** ")
    assert log.mask("token-0000-0") == "token-0000-0", "long replaced"


def test_a_session_of_an_account_that_is_gone_is_masked_for_a_while() -> None:
    account = _Account()
    log.protect_held("session-of-it", account, "Cookie")
    del account
    gc.collect()
    assert log.mask("session-of-it") == "***"
    other = _Account()
    for number in range(log.REPLACED_KEPT + 1):
        log.protect_held(f"of-another-{number}", other, "Cookie")
    assert log.mask("session-of-it") == "session-of-it"


def test_a_session_that_two_accounts_share_is_masked_as_long_as_one_has_it() -> None:
    one, other = _Account(), _Account()
    for account in (one, other):
        log.protect_held("shared-session", account, "Cookie")
    for number in range(log.REPLACED_KEPT + 1):
        log.protect_held(f"newer-{number}", one, "Cookie")
    assert log.mask("shared-session") == "***"
