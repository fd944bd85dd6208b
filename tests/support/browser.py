"""The system's Chromium, headless, driven by Playwright."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",  # CI is root in a container; the only pages opened are our own
    "--disable-dev-shm-usage", "--font-render-hinting=none", "--force-color-profile=srgb",
)  # fmt: skip
LANGUAGE = {"LC_ALL": "en_US.UTF-8"}
"""The shell takes the language of pages from here, and that of LC_ALL=C is none that JavaScript knows."""


def chromium() -> Path | None:
    """Return the browser of this machine: what $SYNCD_CHROMIUM names, else the first on the path."""
    if named := os.environ.get("SYNCD_CHROMIUM"):
        return Path(named)
    return next((Path(found) for name in NAMES if (found := shutil.which(name))), None)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Start the browser; it ends with the block."""
    path = chromium()
    if path is None:
        raise FileNotFoundError(f"no Chromium on the path ({', '.join(NAMES)}), and $SYNCD_CHROMIUM is not set")
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(
            executable_path=path, args=list(ARGUMENTS), env={**os.environ, **LANGUAGE}
        )
        try:
            yield found
        finally:
            await found.close()
