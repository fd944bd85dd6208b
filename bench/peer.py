"""The peer: dlt from the package index, in an environment of its own that is made when it is first needed."""

import asyncio
import hashlib
import subprocess
import sys
from pathlib import Path

from bench.stage import Stage, Took, measured

REQUIREMENTS = Path(__file__).with_name("requirements-dlt.txt")
LOAD = Path(__file__).with_name("dlt_load.py")
ENVIRONMENT = Path(__file__).parent.parent / "build" / "bench-dlt"
INSTALL_S = 240.0


class NotInstalledError(Exception):
    """The peer cannot be measured here."""


async def install() -> None:
    """Make the peer's environment unless it is there; raises NotInstalledError where the index does not give it."""
    mark = ENVIRONMENT / "ready"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if mark.exists() and mark.read_text() == wanted:
        return
    await _done(sys.executable, "-m", "venv", "--clear", ENVIRONMENT)
    pip = (ENVIRONMENT / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet")
    await _done(*pip, "install", "-r", REQUIREMENTS)
    mark.write_text(wanted)


async def _done(*command: str | Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _, err = await asyncio.wait_for(process.communicate(), INSTALL_S)
    except TimeoutError:
        process.kill()
        raise NotInstalledError("its installation takes too long") from None
    if process.returncode:
        last = err.decode().strip().rpartition("\n")[2]
        raise NotInstalledError(f"it cannot be installed: {last[:100]}")


async def load(stage: Stage, url: str, database_url: str, *words: str) -> Took:
    """Load all customers with it; again with the same database: its next run, where all of them are merged again.

    `words` are more words for LOAD.
    """
    await install()
    return await measured(
        ENVIRONMENT / "bin" / "python", LOAD, str(stage.size), url, database_url, stage.folder / "dlt", *words
    )
