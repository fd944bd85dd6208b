"""A command on a terminal of its own, as a person sits before it: what it shows, and what is typed."""

import asyncio
import os
import pty
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.command import LONGEST_S

# the terminal that is stdin becomes the one that a password is asked for on
_BEGIN = (
    "import fcntl, os, signal, sys, termios;"
    "signal.signal(signal.SIGINT, signal.SIG_DFL);"  # a shell's background job is started deaf to Ctrl-C
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.executable, [sys.executable, '-m', 'syncd', *sys.argv[1:]])"
)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>()][A-Za-z0-9]?|\r")


class Terminal:
    """A running command and all that it has shown."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process = process
        self.raw = ""
        self._master = master
        self._more = asyncio.Event()
        self._is_closed = False
        os.set_blocking(master, False)
        asyncio.get_running_loop().add_reader(master, self._read)

    @property
    def shown(self) -> str:
        """What was shown, without control codes."""
        return _CONTROL.sub("", self.raw)

    def _read(self) -> None:
        try:
            self.raw += os.read(self._master, 65_536).decode("utf-8", "replace")
        except OSError:  # nobody holds the other end any more
            asyncio.get_running_loop().remove_reader(self._master)
        self._more.set()

    async def shows(self, text: str) -> None:
        """Wait until a text has been shown."""
        async with asyncio.timeout(LONGEST_S):
            while text not in self.shown:
                self._more.clear()
                await self._more.wait()

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    async def ended(self) -> int:
        """Wait for the end of the command, and return its exit code."""
        code = await asyncio.wait_for(self.process.wait(), LONGEST_S)
        self._read()
        return code

    def close(self) -> None:
        """Close the terminal; harmless the second time."""
        if not self._is_closed:
            self._is_closed = True
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)


@asynccontextmanager
async def on_terminal(
    *words: str | Path, env: Mapping[str, str] | None = None, columns: int = 160, cwd: Path | None = None
) -> AsyncIterator[Terminal]:
    """Start a command on a terminal of so many columns; it is killed if the block leaves it running."""
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _BEGIN, *map(str, words), stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        cwd=cwd, env={**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "LINES": "40", **(env or {})},
    )  # fmt: skip
    os.close(slave)
    terminal = Terminal(process, master)
    try:
        yield terminal
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()
        terminal.close()
