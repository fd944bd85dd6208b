"""The browser, and the mirrors whose page it shows."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from playwright.async_api import Browser

from tests.support.accounts import changed
from tests.support.bench import Bench, MakeBench
from tests.support.browser import browser
from tests.support.command import WallClock
from tests.support.tabs import FEW


@pytest.fixture(scope="module")
async def chrome() -> AsyncIterator[Browser]:
    async with browser() as found:
        yield found


@pytest.fixture
async def live(make_bench: MakeBench) -> Bench:
    """A bench in real time, whose lists have several pages."""
    return await make_bench(time=WallClock(), customers=300, page_size=10)


@pytest.fixture
async def small(make_bench: MakeBench) -> Bench:
    """A bench in real time with short lists and a few streams of each kind, for what is not about many of them."""
    bench = await make_bench(time=WallClock(), customers=40)
    bench.config = replace(
        bench.config,
        sources={
            name: changed(source, streams={each: source.streams[each] for each in FEW[name]})
            for name, source in bench.config.sources.items()
        },
    )
    return bench
