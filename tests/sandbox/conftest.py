"""A served sandbox and a caller that holds the right credentials."""

from collections.abc import AsyncIterator

import pytest

from tests.support.caller import Caller, calling


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with calling() as caller:
        yield caller
