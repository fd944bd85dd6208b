"""Unit tests need no database: they run in seconds, before every commit."""

from collections.abc import Mapping
from pathlib import Path

import asyncpg.connection
import pytest

from syncd.config import Config, load
from tests.support.configured import ENVIRON, REGISTRY, Load

NEEDLESS = "a unit test opens no database: move this test to tests/integration, or hand the function its values"


@pytest.fixture(scope="session")
def server() -> None:
    """Stand in the way of the private server, and of every fixture that is made of it."""
    pytest.fail(NEEDLESS)


@pytest.fixture(autouse=True)
def _no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        pytest.fail(NEEDLESS)

    monkeypatch.setattr(asyncpg, "connect", refuse)
    monkeypatch.setattr(asyncpg.connection, "connect", refuse)


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """Return a function that loads a text as the configuration file."""

    def load_it(text: str, *, environ: Mapping[str, str] = ENVIRON, resolve_secrets: bool = True) -> Config:
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return load(path, REGISTRY, environ=environ, resolve_secrets=resolve_secrets)

    return load_it
