"""Unit tests need no database: they run in seconds, before every commit."""

import asyncpg.connection
import pytest

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
