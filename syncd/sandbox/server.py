"""The sandbox over HTTP: the path of one request through faults, authentication, limits and handler; control paths.

Owns the order of these, and nothing that any of them does. Serves on loopback only.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import format_datetime
from ipaddress import ip_address
from typing import Any

from aiohttp import web
from multidict import CIMultiDict, MultiDict

from syncd.sandbox.answer import Answer, Api, Ask, LogEntry, Route
from syncd.sandbox.catalog import PREFIXES
from syncd.sandbox.control import routes as control_routes
from syncd.sandbox.faults import Moment, Stage
from syncd.sandbox.sandbox import Sandbox

LARGEST_REQUEST_BYTES = 16 << 20
SHUTDOWN_S = 0.2

__all__ = ["Address", "application", "serve"]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a sandbox is served."""

    url: str

    def base_url(self, api: str) -> str:
        """Return the base URL of one API, as a configuration names it."""
        return f"{self.url}{PREFIXES[api]}"


def application(sandbox: Sandbox) -> web.Application:
    """Build the application of all APIs."""
    app = web.Application(client_max_size=LARGEST_REQUEST_BYTES)
    for api in sandbox.apis:
        vendor = web.Application(client_max_size=LARGEST_REQUEST_BYTES)
        for route in api.routes():
            vendor.router.add_route(route.method, route.path, _endpoint(sandbox, api, route))
        vendor.router.add_route("*", "/{rest:.*}", _elsewhere(sandbox, api))
        app.add_subapp(api.prefix, vendor)
    app.add_routes(control_routes(sandbox))
    return app


def _elsewhere(sandbox: Sandbox, api: Api) -> Handler:
    """Answer what is no documented reading endpoint: unknown paths, and every writing method."""

    def handle(ask: Ask) -> Answer:
        return api.error(404, "Not Found") if ask.method == "GET" else api.error(400, "Unsupported HTTP method")

    return _endpoint(sandbox, api, Route(method="*", path="", stream="", handler=handle))


def _endpoint(sandbox: Sandbox, api: Api, route: Route) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        if sandbox.latency_s:
            await asyncio.sleep(sandbox.latency_s)
        ask = Ask(
            api=api.name,
            stream=route.stream,
            method=request.method,
            path=request.path,
            params=request.match_info,
            query=MultiDict(request.query),
            raw_query=request.rel_url.raw_query_string,
            headers=request.headers,
            body=await request.read(),
            world=sandbox.world,
        )
        limited = route.limited or not api.tells_limits
        window = sandbox.windows.get(api.name) if limited else None
        moment = Moment(world=sandbox.world, api=api, ask=ask, window=window)
        _answer(sandbox, moment, route)
        response = _encode(sandbox, moment)
        entry = LogEntry(
            api=api.name,
            stream=route.stream,
            method=request.method,
            path=request.path,
            endpoint=route.path,
            query=dict(request.query),
            status=0 if moment.cut else moment.answered.status,
            at=sandbox.now(),
        )
        sandbox.requests.append(entry)
        return response if moment.sender is None else await moment.sender(request, moment)

    return handle


def _answer(sandbox: Sandbox, moment: Moment, route: Route) -> None:
    """Find the answer: faults that come instead of one, authentication, limits, the handler, faults that change it."""
    sandbox.faults.strike(Stage.BEFORE, moment)
    if moment.answer is None:
        moment.answer = moment.api.refusal(moment.ask)
    if moment.answer is None and moment.window is not None and not moment.window.spend(sandbox.now()):
        moment.answer = moment.api.error(429, "Too Many Requests")
    if moment.answer is None:
        sandbox.faults.strike(Stage.ASK, moment)
        moment.answer = route.handler(moment.ask)
        if moment.answer.status == 200:
            sandbox.faults.strike(Stage.WORLD, moment)
            sandbox.faults.strike(Stage.ANSWER, moment)


def _encode(sandbox: Sandbox, moment: Moment) -> web.Response:
    """Make the response of the answer: bytes, headers, and what the faults do to them."""
    answer = moment.answered
    moment.body = answer.encoded()
    moment.headers = CIMultiDict(
        {"Content-Type": answer.content_type, "Date": format_datetime(sandbox.now(), usegmt=True)}
    )
    if moment.window is not None and moment.api.tells_limits:
        moment.headers.update(moment.window.headers(sandbox.now()))
    for name, value in answer.headers.items():
        if name == "Set-Cookie":
            moment.headers.add(name, value)
        else:
            moment.headers[name] = value
    sandbox.faults.strike(Stage.WIRE, moment)
    accepted = moment.ask.headers.get("Accept-Encoding", "")
    if moment.api.gzips and "gzip" in accepted and "Content-Encoding" not in moment.headers:
        moment.body = gzip.compress(moment.body, compresslevel=1)
        moment.headers["Content-Encoding"] = "gzip"
    return web.Response(status=answer.status, body=moment.body, headers=moment.headers)


@asynccontextmanager
async def serve(sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Address]:
    """Serve a sandbox until the block ends; port 0 takes a free one. ValueError if the host is not loopback."""
    if not ip_address(host).is_loopback:
        raise ValueError(f"the sandbox serves on loopback only, not on {host}")
    runner = web.AppRunner(
        application(sandbox), access_log=None, shutdown_timeout=SHUTDOWN_S, handler_cancellation=True
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        taken: Any = runner.addresses[0]
        async with sandbox.callbacks.courier.delivering(), sandbox.webhooks.courier.delivering():
            yield Address(url=f"http://{host}:{taken[1]}")
    finally:
        await runner.cleanup()
