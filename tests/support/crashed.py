"""A run that ends for good in its middle."""

import asyncio

from syncd.engine.order import Order
from tests.support.bench import Bench


async def crashed(bench: Bench, selector: str, order: Order, *, pages: int) -> None:
    """Run a stream, and end the run for good with the request after some pages under way."""
    reached = asyncio.Event()
    order.progress = lambda result: reached.set() if result.pages >= pages else None
    source, _, stream = selector.partition(".")
    running = asyncio.ensure_future(bench.syncer.run(source, stream, order))
    await reached.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
