"""`syncd status`, `runs`, `logs` and `config show`: what the operator asks, for the eye and for a script."""

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncd.sandbox import CREDENTIALS
from syncd.status import overview
from tests.support.bench import Bench
from tests.support.command import Say, assert_refused

SECRET_KEYS = ("password", "api_key", "api_token")


def sandbox_secrets() -> list[str]:
    return [str(value) for keys in CREDENTIALS.values() for key, value in keys.items() if key in SECRET_KEYS]


def test_status_shows_streams_and_budgets_and_the_same_as_json(tell: Say) -> None:
    shown = tell("status")
    assert shown.code == 0
    assert shown.row("shop.customers")[1:3] == ["fresh", "250"]
    assert shown.row("shop.leads")[1] == "never"
    assert shown.row("shop")[2] == "10,000"  # the budget, as the server's headers tell
    told = tell("status", "--json").json
    stream = next(entry for entry in told["streams"] if entry["stream"] == "customers")
    assert (stream["state"], stream["rows"]["alive"]) == ("fresh", 250)
    due_at = datetime.fromisoformat(stream["next_run_at"])
    assert re.search(rf"{due_at.astimezone(UTC):%H:%M}, in \d+(\.\d)? (s|min)", shown.out), "when, and how soon"


def test_of_very_many_streams_those_are_listed_that_are_not_well(tell: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tell("status", "--json").json
    monkeypatch.setattr(overview, "LARGE_STREAMS", 3)
    shown = tell("status")
    assert shown.code == 0
    assert shown.row("shop.leads")[1] == "never"
    assert "shop.customers" not in shown.out, "it is well"
    fresh, never = whole["summary"]["fresh"], whole["summary"]["never"]
    assert f"{fresh} fresh, {never} never" in shown.out, "all are counted"
    assert "All streams that are not well are listed." in shown.out
    told = tell("status", "shop.customers", "--json").json
    [customers] = told["streams"]
    assert customers["rows"] == {"alive": 250, "deleted": 0}
    assert tell("status", "--json").json["summary"] == whole["summary"]


@pytest.fixture
async def aged(synced: Bench) -> None:
    """Let the last run of the customers be some minutes old."""
    await synced.fetch("UPDATE syncd.runs SET started_at = started_at - interval '4 min' WHERE stream = 'customers'")


@pytest.mark.usefixtures("aged")
def test_check_turns_lateness_and_failure_into_exit_code_1_and_plain_status_does_not(tell: Say) -> None:
    fine = tell("status", "shop.customers", "--check")
    assert (fine.code, fine.out) == (0, "1 stream: all well\n")
    late = tell("status", "shop", "--check")
    assert late.code == 1
    assert "shop.leads is late: no run has succeeded yet\n" in late.out
    assert "shop.customers" not in late.out
    old = tell("status", "shop.customers", "--check", "--max-age", "3m", "--json")
    assert (old.code, [stream["stream"] for stream in old.json["streams"]]) == (1, ["customers"])
    assert "shop.customers is late: the last good run started" in old.err
    plain = tell("status", "shop.leads", "shop.customers")
    assert (plain.code, plain.row("shop.leads")[1], "lease" in plain.out) == (0, "never", False)


def test_check_says_what_is_wrong_with_its_use_and_3_without_a_database(
    tell: Say, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert_refused("", tell("status", "--max-age", "1h"), 2, "--max-age says what --check calls late")
    assert_refused("", tell("status", "--check", "--max-age", "soon"), 2, "expected a duration")
    assert_refused("", tell("status", "--check", "shop.nothing"), 2, "matches no stream")
    path = tmp_path / "away.toml"
    path.write_text('[database]\nurl = "postgresql://nobody@127.0.0.1:1/none"\n[sources.cars]\ntype = "autengo"\n'
                    'base_url = "https://a"\napi_key = "k"\ndealer_alzura_id = 1\nuser_alzura_id = 1\n')  # fmt: skip
    path.chmod(0o600)
    monkeypatch.setenv("SYNCD_CONFIG", str(path))
    assert tell("status", "--check").code == 3


def test_runs_are_listed_shown_and_logged(tell: Say) -> None:
    listed = tell("runs", "list", "--json").json
    assert [(run["source"], run["stream"], run["outcome"]) for run in listed] == [
        ("lease", "dealers", "ok"), ("shop", "customers", "ok"),
    ]  # fmt: skip
    assert [run["stream"] for run in tell("runs", "list", "shop.*", "--limit", "1", "--json").json] == ["customers"]
    assert tell("runs", "list", "--failed").out == "no such run\n"
    number = str(listed[1]["run_id"])
    assert tell("runs", "list", "shop").row(number)[3:6] == ["shop.customers", "live", "ok"]
    shown = tell("runs", "show", number, "--json").json
    assert (shown["rows_inserted"], shown["lane"], shown["pid"] > 0) == (250, "live", True)
    assert "rows inserted  250\n" in tell("runs", "show", number).out
    assert_refused("", tell("runs", "show", "999999"), 2, "there is no run 999999")
    lines = tell("logs").out.splitlines()
    assert len(lines) == 2
    assert "shop.customers live ok · in " in lines[0]
    assert " seen, 250 new, " in lines[0]


def test_config_show_marks_defaults_and_hides_secrets(say: Say, sandbox_config: Path) -> None:
    more = '[privacy]\nhash_key = "0123456789abcdef0123"\n'
    more += '[notify]\nurls = ["tgram://123:secret-token-1/9", { env = "U" }]\n'
    sandbox_config.write_text(sandbox_config.read_text() + more)
    shown = say("config", "show")
    assert shown.code == 0
    assert "\nlisten = " in shown.out
    assert re.search(r"^per_minute = \d+|^live_reserve = 0\.2 +# default$", shown.out, re.MULTILINE)
    assert 'hash_key = "***"\n' in shown.out
    assert 'urls = ["***", { env = "U" }]\n' in shown.out
    tomllib.loads(shown.out)
    told = {key["key"]: key for key in say("config", "show", "--json").json}
    assert told["sources.shop.password"] == {
        "key": "sources.shop.password", "value": "***", "default": False, "secret": True,
        "origin": str(sandbox_config),
    }  # fmt: skip
    assert (told["retention.runs"]["value"], told["retention.runs"]["default"]) == ("90d", True)
    assert told["sources.shop.streams.customers.every"]["value"]
    kept = ("http.trusted_proxies", "notify.heartbeat_every", "scale.lease", "include")  # as they can be written
    assert [told[name]["value"] for name in kept] == [["127.0.0.0/8", "::1/128"], "1m", "3s", []]
    for secret in (*sandbox_secrets(), "0123456789abcdef0123", "secret-token-1"):
        assert secret not in shown.out
