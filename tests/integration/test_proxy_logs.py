"""The secret of callbacks and the logs of real proxies, configured as the page says, on everything that goes wrong."""

import asyncio
import base64
import contextlib
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.proxies import logged, recipe, running
from tests.support.wire import exchange, status_of

SECRET = "q3ZkT0xVbW5vcHFyc3R1dnd4eXphYmNkZWZnaGlqa2w"
PATH = f"/callbacks/lease/{SECRET}"
BASIC = base64.b64encode(f"syncd:{SECRET}".encode()).decode()

PROGRAMS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            shutil.which(name) is None, reason=f"{name} is not installed (apt-get install {name})"
        ),
    )
    for name in ("nginx", "caddy")
]


class Backend:
    """Stands for syncd: answers 204, or what it is told to."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.heads: list[str] = []
        self.answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
            writer.write(self.answer)
            await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
        try:
            yield
        finally:
            server.close()


def call(path: str = PATH, *, headers: str = "", body: bytes = b"{}", method: str = "POST") -> bytes:
    lines = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}"
    return f"{lines}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def trouble(url: str, backend: Backend, *, path: str = PATH, headers: str = "") -> dict[str, set[int | None]]:
    """Do all that makes a proxy write into its logs; return the statuses that came."""

    async def statuses(*requests: bytes) -> set[int | None]:
        return {status_of(answer) for answer in await asyncio.gather(*(exchange(url, one) for one in requests))}

    good = call(path, headers=headers)
    seen = {"away": await statuses(good)}
    async with backend.living():
        seen["good"] = await statuses(good)
        seen["large"] = await statuses(call(path, headers=headers, body=b"x" * 50_000))
        seen["malformed"] = await statuses(
            good.replace(b"Content-Type", b"Content Type"), good[:-12] + b"\x00\xff\r\n\r\n"
        )
        seen["near"] = await statuses(
            call(path.replace("/callbacks/", "/callback/"), headers=headers), call(f"/{path}")
        )
        seen["long"] = await statuses(call(path + "x" * 40_000, headers=headers))
        seen["head"] = await statuses(call(path, headers=headers, method="HEAD", body=b""))
        backend.answer = b"nonsense\r\n\r\n"
        seen["nonsense"] = await statuses(good)
        backend.answer = b""
        seen["cut"] = await statuses(good)
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(call(path, headers=headers)[:-1])  # and gone before the body is whole
        writer.close()
        await writer.wait_closed()
        seen["flood"] = await statuses(*[good] * 150)
    seen["away again"] = await statuses(good)
    return seen


@pytest.mark.parametrize("program", PROGRAMS)
async def test_the_lines_of_the_page_keep_the_secret_out_of_every_log(program: str, tmp_path: Path) -> None:
    backend = Backend(free_port())
    async with running(program, recipe(program), tmp_path / "proxy", backend.port) as port:
        seen = await trouble(f"http://127.0.0.1:{port}", backend)
    assert seen["good"] == {204}
    assert seen["away"] == {502}
    assert seen["cut"] == {502}
    assert seen["large"] & ({413} if program == "nginx" else {204, 413, 502, None})
    assert 404 in seen["near"]
    if program == "nginx":
        assert 503 in seen["flood"]  # over the rate
    assert any(PATH in head for head in backend.heads)
    text = logged(tmp_path / "proxy")
    assert SECRET not in text
    if program == "caddy":
        assert text.count("connection refused") >= 2  # the errors themselves are told


@pytest.mark.parametrize("program", PROGRAMS)
async def test_without_those_lines_the_path_is_logged_and_a_password_is_not(program: str, tmp_path: Path) -> None:
    lines = recipe(program)
    bare = re.sub(r"^ *(access|error)_log .*\n", "", lines, flags=re.MULTILINE)
    bare = bare[bare.index("sync.example.com") :] if program == "caddy" else bare
    assert bare != lines
    backend = Backend(free_port())
    async with running(program, bare, tmp_path / "path", backend.port) as port:
        await trouble(f"http://127.0.0.1:{port}", backend)
    assert SECRET in logged(tmp_path / "path")  # so that the other tests can fail
    backend = Backend(free_port())
    async with running(program, bare, tmp_path / "password", backend.port) as port:
        headers = f"Authorization: Basic {BASIC}\r\n"
        seen = await trouble(f"http://127.0.0.1:{port}", backend, path="/callbacks/lease", headers=headers)
    assert seen["good"] == {204}
    assert any(BASIC in head for head in backend.heads)  # it reaches syncd
    text = logged(tmp_path / "password")
    assert "/callbacks/lease" in text
    assert SECRET not in text
    assert BASIC not in text
