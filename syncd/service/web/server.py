"""The routes of the status page, and its life on a socket."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

from aiohttp import HttpVersion11, web
from aiohttp.typedefs import Middleware

from syncd import log
from syncd.config import Http
from syncd.errors import DatabaseError
from syncd.service.listeners import listener
from syncd.service.listeners.seldom import Seldom
from syncd.service.operations import Operations
from syncd.service.web import hosts
from syncd.service.web.answers import as_json
from syncd.service.web.desk import FORM_BYTES, Desk, Forms
from syncd.service.web.hosts import Hosts
from syncd.service.web.pages import Lines, Pages
from syncd.service.web.probes import Probes
from syncd.service.web.rendering import FOLDER
from syncd.status import StatusReader

SHUTDOWN_S: Final = 0.5
"""Open requests may take this long when the server closes."""
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
    http: Http,
    *,
    is_alive: Callable[[], bool] = lambda: True,
    operations: Operations | None = None,
    lines: Lines = lambda _run_id: (),
    mine: StatusReader | None = None,
) -> web.Application:
    """Build the application; it answers to the hosts that the configuration allows, at the root and below its path.

    `is_alive` says whether the daemon still works. Without `operations`, or without an operator's token, it only reads.
    `lines` gives the lines of the log of a run. `mine` reads the status of the accounts whose metrics are shown: not
    all, where many workers share them.
    """
    desk = Desk(http if operations else Http(), reader.clock)
    pages = Pages(reader, http.path, desk.visitor, lines)
    probes = Probes(reader, is_alive, mine or reader)
    guarded = _guarded(pages)
    app = web.Application(
        middlewares=[listener.timed, guarded, _named(hosts.of(http))], client_max_size=FORM_BYTES
    )  # fmt: skip
    app.on_response_prepare.append(_headed)
    for base in dict.fromkeys(("", http.path)):  # a proxy may pass the path on, or take it off
        add = app.router.add_get
        add(f"{base}/", pages.index)
        add(f"{base}/streams/{{source}}/{{stream}}", pages.stream)
        add(f"{base}/runs/{{run:[0-9]{{1,19}}}}", pages.run)
        add(f"{base}/healthz", probes.healthz)
        add(f"{base}/readyz", probes.readyz)
        add(f"{base}/freshz", probes.freshz)
        add(f"{base}/metrics", probes.metrics)
        add(f"{base}/api/status", probes.api_status)
        app.router.add_static(f"{base}/static", FOLDER / "static")
        if operations and desk.is_open:
            _add_forms(app, base, Forms(desk, pages, operations, http.path), pages)
    if http.path:
        app.router.add_get(http.path, _with_slash)
    return app


def _add_forms(app: web.Application, base: str, forms: Forms, pages: Pages) -> None:
    async def show(request: web.Request) -> web.StreamResponse:
        return pages.sign_in(request)

    app.router.add_get(f"{base}/operator", show)
    app.router.add_post(f"{base}/operator", forms.sign_in)
    app.router.add_post(f"{base}/operator/out", forms.sign_out)
    app.router.add_post(f"{base}/operator/act", forms.act)


async def _with_slash(request: web.Request) -> web.StreamResponse:
    return web.Response(status=308, headers={"Location": f"{request.path}/"})


@contextlib.asynccontextmanager
async def serving(
    reader: StatusReader,
    http: Http | None,
    *,
    is_alive: Callable[[], bool] = lambda: True,
    operations: Operations | None = None,
    lines: Lines = lambda _run_id: (),
    mine: StatusReader | None = None,
) -> AsyncIterator[str | None]:
    """Serve the application until the block ends; yield its address. Raises ConfigError if the port is not free.

    `http` None serves nothing: `http.listen = "off"`.
    """
    if http is None:
        yield None
        return
    app = application(reader, http, is_alive=is_alive, operations=operations, lines=lines, mine=mine)
    runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN_S)
    async with listener.listening(runner, http, option="http.listen", headers=HEADERS) as place:
        yield f"http://{place}/"


async def _headed(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers to an answer, whoever made it."""
    response.headers.update(HEADERS)
    if "/static/" in request.path and response.status < 400:
        response.headers["Cache-Control"] = STATIC_CACHE


def _guarded(pages: Pages) -> Middleware:
    """Return what answers 503 with an explanation while the database is down."""

    @web.middleware
    async def guarded(request: web.Request, handler: _Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except DatabaseError as error:
            if "/api/" in request.path:
                return as_json({"error": log.mask(str(error)), "hint": log.mask(error.hint)}, status=503)
            return pages.unavailable(request, error)
        except web.HTTPException:
            raise
        except Exception:  # noqa: BLE001  a bug of ours: no traceback reaches the reader
            _log.exception("page_failed", path=request.path)
            return web.Response(status=500, text="syncd could not answer because of a defect. See its log.\n")

    return guarded


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
