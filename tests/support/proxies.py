"""nginx and Caddy as processes of a test: the lines of the documentation, on loopback, all logs in one folder."""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from textwrap import dedent

from tests.support.daemon import until
from tests.support.ports import free_port

PAGE = Path(__file__).parents[2] / "docs" / "callbacks.md"


def recipe(program: str) -> str:
    """Return what the page tells to write into the configuration of nginx or Caddy."""
    blocks = [
        dedent(block) for block in re.findall(r"^ *```\w*\n(.*?)^ *```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    ]
    mark = {"nginx": "proxy_pass", "caddy": "reverse_proxy"}[program]
    (found,) = [block for block in blocks if mark in block]
    return found


def _replaced(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text, (old, text)
        text = text.replace(old, new)
    return text


def nginx_files(folder: Path, lines: str, port: int, backend: int) -> list[str]:
    """Write a configuration whose logs are as Debian sets them; return the command."""
    server = _replaced(
        lines, ("listen 443 ssl;", f"listen 127.0.0.1:{port};"), ("127.0.0.1:8789", f"127.0.0.1:{backend}")
    )
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/bodies;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log {folder}/access.log;\n{temporary}\n{server}\n}}\n"
    )
    return ["nginx", "-p", str(folder), "-c", str(path), "-e", f"{folder}/start.log"]


def caddy_files(folder: Path, lines: str, port: int, backend: int) -> list[str]:
    """Write a configuration that speaks plain HTTP and has no second port; return the command."""
    site = _replaced(
        lines, ("sync.example.com", f"http://127.0.0.1:{port}"), ("127.0.0.1:8789", f"127.0.0.1:{backend}")
    )
    site = (
        site.replace("{\n", "{\nadmin off\nauto_https off\n", 1)
        if site.startswith("{")
        else f"{{\nadmin off\n}}\n{site}"
    )
    (folder / "Caddyfile").write_text(site)
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


def files(program: str, lines: str, folder: Path, port: int, backend: int) -> tuple[list[str], Path]:
    """Write what the program needs into a new folder; return its command and where its output goes."""
    folder.mkdir()
    command = {"nginx": nginx_files, "caddy": caddy_files}[program](folder, lines, port, backend)
    return command, folder / "output.log"


@contextlib.asynccontextmanager
async def running(program: str, lines: str, folder: Path, backend: int) -> AsyncIterator[int]:
    """Let the program live with these lines, before a server on the port `backend`; yield its own port."""
    port = free_port()
    command, output_path = files(program, lines, folder, port, backend)
    with output_path.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=output, stderr=output, env={"PATH": os.environ["PATH"], "HOME": str(folder)}
        )

    async def listens() -> bool:
        assert process.returncode is None, output_path.read_text()
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.transport.abort()
            return True
        return False

    try:
        await until(listens)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), 20)


def logged(folder: Path) -> str:
    """Return all that was written into the folder but the configuration."""
    skipped = ("nginx.conf", "Caddyfile")
    return "".join(
        path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file() and path.name not in skipped
    )
