"""A status page that is served, and asked over HTTP."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from syncd.config import Http
from syncd.service import web
from syncd.sources import registry
from syncd.status import StatusReader
from tests.support.bench import Bench


class Site:
    """A served status page."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self._http = http

    async def get(self, path: str) -> tuple[int, str, Mapping[str, str]]:
        async with self._http.get(f"{self.url}{path}") as answer:
            return answer.status, await answer.text(), answer.headers

    async def asked(self, method: str, path: str) -> int:
        async with self._http.request(method, f"{self.url}{path}") as answer:
            return answer.status

    async def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Return the metrics by name and labels."""
        _, text, _ = await self.get("metrics")
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@asynccontextmanager
async def serving(reader: StatusReader, **options: Any) -> AsyncIterator[Site]:
    async with web.serving(reader, Http(host="127.0.0.1", port=0), **options) as url, aiohttp.ClientSession() as http:
        assert url is not None
        yield Site(url, http)


def reader_of(bench: Bench) -> StatusReader:
    return StatusReader(registry(), config=lambda: bench.config, database=lambda: bench.db, clock=bench.time.now)
