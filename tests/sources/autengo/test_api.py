"""Autengo: faults and the token."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncd.config import Secret
from syncd.contract import Answer
from syncd.errors import BadCredentials, BadPayload, Unreachable
from syncd.sources.autengo import SOURCE
from syncd.sources.autengo.api import fault_of
from tests.support.bench import MakeBench

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def answer(body: Any, status: int = 200) -> Answer:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status=status, headers={}, body=text, sent_at=NOW, served_at=None)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"list": [], "total": 0}, None),
        (200, {"status": "success", "statusText": "Contact created successfully", "data": {}}, None),
        (200, {"status": "error", "statusText": "Contact not found"}, "Contact not found"),
        (200, {"error": True, "message": "down"}, "down"),
        (200, {"error": False, "message": "fine"}, None),
        (200, b"<html>", None),
        (400, {"message": "Invalid request"}, "Invalid request"),
        (400, {"error": {"message": "bad filter"}}, "bad filter"),
        (500, {"error": "boom"}, "boom"),
        (500, b"<html>oops", None),
        (500, [], None),
        (400, {"message": "x" * 500}, "x" * 200),
    ],
)
def test_fault_of(status: int, body: Any, expected: str | None) -> None:
    assert fault_of(answer(body, status)) == expected


class Sent:
    """The other end of a login: gives the answers it was made with, and keeps what was sent."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, str, dict[str, str], Any]] = []

    async def __call__(self, method: str, path: str, *, headers: Any = None, json: Any = None) -> Answer:
        self.sent.append((method, path, dict(headers or {}), json))
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def options(**other: Any) -> dict[str, Any]:
    fixed = {"api_key": Secret("k3y"), "dealer_alzura_id": 12, "user_alzura_id": 34}
    return {**fixed, "token_header": "X-Authorization: Bearer", **other}


TOKEN = {"token": "jwt1", "expires_in": 86400, "token_type": "Bearer", "scope": "AutengoApiV3"}


async def test_token_is_asked_for_renewed_and_asked_for_again() -> None:
    auth = SOURCE.auth(options())
    send = Sent(
        answer(TOKEN), answer({**TOKEN, "token": "jwt2"}), BadCredentials("no"), answer({**TOKEN, "token": "jwt3"})
    )
    assert auth.due(NOW)
    await auth.login(send, NOW)
    assert send.sent[0] == ("POST", "/auth/token", {"X-Api-Key": "k3y"}, {"dealerAlzuraId": 12, "userAlzuraId": 34})
    assert auth.headers() == {"X-Api-Key": "k3y", "X-Authorization": "Bearer jwt1"}
    assert not auth.due(NOW + timedelta(hours=21))
    late = NOW + timedelta(hours=22)
    assert auth.due(late)
    await auth.login(send, late)
    assert send.sent[1][:2] == ("GET", "/auth/refresh")
    assert send.sent[1][2]["X-Authorization"] == "Bearer jwt1"
    await auth.login(send, late + timedelta(hours=22))  # the renewal is refused: a new token
    assert [path for _, path, _, _ in send.sent[2:]] == ["/auth/refresh", "/auth/token"]
    assert "X-Authorization" not in send.sent[3][2]
    assert auth.headers()["X-Authorization"] == "Bearer jwt3"
    assert auth.refused()
    assert auth.due(late + timedelta(hours=22))


async def test_expired_token_is_not_renewed() -> None:
    auth, send = SOURCE.auth(options()), Sent(answer(TOKEN), answer(TOKEN))
    await auth.login(send, NOW)
    await auth.login(send, NOW + timedelta(hours=25))
    assert [path for _, path, _, _ in send.sent] == ["/auth/token", "/auth/token"]


@pytest.mark.parametrize(
    ("header", "name", "text"),
    [
        ("Authorization: JWT", "Authorization", "JWT jwt1"),
        ("Authorization: Bearer", "Authorization", "Bearer jwt1"),
        ("X-Authorization: Bearer", "X-Authorization", "Bearer jwt1"),
    ],
)
async def test_token_header_follows_the_option(header: str, name: str, text: str) -> None:
    auth = SOURCE.auth(options(token_header=header))
    await auth.login(Sent(answer(TOKEN)), NOW)
    assert auth.headers()[name] == text


@pytest.mark.parametrize(
    "reply",
    [
        answer({"token": "", "expires_in": 1}),
        answer({"expires_in": 86400}),
        answer({"status": "error", "statusText": "nobody"}),
        answer({**TOKEN, "error": "nobody"}),
        BadPayload("login answered 200 with an error inside: nobody", status=200),
    ],
)
async def test_login_200_without_a_token_is_bad_credentials(reply: Answer | Exception) -> None:
    auth = SOURCE.auth(options())
    with pytest.raises(BadCredentials):
        await auth.login(Sent(reply), NOW)
    assert auth.due(NOW)


async def test_login_that_is_no_json_is_an_outage() -> None:
    with pytest.raises(BadPayload):
        await SOURCE.auth(options()).login(Sent(answer(b"<html>")), NOW)
    with pytest.raises(Unreachable):
        await SOURCE.auth(options()).login(Sent(Unreachable("down")), NOW)


@pytest.mark.parametrize("expires_in", [None, "soon", 0, -1, float("nan"), 1e300, "600"])
async def test_odd_expiry_neither_fails_nor_hammers(expires_in: Any) -> None:
    auth = SOURCE.auth(options())
    await auth.login(Sent(answer({**TOKEN, "expires_in": expires_in})), NOW)
    assert not auth.due(NOW + timedelta(seconds=30))
    assert auth.due(NOW + timedelta(hours=2))


async def test_wrong_token_header_is_not_hidden(make_bench: MakeBench) -> None:
    bench = await make_bench()
    bench.sandbox.faults.add("login-error-200", api="autengo")
    result = await bench.sync("cars.vehicles")
    assert isinstance(result.error, BadCredentials)
    assert "Token could not be issued" in str(result.error)
