"""Receives callbacks: a separate listener that accepts one kind of request and answers before any work begins.

Owns who is let in and what is refused. A callback is a hint: what it names goes to `hear`, all else in it is dropped.
Of webhooks, which are signed, `deliveries` says what becomes.
Serves no page, and says nothing to those who do not know an address.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from syncd import log
from syncd.config import Config, Http
from syncd.contract import Callbacks, Source, Webhooks
from syncd.errors import BadPayload, DatabaseError
from syncd.log import counters
from syncd.records.rows import Key
from syncd.service.callbacks import registration
from syncd.service.callbacks.deliveries import Deliveries
from syncd.service.callbacks.refusal import RefusedError
from syncd.service.callbacks.signature import secret_of
from syncd.service.callbacks.throttle import Bucket
from syncd.service.listeners import listener
from syncd.storage.postgres.database import Database
from syncd.storage.state import webhooks as taken

BODY_MAX_BYTES: Final = 4096
"""Largest body accepted; the documented body of Cyclis has 130 bytes."""
BODY_TIMEOUT_S: Final = 5.0
PER_MINUTE, BURST = 120, 60
"""Limit of callbacks accepted from one source; confirming a list of orders sends a burst of them."""
WEBHOOK_BODY_MAX_BYTES: Final = 1_048_576
"""Largest body of a webhook accepted: they hold whole orders; our choice, five thousand lines of one."""
WEBHOOKS_PER_MINUTE, WEBHOOK_BURST = 3_000, 2_000
"""Limit of webhooks from one source: one refused may be lost, so this is far above what a chain of shops does."""
LOOK_S: Final = 2.0
"""An unknown address may have been registered just now: the database is asked for it at most this often."""
NOTE_S: Final = 1.0
"""The last callback of each address is stored at most this often."""
FRESH_S: Final = 30.0
"""Known addresses are read again after this time, so that a cleared address soon stops working."""
TOLD_S: Final = 3600.0
"""Each reason for a refusal is logged at most this often."""
SHUTDOWN_S: Final = 0.5
CONTENT_TYPES: Final = frozenset({"application/json", "application/vnd.api+json"})

Hear = Callable[[tuple[str, str], Key | None], str]
Push = Callable[[tuple[str, str], Sequence[bytes]], Awaitable[None]]
Values = Callable[[tuple[str, str], str], Awaitable[list[Any]]]
_log = log.get(__name__)


class Receiver:
    """The listener's state: known addresses, how many callbacks each source may still send, what is to be stored."""

    def __init__(
        self,
        registry: Mapping[str, Source],
        *,
        config: Callable[[], Config],
        database: Callable[[], Database],
        hear: Hear,
        push: Push,
        values: Values,
        clock: Callable[[], datetime],
    ) -> None:
        self._registry = registry
        self._config, self._database = config, database
        self._hear, self._clock = hear, clock
        self._deliveries = Deliveries(hear=hear, push=push, values=values, database=database, clock=clock)
        self._digests: dict[str, list[bytes]] | None = None
        self._looked_at = float("-inf")
        self._buckets: dict[str, Bucket] = {}
        self._told_at: dict[tuple[str, str], float] = {}
        self._untold: Counter[tuple[str, str]] = Counter()
        self._heard: dict[tuple[str, bytes], tuple[str, datetime]] = {}
        self._counted: Counter[tuple[str, str]] = Counter()
        self._noting: asyncio.Task[None] | None = None

    def application(self) -> web.Application:
        """Build the application: one handler serves every path."""
        app = web.Application(middlewares=[listener.timed])
        app.router.add_route("*", "/{rest:.*}", self.answer)
        app.on_cleanup.append(self._end)
        return app

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request: 404 for an unknown address, before anything else about the request is checked."""
        response = await self._answered(request)
        response.force_close()  # a proxy that keeps connections would lose a call on one that closes just then
        return response

    async def _answered(self, request: web.Request) -> web.Response:
        source, digest = await self._known(request.path, request.headers.get("Authorization", ""))
        if digest is None:
            counters.callbacks["", "unknown address"] += 1
            return web.Response(
                status=HTTPStatus.SERVICE_UNAVAILABLE if self._digests is None else HTTPStatus.NOT_FOUND
            )
        try:
            became, status = await self._taken(source, request)
            response = web.Response(status=status)
        except BadPayload:
            became, response = self._refuse(source, RefusedError(HTTPStatus.BAD_REQUEST, "wrong form"))
        except (ConnectionError, web.RequestPayloadError):
            became, response = self._refuse(source, RefusedError(HTTPStatus.BAD_REQUEST, "cut short"))
        except RefusedError as refused:
            became, response = self._refuse(source, refused)
        except DatabaseError:
            became, response = self._refuse(source, RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "no database"))
        except Exception:  # noqa: BLE001  a bug of ours: no traceback reaches the caller
            _log.exception("callback_crashed", source=source)
            return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)
        counters.callbacks[source, became] += 1
        self._note(source, digest, became)
        return response

    # --- Who is let in

    async def _known(self, path: str, authorization: str) -> tuple[str, bytes | None]:
        """Return the source of an address and its digest; None for an unknown address.

        The secret is the end of the path, or a password where the path has none.
        A wrong one costs as much as a right one, and at most one look into the database every LOOK_S.
        """
        source, _, secret = path.removeprefix(registration.PREFIX).partition("/")
        secret = secret or registration.secret_in(authorization)
        for rest_s in (FRESH_S, LOOK_S):
            await self._look(rest_s)
            is_on = path.startswith(registration.PREFIX) and source in sources(self._config(), self._registry)
            known = self._addresses(source) if is_on else []
            if digest := registration.matches(secret, known):
                return source, digest
        return source, None

    async def _look(self, rest_s: float) -> None:
        if time.monotonic() - self._looked_at < rest_s:
            return
        self._looked_at = time.monotonic()
        with contextlib.suppress(DatabaseError):  # what is known stays known
            self._digests = await registration.read_digests(self._database())

    def _addresses(self, source: str) -> list[bytes]:
        """Return the digests of the addresses of a source that listens."""
        if self._webhooks(source):
            secret = secret_of(self._config().sources[source])
            return [registration.digest_of(registration.place_of(secret, source))]
        return (self._digests or {}).get(source, [])

    def _callbacks(self, source: str) -> Callbacks:
        callbacks = self._registry[self._config().sources[source].type].callbacks
        if callbacks is None:
            raise AssertionError(f"{source} takes the option `callbacks` without having any")
        return callbacks

    def _webhooks(self, source: str) -> Webhooks | None:
        return self._registry[self._config().sources[source].type].webhooks

    # --- What is let in

    async def _taken(self, source: str, request: web.Request) -> tuple[str, HTTPStatus]:
        """Accept a call; return what will happen with it, and the status that says so."""
        body = await self._body(source, request)
        if webhooks := self._webhooks(source):
            settings = self._config().sources[source]
            became = await self._deliveries.take(settings, webhooks, lambda name: request.headers.get(name, ""), body)
            return became, HTTPStatus.OK
        callbacks = self._callbacks(source)
        key = callbacks.named(body)
        became = "ignored" if key is None else self._hear((source, callbacks.stream), key)
        return became, HTTPStatus.NO_CONTENT

    async def _body(self, source: str, request: web.Request) -> bytes:
        """Read the body of a request; only the documented form is accepted."""
        if request.method != "POST":
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "wrong method")
        is_webhook = self._webhooks(source) is not None
        size, per_minute = (WEBHOOK_BURST, WEBHOOKS_PER_MINUTE) if is_webhook else (BURST, PER_MINUTE)
        most = WEBHOOK_BODY_MAX_BYTES if is_webhook else BODY_MAX_BYTES
        bucket = self._buckets.setdefault(source, Bucket(size, per_minute / 60))
        if not bucket.take(1, time.monotonic()):
            raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, "too many")
        is_form = is_webhook or request.content_type in CONTENT_TYPES
        if not is_form or request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "wrong content type")
        if (request.content_length or 0) > most:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too large")
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > most:
                        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too large")
        except TimeoutError:
            raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, "too slow") from None
        return bytes(body)

    def _refuse(self, source: str, refused: RefusedError) -> tuple[str, web.Response]:
        """Return the result and the response for a callback that is refused; log refusals now and then."""
        kind, now = (source, refused.reason), time.monotonic()
        self._untold[kind] += 1
        if now - self._told_at.get(kind, -TOLD_S) >= TOLD_S:
            self._told_at[kind] = now
            _log.warning("callback_refused", source=source, reason=refused.reason, count=self._untold.pop(kind))
        return f"refused: {refused.reason}", web.Response(status=refused.status)

    # --- What is kept

    def _note(self, source: str, digest: bytes, became: str) -> None:
        self._heard[source, digest] = became, self._clock()
        self._counted[source, became] += 1
        if self._noting is None or self._noting.done():
            self._noting = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Store the last callback of each address, then pause; a failure to store is ignored."""
        while self._heard:
            heard, self._heard = self._heard, {}
            counted, self._counted = self._counted, Counter()
            with contextlib.suppress(DatabaseError):
                for (source, digest), (became, at) in heard.items():
                    await registration.note_heard(self._database(), source, digest, became, at=at)
                await taken.add_counts(self._database(), counted, at=self._clock())
            await asyncio.sleep(NOTE_S)

    async def _end(self, _app: web.Application) -> None:
        if self._noting:
            self._noting.cancel()
            await asyncio.gather(self._noting, return_exceptions=True)


def sources(config: Config, registry: Mapping[str, Source]) -> list[str]:
    """Return the sources that accept callbacks or webhooks; the latter only with a secret to check them by."""
    return [
        source.name
        for source in config.sources.values()
        if source.options.get("callbacks") and (registry[source.type].callbacks or secret_of(source))
    ]


@contextlib.asynccontextmanager
async def listening(receiver: Receiver, http: Http | None) -> AsyncIterator[str | None]:
    """Listen until the block ends; yield host and port. Raises ConfigError if the port is not free. None: do not."""
    if http is None:
        yield None
        return
    runner = web.AppRunner(receiver.application(), shutdown_timeout=SHUTDOWN_S)
    async with listener.listening(
        runner, http, option="http.callback_listen", headers={}, auto_decompress=False
    ) as place:
        yield place
