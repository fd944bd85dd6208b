"""Listening on a port of this machine, for the status page and for callbacks, whoever connects.

Owns the life of connections: how many there are, how long each may wait, work and rest, and what is told of those that
talk nonsense. What a request is answered belongs to the applications. No byte of a request gets into the log.
"""

import asyncio
import contextlib
import errno
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from aiohttp import web

from syncd import log
from syncd.config.model import Http
from syncd.errors import ConfigError
from syncd.service.listeners.seldom import Seldom
from syncd.service.listeners.visitors import Places, makes_room, network_of

HEADER_S: Final = 10.0
"""The first request of a connection must have arrived, up to the end of its headers, within this."""
ANSWER_S: Final = 60.0
"""A request must have been read and its answer made within this."""
REST_S: Final = 30.0
"""Then what is left of the answer must be taken, and the headers of a next request arrive, within this."""
LINGER_S: Final = 1.0
"""The rest of a body that nobody reads is waited for this long."""
ACCEPT_AGAIN_S: Final = 0.2
"""Rest after a connection could not be accepted, because descriptors or memory ran out."""
BACKLOG: Final = 128
FULL: Final[Mapping[str, str]] = {"Content-Length": "0", "Retry-After": "5", "Connection": "close"}
DESCRIPTORS_MAX: Final = 65_536
"""The limit of descriptors is raised to this at most: some programs that are started try to close every one."""

_log = log.get(__name__)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Connection(web.RequestHandler):
    """One connection: closed when its time is up, and silent about what it could not understand."""

    def __init__(self, house: "_Listener", peer: str, **options: Any) -> None:
        options |= {"access_log": None, "keepalive_timeout": REST_S, "lingering_time": LINGER_S}
        super().__init__(house.server, **options)
        self.peer = peer
        self._house = house
        self._deadline: asyncio.TimerHandle | None = None
        self._is_answering = False

    @property
    def is_waiting(self) -> bool:
        """Whether it has no request under way, and nothing left to send."""
        return not self._is_answering and not self._unsent_bytes()

    def _unsent_bytes(self) -> int:
        return self.transport.get_write_buffer_size() if isinstance(self.transport, asyncio.WriteTransport) else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.give(HEADER_S)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._deadline:
            self._deadline.cancel()
        self._house.visitors.pop(self, None)
        super().connection_lost(exc)

    def give(self, seconds: float) -> None:
        """Close this connection after so many seconds from now, unless it is given others."""
        if self._deadline:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.end)

    def end(self) -> None:
        """Close this connection at once, whatever is still to be sent."""
        if self._unsent_bytes() and isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()
        self.force_close()

    def begin_answer(self) -> None:
        """Give the request that has arrived its time."""
        self._is_answering = True
        self.give(ANSWER_S)

    def end_answer(self) -> None:
        """Give what is left of the answer, and the next request, their time."""
        self._is_answering = False
        self.give(REST_S)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what could not be understood, or what broke while it was answered, without repeating any of it."""
        self._house.tell_of(status, exc)
        if request.writer.output_size > 0:
            raise ConnectionError("part of an answer was sent already")
        text = (
            "the request could not be understood\n"
            if status < 500
            else "syncd could not answer because of a defect. See its log.\n"
        )
        response = web.Response(status=status, text=text, headers=self._house.headers)
        response.force_close()
        return response

    def log_exception(self, *_args: Any, **_kwargs: Any) -> None:
        """Drop what aiohttp would log: its texts hold bytes of the request; `handle_error` has told what can be."""


@web.middleware
async def timed(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Give a request its time; the first middleware of every application that is listened for."""
    connection = request.protocol
    if not isinstance(connection, _Connection):
        return await handler(request)
    connection.begin_answer()
    try:
        return await handler(request)
    finally:
        connection.end_answer()


class _Listener:
    """One port: its connections, and what was not told of them yet."""

    def __init__(
        self, name: str, runner: web.AppRunner, places: Places, headers: Mapping[str, str], options: Mapping[str, Any]
    ) -> None:
        assert runner.server is not None  # noqa: S101 - it was set up
        self.server, self.headers = runner.server, headers
        self.visitors: dict[_Connection, None] = {}
        self._name, self._places, self._options = name, places, options
        lines = "".join(f"{key}: {value}\r\n" for key, value in {**FULL, **headers}.items())
        self._turned_away = f"HTTP/1.1 503 Service Unavailable\r\n{lines}\r\n".encode()
        self._malformed, self._broken, self._full, self._short = Seldom(), Seldom(), Seldom(), Seldom()

    async def accept(self, listening: socket.socket) -> None:
        """Accept connections for ever."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listening)
            except OSError as error:  # out of descriptors or memory, or the other side was gone again
                if count := self._short.due():
                    _log.warning("connection_not_accepted", listener=self._name, error=error.strerror, count=count)
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            await self._let_in(accepted, network_of(address[0]))
            await asyncio.sleep(0)  # a flood of connections does not keep everybody else waiting

    async def _let_in(self, accepted: socket.socket, peer: str) -> None:
        """Give a connection a place, by closing one that waits if need be, or turn it away."""
        room = makes_room(self._places, list(self.visitors), peer)
        if room is not True and (count := self._full.due()):
            _log.warning("listener_full", listener=self._name, connections=len(self.visitors), count=count)
        if room is False:
            with contextlib.suppress(OSError):
                accepted.send(self._turned_away)
            accepted.close()
            return
        if isinstance(room, _Connection):
            self.visitors.pop(room, None)
            room.end()
        loop = asyncio.get_running_loop()
        connection = _Connection(self, peer, loop=loop, **self._options)
        self.visitors[connection] = None
        try:
            await loop.connect_accepted_socket(lambda: connection, accepted)
        except OSError:
            self.visitors.pop(connection, None)
            accepted.close()

    def tell_of(self, status: int, error: BaseException | None) -> None:
        """Log a request that could not be understood (400), or answered (500), without any of its bytes."""
        if status < 500:
            if count := self._malformed.due():
                _log.warning("request_malformed", listener=self._name, error=type(error).__name__, count=count)
        elif count := self._broken.due():
            _log.error("answer_failed", listener=self._name, error=type(error).__name__, count=count)


PORT_LOOK_S: Final = 2.0
"""How often a port that is taken is tried again."""


class PortTaken(ConfigError):
    """The port is another program's, or the address is not there yet, at the moment."""


@contextlib.asynccontextmanager
async def when_free(
    listen: Callable[[], AbstractAsyncContextManager[str | None]],
    *,
    taken: Callable[[PortTaken], None],
    opened: Callable[[str | None], None],
) -> AsyncIterator[str | None]:
    """Listen now or, while another program has the port, as soon as it is free; yield the address if it is open now.

    `taken` and `opened` hear of a port that was taken at first.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            address = await stack.enter_async_context(listen())
        except PortTaken as error:
            taken(error)
        else:
            yield address
            return
        waiting = asyncio.create_task(_listen_later(stack, listen, opened))
        try:
            yield None
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)


async def _listen_later(
    stack: contextlib.AsyncExitStack,
    listen: Callable[[], AbstractAsyncContextManager[str | None]],
    opened: Callable[[str | None], None],
) -> None:
    while True:
        await asyncio.sleep(PORT_LOOK_S)
        with contextlib.suppress(PortTaken):
            opened(await stack.enter_async_context(listen()))
            return


@contextlib.asynccontextmanager
async def listening(
    runner: web.AppRunner, http: Http, *, option: str, headers: Mapping[str, str], **options: Any
) -> AsyncIterator[str]:
    """Serve until the block ends; yield host and port. Raises ConfigError, with the option, if the port is not free.

    `headers` go into answers to what was no request; `options` are those of aiohttp's RequestHandler.
    """
    await runner.setup()
    accepting: list[asyncio.Task[None]] = []
    sockets: list[socket.socket] = []
    try:
        host = f"[{http.host}]" if ":" in http.host else http.host
        try:
            sockets += await _bound(http)
        except OSError as error:
            kind = PortTaken if error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL) else ConfigError
            raise kind(
                f"{option}: cannot listen on {host}:{http.port}: {error.strerror or error}",
                hint=f'Is another syncd running? Choose another port, or {option} = "off".',
            ) from None
        listener = _Listener(option, runner, Places.within(descriptors()), headers, options)
        accepting += [asyncio.create_task(listener.accept(one)) for one in sockets]
        yield f"{host}:{sockets[0].getsockname()[1]}"
    finally:
        for task in accepting:
            task.cancel()
        await asyncio.gather(*accepting, return_exceptions=True)
        for one in sockets:
            one.close()
        await runner.cleanup()


async def _bound(http: Http) -> list[socket.socket]:
    """Return a listening socket for each address of the host. Raises OSError if one is not free."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(http.host, http.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            one = socket.socket(family, kind, protocol)
            sockets.append(one)
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
            one.listen(BACKLOG)
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets


def descriptors() -> int:
    """Return how many descriptors this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return DESCRIPTORS_MAX if soft == resource.RLIM_INFINITY else soft


def raise_descriptors() -> None:
    """Let this process open as many descriptors as it may allow itself, up to DESCRIPTORS_MAX."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
