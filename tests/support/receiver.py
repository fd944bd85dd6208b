"""Whoever is told: a web server that takes the messages of Apprise's json:// and the calls of a heartbeat."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Receiver:
    """What arrived; `status` is what is answered from now on."""

    url: str = ""
    status: int = 200
    messages: list[dict[str, Any]] = field(default_factory=list)
    beats: int = 0

    @property
    def notify_url(self) -> str:
        return f"json://{self.url}/hook/token1234567890"

    @property
    def heartbeat_url(self) -> str:
        return f"http://{self.url}/beat/uuid-1234-5678-90"

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]

    async def hook(self, request: web.Request) -> web.Response:
        if self.status == 200:
            self.messages.append(await request.json())
        return web.Response(status=self.status)

    async def beat(self, _request: web.Request) -> web.Response:
        self.beats += 1
        return web.Response(status=self.status)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook/token1234567890", receiver.hook)
    app.router.add_get("/beat/uuid-1234-5678-90", receiver.beat)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()
