"""A line of the log: its form, its level, its priority; and that no line is lost."""

import io
import logging
import os
import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from syncd import log
from syncd.log import kept
from tests.support.log_lines import configure_alone, lines, restoring


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


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
