"""GHS: faults and the session."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.config import Secret
from syncd.contract import Answer
from syncd.errors import BadCredentials, BadPayload, Unreachable
from syncd.sources.ghs import SOURCE
from syncd.sources.ghs.api import fault_of
from tests.support.bench import Bench
from tests.support.sources.ghs import synced

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def answer(body: Any, status: int = 200) -> Answer:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, headers={}, body=text, sent_at=NOW, served_at=None)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"responseStatus": {}, "orders": []}, None),
        (200, {"responseStatus": None}, None),
        (200, {"responseStatus": {"errorCode": "cart-is-locked", "message": "locked"}}, "cart-is-locked: locked"),
        (200, {"responseStatus": {"errorCode": "", "message": "fine"}}, None),
        (200, {"message": "a product's own text"}, None),
        (200, b"<html>", None),
        (205, b"", None),
        (400, {"responseStatus": {"errorCode": "not-found", "message": "not-found"}}, "not-found"),
        (400, {"message": "invalid-productid"}, "invalid-productid"),
        (400, b"too-many-results-refine-the-search", "too-many-results-refine-the-search"),
        (401, b'"broken-session"\r\n', "broken-session"),
        (400, b"required-length-for-{0}-is-{1}", "required-length-for-{0}-is-{1}"),
        (500, b"<html><body>Runtime Error</body></html>", None),
        (500, {"responseStatus": {"errorCode": "E", "message": "x" * 900}}, "E: " + "x" * 197),
    ],
)
def test_fault_of(status: int, body: Any, expected: str | None) -> None:
    assert fault_of(answer(body, status)) == expected


class Sent:
    """The other end of a login: gives one answer and keeps what was sent."""

    def __init__(self, reply: Answer | Exception) -> None:
        self.reply = reply
        self.sent: list[tuple[str, str, dict[str, str], Any]] = []

    async def __call__(self, method: str, path: str, *, headers: Any = None, json: Any = None) -> Answer:
        self.sent.append((method, path, dict(headers or {}), json))
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


OPTIONS = {"api_key": Secret("k3y"), "username": "garage", "password": Secret("pöss")}

LOGIN = {"sessionId": "P7/JJm75PKnIDw+THfzS", "authToken": "5e6d", "userName": "garage", "responseStatus": {}}


async def test_session_is_opened_signed_rotated_and_lost() -> None:
    auth, send = SOURCE.auth(OPTIONS), Sent(answer(LOGIN))
    assert auth.due(NOW)
    assert auth.headers() == {}
    await auth.login(send, NOW)
    body = {"UserName": "garage", "Password": "pöss", "RememberMe": False}
    assert send.sent == [("POST", "/api/auth/credentials", {"X-ApiKey": "k3y"}, body)]
    assert auth.headers() == {"Cookie": "ss-id=P7/JJm75PKnIDw+THfzS"}
    auth.received(answer({}), {"ss-id": "a/b+c=", "ss-pid": "p/q"}, NOW + timedelta(minutes=5))
    assert auth.headers() == {"Cookie": "ss-id=a/b+c=; ss-pid=p/q"}
    assert not auth.due(NOW + timedelta(minutes=23))
    assert auth.due(NOW + timedelta(minutes=25))
    assert auth.refused()
    assert auth.due(NOW + timedelta(minutes=6))
    assert auth.headers() == {}
    auth.received(answer({}, 401), {"ss-id": "nobody"}, NOW)
    assert auth.due(NOW), "the id of a stranger's session is no login"


@pytest.mark.parametrize(
    "reply",
    [
        answer({"responseStatus": {}}),
        answer({"sessionId": "", "responseStatus": {}}),
        answer({**LOGIN, "responseStatus": {"errorCode": "auth-invalid-username-password"}}),
        BadPayload("login answered 200 with an error inside: auth-invalid-username-password", status=200),
    ],
)
async def test_login_200_without_a_session_is_bad_credentials(reply: Answer | Exception) -> None:
    auth = SOURCE.auth(OPTIONS)
    with pytest.raises(BadCredentials) as caught:
        await auth.login(Sent(reply), NOW)
    assert auth.due(NOW)
    assert "5e6d" not in str(caught.value)


async def test_login_that_is_no_json_is_an_outage() -> None:
    with pytest.raises(BadPayload):
        await SOURCE.auth(OPTIONS).login(Sent(answer(b"<html>")), NOW)
    with pytest.raises(Unreachable):
        await SOURCE.auth(OPTIONS).login(Sent(Unreachable("down")), NOW)


async def test_session_lives_through_rotation_and_idleness(bench: Bench) -> None:
    for minutes in (0, 11, 11, 25, 120):
        bench.time.pass_by(minutes=minutes)
        await synced(bench, "account")
    await synced(bench, "orders")
    logins = [entry.status for entry in bench.sandbox.requests if entry.stream == "auth"]
    assert logins == [200, 200, 200]
    assert 401 not in {entry.status for entry in bench.sandbox.requests}


async def test_login_that_carries_an_error(bench: Bench) -> None:
    bench.sandbox.faults.add("login-error-200", api="ghs")
    result = await bench.sync("parts.account")
    assert isinstance(result.error, BadCredentials)
    assert "auth-invalid-username-password" in str(result.error)


async def test_secrets_are_nowhere(bench: Bench) -> None:
    for stream in SOURCE.names:
        await synced(bench, stream)
    for name in SOURCE.names:
        for row in await bench.fetch(f"SELECT t::text FROM ghs.{name} t"):
            assert "authToken" not in row[0]
            assert "sessionId" not in row[0]
    rows = await bench.fetch("SELECT c::text FROM syncd.cursors c UNION ALL SELECT r::text FROM syncd.runs r")
    assert not [row for row in rows if "ss-id" in row[0]]
