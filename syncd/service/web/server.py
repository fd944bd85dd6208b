"""The routes of the status page, and its life on a socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
from aiohttp import HttpVersion11, web
from aiohttp.typedefs import Middleware

from syncd import config as configuration
from syncd import log
from syncd.config import Http
from syncd.config.duration import parse_duration
from syncd.errors import DatabaseError, UsageError
from syncd.service import listener
from syncd.service.seldom import Seldom
from syncd.service.web import hosts, metrics, view
from syncd.service.web.hosts import Hosts
from syncd.service.web.rendering import FOLDER, render
from syncd.status import Status, StatusReader, progress_of, troubles
from syncd.storage.postgres import migrations

RUNS_SHOWN: Final = 50
PAGES_KEPT: Final = 64
"""Rendered pages of one status that are kept for later requests."""
READY_TIMEOUT_S: Final = 5.0
"""A database that has not answered within this is not ready."""
SHUTDOWN_S: Final = 0.5
"""Open requests may take this long when the server closes."""
PACKED_BYTES: Final = 1024
"""Answers from this size on are compressed where the reader wants it; our choice."""
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
    "Server": "syncd",
}
HOSTS_HINT: Final = 'If this name is yours, add it to the configuration: hosts = ["NAME"] in [http].'
HOST_SHOWN_CHARS: Final = 100
STATIC_CACHE: Final = "no-cache"
"""Cache header of scripts and styles: the browser keeps them and asks each time whether they changed."""

_log = log.get(__name__)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(
    reader: StatusReader,
    allowed: Hosts,
    *,
    is_alive: Callable[[], bool] = lambda: True,
    mine: StatusReader | None = None,
) -> web.Application:
    """Build the application; it answers to the allowed hosts. `is_alive` says whether the daemon still works.

    `mine` reads the status of the accounts whose metrics are shown: not all, where many workers share them.
    """
    app = web.Application(middlewares=[listener.timed, _guarded, _named(allowed)])
    app.on_response_prepare.append(_headed)
    routes = _Routes(reader, is_alive, mine or reader)
    app.router.add_get("/", routes.index)
    app.router.add_get("/streams/{source}/{stream}", routes.stream)
    app.router.add_get("/healthz", routes.healthz)
    app.router.add_get("/readyz", routes.readyz)
    app.router.add_get("/freshz", routes.freshz)
    app.router.add_get("/metrics", routes.metrics)
    app.router.add_get("/api/status", routes.api_status)
    app.router.add_static("/static", FOLDER / "static")
    return app


@contextlib.asynccontextmanager
async def serving(
    reader: StatusReader,
    http: Http | None,
    *,
    is_alive: Callable[[], bool] = lambda: True,
    mine: StatusReader | None = None,
) -> AsyncIterator[str | None]:
    """Serve the application until the block ends; yield its address. Raises ConfigError if the port is not free.

    `http` None serves nothing: `http.listen = "off"`.
    """
    if http is None:
        yield None
        return
    app = application(reader, hosts.of(http), is_alive=is_alive, mine=mine)
    runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN_S)
    async with listener.listening(runner, http, option="http.listen", headers=HEADERS) as place:
        yield f"http://{place}/"


async def _headed(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers to an answer, whoever made it."""
    response.headers.update(HEADERS)
    if request.path.startswith("/static/") and response.status < 400:
        response.headers["Cache-Control"] = STATIC_CACHE


@web.middleware
async def _guarded(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Answer 503 with an explanation while the database is down."""
    try:
        return await handler(request)
    except DatabaseError as error:
        return _unavailable(request, error)
    except web.HTTPException:
        raise
    except Exception:  # noqa: BLE001  a bug of ours: no traceback reaches the reader
        _log.exception("page_failed", path=request.path)
        return web.Response(status=500, text="syncd could not answer because of a defect. See its log.\n")


def _named(allowed: Hosts) -> Middleware:
    """Return what refuses a request that names another host than those allowed, see `hosts`."""
    seldom = Seldom()

    @web.middleware
    async def named(request: web.Request, handler: _Handler) -> web.StreamResponse:
        given = request.headers.getall("Host", [])
        if not given and request.version < HttpVersion11:  # of simple checks of health; a browser always names one
            return await handler(request)
        if len(given) != 1:
            return web.Response(status=400, text="expected one Host header\n")
        for authority in (given[0], request.host):  # the latter is the target's, if that is a whole address
            if not allowed.allows(authority):
                if count := seldom.due():
                    _log.warning("host_refused", count=count, hint=HOSTS_HINT)
                shown = authority[:HOST_SHOWN_CHARS].encode("ascii", "backslashreplace").decode()
                return web.Response(status=421, text=f"the status page does not answer to {shown!r}. {HOSTS_HINT}\n")
        return await handler(request)

    return named


def _unavailable(request: web.Request, error: DatabaseError) -> web.Response:
    if request.path.startswith("/api/"):
        return _json({"error": log.mask(str(error)), "hint": log.mask(error.hint)}, status=503)
    return _html(render("unavailable.html", error=log.mask(str(error)), hint=log.mask(error.hint)), status=503)


class _Routes:
    """The handlers of all routes."""

    def __init__(self, reader: StatusReader, is_alive: Callable[[], bool], mine: StatusReader) -> None:
        self._reader = reader
        self._mine = mine
        self._is_alive = is_alive
        self._totals = metrics.Totals(since=datetime.now(UTC))
        self._pages_of: Status | None = None
        self._pages: dict[Hashable, str] = {}

    async def index(self, request: web.Request) -> web.Response:
        """Show all streams, budgets and backfills."""
        status = await self._reader.status()
        choice = view.Choice.of(request.query)
        listing = view.listing(status, choice)
        pairs = [(stream.source, stream.stream) for group in listing.groups for stream in group.streams]
        days, day = await self._reader.stream_days(pairs), await self._reader.day()
        tone, headline = view.headline(status)

        def text() -> str:
            return render(
                "index.html", status_=status, choice=choice, listing=listing, days=days, day=day,
                totals=view.totals(day), tone=tone, headline=headline, announcement=view.announcement(status),
                problems=view.problems(status), problems_shown=view.PROBLEMS_SHOWN, states=view.STATES,
                heights=view.STRIP_HEIGHTS,
            )  # fmt: skip

        return _html(self._rendered(status, choice, text))

    async def stream(self, request: web.Request) -> web.Response:
        """Show one stream: how it stands, its last 24 hours, its newest runs."""
        pair = request.match_info["source"], request.match_info["stream"]
        status = await self._reader.status()
        found = status.stream(*pair)
        if found is None:
            return _html(render("missing.html", name=".".join(pair)), status=404)
        day = None
        if found.state not in ("off", "disabled"):
            day = (await self._reader.stream_days([pair])).get(pair)
        runs = await self._reader.runs(*pair, RUNS_SHOWN)
        mirrored = found.rows.alive if found.rows else None
        running = found.running

        def text() -> str:
            return render(
                "stream.html", status_=status, stream=found, runs=runs, day=day,
                totals=view.totals(day.slots) if day else {},
                ages=view.ages(day) if day else [],
                backfills=[one for one in status.backfills if (one.source, one.stream) == pair],
                progress=running and progress_of(
                    running, now=status.at, cursor=found.cursor, mirrored=mirrored if running.kind == "sweep" else None
                ),
            )  # fmt: skip

        return _html(self._rendered(status, pair, text))

    def _rendered(self, status: Status, asked: Hashable, text: Callable[[], str]) -> str:
        """Return a page, rendered once for each status."""
        if self._pages_of is not status or len(self._pages) > PAGES_KEPT:
            self._pages_of, self._pages = status, {}
        if asked not in self._pages:
            self._pages[asked] = text()
        return self._pages[asked]

    async def healthz(self, _request: web.Request) -> web.Response:
        """Answer 200 while the daemon works, even if the database or an upstream is down."""
        alive = self._is_alive()
        return web.Response(status=200 if alive else 503, text="ok\n" if alive else "the scheduler does not tick\n")

    async def readyz(self, _request: web.Request) -> web.Response:
        """Answer 200 if the database answers and is migrated, else 503 with the reason."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                standing = await migrations.find_standing(self._reader.database())
        except DatabaseError as error:
            return web.Response(status=503, text=f"{log.mask(str(error))}\n")
        except TimeoutError:
            return web.Response(status=503, text=f"the database did not answer within {READY_TIMEOUT_S:.0f} s\n")
        if not standing.admits:
            needs = f"newer than syncd, which knows {standing.newest}"
            if not standing.is_newer:
                needs = f"syncd needs {standing.newest}: syncd migrate"
            text = f"the database is at revision {standing.revision or 'none'}, {needs}\n"
            return web.Response(status=503, text=text)
        return web.Response(text="ok\n")

    async def freshz(self, request: web.Request) -> web.Response:
        """Answer 200 while every stream that is on is as fresh as it should be, else 503 with a line for each other.

        `?stream=SELECTOR`, as often as wanted, asks for some; `?max_age=30m` says what is late.
        """
        config, selectors = self._reader.config(), request.query.getall("stream", [])
        try:
            max_age_s = parse_duration(request.query["max_age"]) if "max_age" in request.query else None
            pairs = configuration.select(config, selectors)
        except (UsageError, ValueError) as error:
            return web.Response(status=400, text=f"{error}\n")
        try:
            status = await self._reader.status()
        except DatabaseError as error:
            return web.Response(status=503, text=f"{log.mask(str(error))}\n")
        if not pairs:
            return web.Response(status=503, text="no stream is on\n")
        wrong = troubles(status, config, pairs, max_age_s=max_age_s)
        lines = [trouble.words for trouble in wrong] or [
            f"{len(pairs)} stream{'' if len(pairs) == 1 else 's'}: all well"
        ]
        return web.Response(status=503 if wrong else 200, text="".join(f"{line}\n" for line in lines))

    async def metrics(self, _request: web.Request) -> web.Response:
        """Show the metrics in Prometheus' text format; without a database, show that it is down."""
        try:
            status = await self._mine.status()
            is_all = self._mine is self._reader
            await self._totals.update(self._reader.database(), of=None if is_all else self._mine.config().sources)
        except DatabaseError:
            status = None
        text = await metrics.text(status, self._totals, self._reader.config())
        return _packed(web.Response(body=text, headers={"Content-Type": metrics.CONTENT_TYPE}))

    async def api_status(self, _request: web.Request) -> web.Response:
        """Show the status as `syncd status --json` does."""
        return _json(await self._reader.status())


def _json(value: object, status: int = 200) -> web.Response:
    return _packed(web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json"))


def _html(text: str, status: int = 200) -> web.Response:
    return _packed(web.Response(text=text, status=status, content_type="text/html"))


def _packed(response: web.Response) -> web.Response:
    """Let a long answer be sent compressed to whoever takes that; nothing in it is a secret."""
    if (response.content_length or 0) >= PACKED_BYTES:
        response.headers["Vary"] = "Accept-Encoding"
        response.enable_compression()
    return response
