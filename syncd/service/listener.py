"""Listening on a port of this machine, for the status page and for callbacks."""

import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from syncd.config.model import Http
from syncd.errors import ConfigError


@contextlib.asynccontextmanager
async def listening(runner: web.AppRunner, http: Http, *, option: str) -> AsyncIterator[str]:
    """Serve until the block ends; yield host and port. Raises ConfigError, with the option, if the port is not free."""
    await runner.setup()
    try:
        host = f"[{http.host}]" if ":" in http.host else http.host
        try:
            await web.TCPSite(runner, http.host, http.port).start()
        except OSError as error:
            raise ConfigError(
                f"{option}: cannot listen on {host}:{http.port}: {error.strerror or error}",
                hint=f'Is another syncd running? Choose another port, or {option} = "off".',
            ) from None
        port: int = runner.addresses[0][1]
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()
