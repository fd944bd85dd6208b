"""A plain client of the sandbox, that owes nothing to syncd's own."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from syncd.sandbox import CREDENTIALS, Address, Sandbox, serve

CUSTOMERS = "/api/v1/customers/list.json"
VEHICLES = "/vehicle"


class Clock:
    """Time that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.at = datetime(2026, 10, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def pass_s(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass(kw_only=True)
class Reply:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(kw_only=True)
class Caller:
    """Calls the APIs with the right credentials, logging in where one must."""

    sandbox: Sandbox
    address: Address
    session: aiohttp.ClientSession
    clock: Clock
    tokens: dict[str, str] = field(default_factory=dict)

    async def raw(self, method: str, url: str | URL, **options: Any) -> Reply:
        async with self.session.request(method, URL(url), allow_redirects=False, **options) as response:
            return Reply(status=response.status, headers=response.headers, body=await response.read())

    async def call(self, api: str, path: str, query: dict[str, Any] | None = None, **options: Any) -> Reply:
        headers = {**await self.credentials(api), **options.pop("headers", {})}
        method = options.pop("method", "GET")
        return await self.raw(method, self.address.base_url(api) + path, params=query, headers=headers, **options)

    async def credentials(self, api: str) -> dict[str, str]:
        known = CREDENTIALS[api]
        if api == "cyclesoftware":
            packed = base64.b64encode(f"{known['username']}:{known['password']}".encode()).decode()
            return {"Authorization": f"Basic {packed}"}
        if api == "cyclis":
            return {"API-TOKEN": str(known["api_token"])}
        if api not in self.tokens:
            await self.login(api)
        if api == "autengo":
            return {"X-Api-Key": str(known["api_key"]), "X-Authorization": f"Bearer {self.tokens[api]}"}
        return {"Cookie": f"ss-id={self.tokens[api]}"}

    async def login(self, api: str, **changed: Any) -> Reply:
        known = {**CREDENTIALS[api], **changed}
        base = self.address.base_url(api)
        if api == "autengo":
            ids = {"dealerAlzuraId": known["dealer_alzura_id"], "userAlzuraId": known["user_alzura_id"]}
            reply = await self.raw("POST", f"{base}/auth/token", json=ids, headers={"X-Api-Key": str(known["api_key"])})
            name = "token"
        else:
            body = {"UserName": known["username"], "Password": known["password"]}
            headers = {"X-ApiKey": str(known["api_key"])}
            reply = await self.raw("POST", f"{base}/api/auth/credentials", json=body, headers=headers)
            name = "sessionId"
        if reply.status == 200 and name in reply.json():
            self.tokens[api] = reply.json()[name]
        return reply

    async def walk_customers(self, **query: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        offset: int | None = 0
        while offset is not None:
            page = (await self.call("cyclesoftware", CUSTOMERS, {**query, "offset": offset})).json()
            rows += page["customers"]
            offset = page["pagination"]["next_offset"]
        return rows


@asynccontextmanager
async def calling(**options: Any) -> AsyncIterator[Caller]:
    """Serve a sandbox with a clock that stands still, and call it."""
    clock = Clock()
    sandbox = Sandbox(**{"now": clock, "page_size": 100, **options})
    jar = aiohttp.DummyCookieJar()
    async with serve(sandbox) as address, aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Caller(sandbox=sandbox, address=address, session=session, clock=clock)
