"""The routes of the status page, and its life on a socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
import msgspec
from aiohttp import web

from syncd import database, log
from syncd.config import Http
from syncd.duration import spoken
from syncd.errors import ConfigError, DatabaseError
from syncd.status import RunStatus, StatusReader, syncd_version
from syncd.web import metrics

FOLDER: Final = Path(__file__).parent
RUNS_SHOWN: Final = 50
READY_TIMEOUT_S: Final = 5.0
"""A database that has not answered within this is not ready."""
SHUTDOWN_S: Final = 0.5
"""Answers under way may take this long when the page is closed."""
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_log = log.get(__name__)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(reader: StatusReader, *, is_alive: Callable[[], bool] = lambda: True) -> web.Application:
    """Build the application; `is_alive` says whether the process behind it still does its work."""
    app = web.Application(middlewares=[_guarded])
    routes = _Routes(reader, is_alive)
    app.router.add_get("/", routes.index)
    app.router.add_get("/streams/{source}/{stream}", routes.stream)
    app.router.add_get("/healthz", routes.healthz)
    app.router.add_get("/readyz", routes.readyz)
    app.router.add_get("/metrics", routes.metrics)
    app.router.add_get("/api/status", routes.api_status)
    app.router.add_static("/static", FOLDER / "static")
    return app


@contextlib.asynccontextmanager
async def serving(
    reader: StatusReader, http: Http | None, *, is_alive: Callable[[], bool] = lambda: True
) -> AsyncIterator[str | None]:
    """Serve the application until the block ends; yield its address. Raises ConfigError if the port is not free.

    `http` None serves nothing: `http.listen = "off"`.
    """
    if http is None:
        yield None
        return
    runner = web.AppRunner(application(reader, is_alive=is_alive), access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        host = f"[{http.host}]" if ":" in http.host else http.host
        try:
            await web.TCPSite(runner, http.host, http.port).start()
        except OSError as error:
            raise ConfigError(
                f"http.listen: cannot listen on {host}:{http.port}: {error.strerror or error}",
                hint='Is another syncd running? Choose another port, or http.listen = "off".',
            ) from None
        port: int = runner.addresses[0][1]
        yield f"http://{host}:{port}/"
    finally:
        await runner.cleanup()


@web.middleware
async def _guarded(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Add the headers to every answer, and answer 503 in words while the database is away."""
    try:
        response = await handler(request)
    except DatabaseError as error:
        response = _unavailable(request, error)
    except web.HTTPException as error:
        error.headers.update(HEADERS)
        raise
    except Exception:  # noqa: BLE001  a bug of ours: no traceback reaches the reader
        _log.exception("page_failed", path=request.path)
        response = web.Response(status=500, text="internal error: see the log of syncd\n")
    response.headers.update(HEADERS)
    return response


def _unavailable(request: web.Request, error: DatabaseError) -> web.Response:
    if request.path.startswith("/api/"):
        return _json({"error": log.mask(str(error)), "hint": log.mask(error.hint)}, status=503)
    return _page("unavailable.html", status=503, error=log.mask(str(error)), hint=log.mask(error.hint))


class _Routes:
    """The handlers."""

    def __init__(self, reader: StatusReader, is_alive: Callable[[], bool]) -> None:
        self._reader = reader
        self._is_alive = is_alive
        self._totals = metrics.Totals(since=datetime.now(UTC))

    async def index(self, _request: web.Request) -> web.Response:
        """Show all streams, budgets and backfills."""
        return _page("index.html", status_=await self._reader.status())

    async def stream(self, request: web.Request) -> web.Response:
        """Show one stream and its newest runs."""
        source, name = request.match_info["source"], request.match_info["stream"]
        status = await self._reader.status()
        found = status.stream(source, name)
        if found is None:
            return _page("missing.html", status=404, name=f"{source}.{name}")
        runs = await self._reader.runs(source, name, RUNS_SHOWN)
        return _page("stream.html", status_=status, stream=found, runs=runs)

    async def healthz(self, _request: web.Request) -> web.Response:
        """Answer 200 while the process does its work, whatever the database or the upstreams do."""
        alive = self._is_alive()
        return web.Response(status=200 if alive else 503, text="ok\n" if alive else "the scheduler does not tick\n")

    async def readyz(self, _request: web.Request) -> web.Response:
        """Answer 200 if the database answers and is migrated, else 503 with the reason."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                found = await database.revision(self._reader.database())
        except DatabaseError as error:
            return web.Response(status=503, text=f"{log.mask(str(error))}\n")
        except TimeoutError:
            return web.Response(status=503, text=f"the database did not answer within {READY_TIMEOUT_S:.0f} s\n")
        if found != _needed_revision():
            text = f"the database is at revision {found or 'none'}, syncd needs {_needed_revision()}: syncd migrate\n"
            return web.Response(status=503, text=text)
        return web.Response(text="ok\n")

    async def metrics(self, _request: web.Request) -> web.Response:
        """Show the metrics in Prometheus' text format; without a database, that it is away."""
        try:
            status = await self._reader.status()
            await self._totals.update(self._reader.database())
        except DatabaseError:
            status = None
        return web.Response(body=metrics.text(status, self._totals), headers={"Content-Type": metrics.CONTENT_TYPE})

    async def api_status(self, _request: web.Request) -> web.Response:
        """Show the status as `syncd status --json` does."""
        return _json(await self._reader.status())


@cache
def _needed_revision() -> str:
    return database.newest_revision()


# --- Rendering --------------------------------------------------------------------------------------------------------


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


@cache
def _templates() -> jinja2.Environment:
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {"number": _number, "stamp": _stamp, "spoken": spoken, "duration": _duration, "changes": _changes}
    env.globals["version"] = syncd_version()
    return env


def _page(template: str, *, status: int = 200, **values: Any) -> web.Response:
    text = _templates().get_template(template).render(now=datetime.now(UTC), **values)
    return web.Response(text=text, status=status, content_type="text/html")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,}"


def _stamp(value: datetime | None) -> str:
    return "–" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _duration(run: RunStatus) -> str:
    if run.finished_at is None:
        return "under way"
    return spoken(max(0.0, round((run.finished_at - run.started_at).total_seconds(), 1)))


def _changes(run: RunStatus) -> str:
    """Say in words what a run changed."""
    counts = {
        "new": run.rows_inserted,
        "changed": run.rows_updated,
        "deleted": run.rows_deleted,
        "rejected": run.rows_rejected,
    }
    return ", ".join(f"{count:,} {word}" for word, count in counts.items() if count) or "no change"
