"""The log: its form, its levels, and that nothing that was protected leaves by it."""

import base64
import gc
import io
import json
import logging
import os
import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote, quote_plus

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from syncd import log
from syncd.config import Secret
from syncd.log import kept


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the process's logging as it was found."""
    root = logging.getLogger()
    names = ("", "syncd", *log.LOUD_LIBRARIES)
    handlers, levels = list(root.handlers), {name: logging.getLogger(name).level for name in names}
    yield
    root.handlers = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    log._protected.forget_all()


@pytest.fixture
def out() -> io.StringIO:
    """Log as JSON at level debug, into this stream."""
    stream = io.StringIO()
    log.configure("json", "debug", stream=stream, environ={})
    return stream


def configure_alone(form: str, stream: io.StringIO, level: str = "debug") -> None:
    """Configure the log and take away pytest's own handlers, which would write what was logged without our pipeline."""
    log.configure(form, level, stream=stream, environ={})  # type: ignore[arg-type]
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if handler.get_name() == "syncd"]


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_its_fixed_fields_first(out: io.StringIO) -> None:
    log.get("syncd.sync").info("run_finished", source="shop", rows_seen=3, cursor=None)
    (line,) = lines(out)
    assert list(line) == ["timestamp", "level", "logger", "event", "source", "rows_seen", "cursor"]
    assert (line["level"], line["logger"], line["event"], line["rows_seen"]) == (
        "info",
        "syncd.sync",
        "run_finished",
        3,
    )
    at = datetime.fromisoformat(str(line["timestamp"]))
    assert at.tzinfo is not None
    assert abs((datetime.now(UTC) - at).total_seconds()) < 60
    assert str(line["timestamp"]).endswith("Z")


def test_context_variables_are_on_every_line(out: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(source="shop", api_key="hunter2"):
        log.get("sync").info("page_committed")
        logging.getLogger("aiohttp").warning("slow")
    assert [(line["source"], line["api_key"]) for line in lines(out)] == [("shop", "***")] * 2


@pytest.mark.parametrize(
    ("form", "stream", "environ", "is_json"),
    [
        ("auto", _Terminal(), {}, False),
        ("auto", _Terminal(), {"JOURNAL_STREAM": "8:1"}, True),
        ("auto", _Terminal(), {"INVOCATION_ID": "x"}, True),
        ("auto", io.StringIO(), {}, True),
        ("json", _Terminal(), {}, True),
        ("console", io.StringIO(), {"JOURNAL_STREAM": "8:1"}, False),
    ],
)
def test_the_form_follows_the_surroundings(
    form: str, stream: io.StringIO, environ: dict[str, str], is_json: bool
) -> None:
    log.configure(form, "info", stream=stream, environ=environ)  # type: ignore[arg-type]
    log.get("x").info("run_finished", rows=1)
    assert stream.getvalue().startswith("{") == is_json
    assert "run_finished" in stream.getvalue()


@pytest.mark.parametrize(
    ("terminal", "environ", "colored"),
    [(True, {}, True), (True, {"NO_COLOR": "1"}, False), (False, {}, False)],
)
def test_colors_are_for_terminals_that_want_them(terminal: bool, environ: dict[str, str], colored: bool) -> None:
    stream = _Terminal() if terminal else io.StringIO()
    log.configure("console", "info", stream=stream, environ=environ)
    log.get("x").info("run_finished")
    assert ("\x1b[" in stream.getvalue()) == colored


def test_the_log_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json")
    log.get("x").info("run_finished")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "run_finished" in captured.err


def test_configuring_again_replaces_the_form_and_doubles_nothing(out: io.StringIO) -> None:
    logger = log.get("x")
    logger.info("before")
    log.configure("json", "warning", stream=out, environ={})
    logger.info("unwanted")
    logger.warning("after")
    assert [line["event"] for line in lines(out)] == ["before", "after"]


@pytest.mark.parametrize(
    ("level", "own", "foreign"),
    [
        ("debug", ["debug", "info", "warning", "error"], ["warning", "error"]),
        ("info", ["info", "warning", "error"], ["warning", "error"]),
        ("error", ["error"], ["error"]),
    ],
)
def test_the_level_is_for_syncd_and_libraries_speak_from_warning_up(
    level: str, own: list[str], foreign: list[str]
) -> None:
    stream = io.StringIO()
    log.configure("json", level, stream=stream, environ={})  # type: ignore[arg-type]
    loggers = [log.get("x"), *(logging.getLogger(f"{name}.part") for name in (*log.LOUD_LIBRARIES, "unheard_of"))]
    for logger in loggers:
        for name in ("debug", "info", "warning", "error"):
            getattr(logger, name)("thing_done")
    spoken = lines(stream)
    assert [line["level"] for line in spoken if line["logger"] == "syncd.x"] == own
    for name in (*log.LOUD_LIBRARIES, "unheard_of"):
        assert [line["level"] for line in spoken if line["logger"] == f"{name}.part"] == foreign


def test_a_library_line_passes_the_same_pipeline(out: io.StringIO) -> None:
    log.protect("hunter2-text")
    logging.getLogger("aiohttp.client").warning("got %s from %r", "hunter2-text", {"a": 1}, extra={"cookie": "c"})
    (line,) = lines(out)
    assert line["event"] == "got *** from {'a': 1}"
    assert line["cookie"] == "***"


def test_python_warnings_are_logged(out: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        log.configure("json", stream=out, environ={})
        warnings.warn("a_warning_of_python", ResourceWarning, stacklevel=1)
    (line,) = lines(out)
    assert "a_warning_of_python" in str(line["event"])


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_exception_is_told_without_local_variables(form: str) -> None:
    stream = io.StringIO()
    configure_alone(form, stream)
    log.protect("hunter2-message")

    def fail(hidden_local: str) -> None:
        raise RuntimeError("it holds hunter2-message")

    try:
        fail("local" + str(len("local")))
    except RuntimeError:
        log.get("x").exception("run_failed")
        logging.getLogger("apscheduler").exception("job failed")
    text = stream.getvalue()
    assert text.count("Traceback (most recent call last)") == 2
    assert text.count("RuntimeError: it holds ***") == 2
    assert "local5" not in text
    assert "hunter2" not in text


# --- Redaction --------------------------------------------------------------------------------------------------------


class _Unshowable:
    def __str__(self) -> str:
        raise ValueError("no")

    __repr__ = __str__


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


# --- A line is never lost ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_value_is_too_odd_to_be_logged(form: str) -> None:
    stream = io.StringIO()
    configure_alone(form, stream)
    cycle: dict[str, object] = {}
    cycle["self"] = cycle
    log.get("x").info(
        "thing_done",
        odd=_Unshowable(),
        keys={_Unshowable(): 1, 2: 2, None: 3},
        cycle=cycle,
        surrogate="\ud800",
        nul="\0",
        large=2**200,
        infinite=float("inf"),
        raw=b"\xff",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        kind=int,
    )
    assert "thing_done" in stream.getvalue()
    assert stream.getvalue().encode("utf-8")
    assert "could not be logged" not in stream.getvalue()
    if form == "json":
        (line,) = lines(stream)
        assert line["large"] == str(2**200)
        assert line["at"] == "2026-01-01 00:00:00+00:00"


def test_a_line_that_cannot_be_written_shows_no_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    configure_alone("json", stream)
    logging.getLogger("aiohttp").warning("%d", "hunter2")
    assert re.fullmatch(r"a line of aiohttp at test_log.py:\d+ could not be logged: TypeError\n", stream.getvalue())
    assert "hunter2" not in capsys.readouterr().err


def test_a_terminal_is_not_commanded_by_what_is_logged() -> None:
    stream = io.StringIO()
    configure_alone("console", stream)
    log.get("x").warning("reject_written", reason="\x1b[2J\x07", nested={"a": ["\x1b[2J"]}, **{"k\x1b": "v"})
    logging.getLogger("aiohttp").warning("bad line \x1b]0;title\x07")
    assert "\x1b" not in stream.getvalue()
    assert "\x07" not in stream.getvalue()


@pytest.mark.parametrize(
    ("level", "priority"), [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 2)]
)
def test_a_line_for_the_journal_bears_its_priority(tmp_path: Path, level: str, priority: int) -> None:
    path = tmp_path / "journal"
    with path.open("w") as stream:
        found = os.fstat(stream.fileno())
        log.configure("json", "debug", stream=stream, environ={"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
        getattr(log.get("x"), level)("run_finished", error="one\ntwo")
        log.configure("console", "debug", stream=stream, environ={"JOURNAL_STREAM": "8:1"})
        log.get("x").info("elsewhere")
    line, other = path.read_text().splitlines()
    assert line.startswith(f'<{priority}>{{"timestamp":')
    assert "elsewhere" in other
    assert not other.startswith("<")


def test_every_line_of_a_traceback_bears_its_priority(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with path.open("w") as stream:
        found = os.fstat(stream.fileno())
        log.configure("console", "info", stream=stream, environ={"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
        try:
            raise ValueError("odd")
        except ValueError:
            log.get("x").exception("run_crashed")
    lines = path.read_text().splitlines()
    assert len(lines) > 2
    assert all(line.startswith("<3>") for line in lines)


def test_the_lines_of_a_run_are_kept_masked_and_the_oldest_runs_make_room(
    out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "LINES_KEPT", 4)
    monkeypatch.setattr(kept, "LINES_OF_RUN", 3)
    keeper, told = kept.keep(), log.get("syncd.test")
    log.protect("hunter2-of-a-run")
    told.info("page_served", url="of no run")
    before = log.run.set(7)
    told.warning("request_retried", reason="hunter2-of-a-run said 503", tries=2, api_key="x")
    log.run.reset(before)
    told.info("run_finished", run_id=7, outcome="ok")
    first, last = keeper.of_run(7)
    assert (first.level, first.event, last.event) == ("warning", "request_retried", "run_finished")
    assert dict(first.fields) == {"reason": "*** said 503", "tries": "2", "api_key": "***"}
    assert first.at.tzinfo is not None
    assert '"run_id":7' in out.getvalue().splitlines()[1]
    for number in range(5):
        told.info("run_finished", run_id=8, pages=number)
    assert [dict(line.fields)["pages"] for line in keeper.of_run(8)] == ["2", "3", "4"]
    assert keeper.of_run(7) == []
    logging.getLogger("syncd").removeHandler(keeper)
