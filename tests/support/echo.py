"""An upstream between syncd and the sandbox that gives away all it was sent: in errors, redirects and links."""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

import aiohttp
from aiohttp import web

from tests.support.bench import Bench
from tests.support.secrets import secrets

WINDOW_CHARS = 10
"""So much of a secret in one piece is too much."""
LOGINS = ("/auth/token", "/auth/refresh", "/api/auth/credentials")


@dataclass
class Echo:
    """Hands requests on to the sandbox, but answers those after a login by `mode`; notes every secret it sees."""

    bench: Bench
    mode: str = ""
    pad: int = 0
    struck: int = 0
    seen: dict[str, str] = field(default_factory=secrets)

    def base_url(self, api: str, url: str) -> str:
        return self.bench.address.base_url(api).replace(self.bench.address.url, url)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self._note_request(request)
        is_login = request.path.endswith(LOGINS)
        if self.mode and (not is_login or self.mode.startswith("login-")):
            self.struck += 1
            return self._answer(request, body)
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as http:
            async with http.request(
                request.method, f"{self.bench.address.url}{request.raw_path}", data=body,
                headers={**request.headers, "Accept-Encoding": "identity"}, allow_redirects=False,
            ) as answer:  # fmt: skip
                text = await answer.read()
                headers = [(name, value) for name, value in answer.headers.items() if name not in _HOP]
                self._note_login(is_login, text, answer.headers.getall("Set-Cookie", []))
                return web.Response(status=answer.status, body=text, headers=headers)

    def _note_request(self, request: web.Request) -> None:
        for name in ("Authorization", "X-Authorization", "X-Api-Key", "API-TOKEN"):
            if name in request.headers:
                self.seen[f"{name} of {request.path}"] = request.headers[name].rpartition(" ")[2].rstrip("=")
        if cookie := re.search(r"ss-id=([^;]+)", request.headers.get("Cookie", "")):
            self.seen[f"session of {request.path}"] = cookie[1]

    def _note_login(self, is_login: bool, text: bytes, cookies: list[str]) -> None:
        for cookie in cookies:
            if match := re.match(r"ss-id=([^;]+)", cookie):
                self.seen[f"session {match[1]}"] = match[1]
        for name in ("token", "sessionId", "authToken") if is_login else ():
            if value := json.loads(text).get(name):
                self.seen[f"{name} {value}"] = value

    def _answer(self, request: web.Request, body: bytes) -> web.Response:
        told = f"{'.' * self.pad} {dict(request.headers)} {body.decode()} {request.path_qs}"
        token = next((value for name, value in request.headers.items() if name.lower() in _SIGNS), "none")
        mode, _, status = self.mode.removeprefix("login-").partition(" ")
        link = f"http://u:{quote(token, safe='')}@other.example{request.path}?api_key={quote(token)}&page=2"
        match mode:
            case "redirect":
                return web.Response(status=302, headers={"Location": link})
            case "next":
                return web.json_response({"data": [], "links": {"next": link}, "pagination": {"next_url": link}})
            case "own-next":
                own = f"{request.url.origin()}{request.path}?api_token={quote(token)}&page=2"
                return web.json_response({"data": [], "links": {"next": own}, "pagination": {"next_url": own}})
            case "text":
                return web.Response(status=int(status), text=told)
            case "html":
                return web.Response(status=int(status), text=f"<html>{told}</html>", content_type="text/html")
        vendor = {"error": told, "error_message": told, "message": told, "status": "error", "statusText": told}
        return web.json_response({**vendor, "responseStatus": {"errorCode": told, "message": told}}, status=int(status))


_HOP = ("Transfer-Encoding", "Content-Length", "Connection", "Content-Encoding")
_SIGNS = ("authorization", "x-authorization", "api-token", "cookie")


@asynccontextmanager
async def serving(bench: Bench) -> AsyncIterator[tuple[Echo, Callable[[str], str]]]:
    """Serve an echo before the bench's sandbox; yield it, and what makes a configuration go through it."""
    echo = Echo(bench)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echo.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield echo, lambda text: text.replace(bench.address.url, url)
    finally:
        await runner.cleanup()


def leaked(text: str, secrets_by_name: dict[str, str]) -> dict[str, str]:
    """Return the secrets of which a text holds too long a piece, plainly or in another writing."""
    return {name: piece for name, secret in secrets_by_name.items() for piece in _pieces(secret) if piece in text}


def _pieces(secret: str) -> Iterator[str]:
    for form in {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}:
        yield from (form[at : at + WINDOW_CHARS] for at in range(max(1, len(form) - WINDOW_CHARS + 1)))
