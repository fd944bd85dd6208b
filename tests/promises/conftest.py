"""What several promises stand on."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from syncd.sources import registry
from syncd.storage.postgres import embedded
from syncd.testing.server import Place, use
from tests.support.bench import own_database


@pytest.fixture(scope="session")
async def kits(server: embedded.Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[None]:
    """A database for the kits of each of our sources: they need not make and migrate a server of their own."""
    folder = tmp_path_factory.mktemp("kits")
    async with AsyncExitStack() as stack:
        for source in registry().values():
            opened, url = await stack.enter_async_context(own_database(server, f"kit_{source.type}", folder))
            await opened.close()
            use(source, Place(url=url, folder=folder))
        yield
