"""A plugin in a folder as if pip had installed it there, and its tests in a process of their own."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN_S = 880.0


def plug_in(folder: Path, name: str) -> None:
    """Let the plugin look as if pip had installed it."""
    info = folder / f"syncd_{name}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: syncd-{name}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(
        f"[syncd.sources]\n{name} = syncd_{name}:SOURCE\n[syncd.sandbox]\n{name} = syncd_{name}.sandbox\n"
    )


async def run_tests(folder: Path, *words: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:cacheprovider", "--tb=short", *words,
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": f"{folder}:{ROOT}", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "400"},
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), RUN_S)
    return process.returncode or 0, out.decode()
