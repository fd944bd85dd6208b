"""What machines read of the page: health, readiness, freshness, metrics, the status as JSON."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from syncd import config as configuration
from syncd import log
from syncd.config.duration import parse_duration
from syncd.errors import DatabaseError, UsageError
from syncd.service.web import metrics, view
from syncd.service.web.answers import as_json, as_long_json, packed
from syncd.service.web.summed import Summed, read_odd
from syncd.status import Measures, Status, StatusPage, StatusReader, troubles
from syncd.storage.postgres import migrations

READY_TIMEOUT_S: Final = 5.0
"""A database that has not answered within this is not ready."""


class Probes:
    """The handlers of these routes; `is_alive` says whether the daemon still works, `mine` is for the metrics."""

    def __init__(self, reader: StatusReader, is_alive: Callable[[], bool], mine: StatusReader) -> None:
        self._reader = reader
        self._mine = mine
        self._is_alive = is_alive
        self._totals = metrics.Totals(since=datetime.now(UTC))

    async def healthz(self, _request: web.Request) -> web.Response:
        """Answer 200 while the daemon works, even if the database or an upstream is down."""
        alive = self._is_alive()
        return web.Response(status=200 if alive else 503, text="ok\n" if alive else "the scheduler does not tick\n")

    async def readyz(self, _request: web.Request) -> web.Response:
        """Answer 200 if the database answers and is migrated, else 503 with the reason."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                standing = await migrations.find_standing(self._reader.database())
        except DatabaseError as error:
            return web.Response(status=503, text=f"{log.mask(str(error))}\n")
        except TimeoutError:
            return web.Response(status=503, text=f"the database did not answer within {READY_TIMEOUT_S:.0f} s\n")
        if not standing.admits:
            needs = f"newer than syncd, which knows {standing.newest}"
            if not standing.is_newer:
                needs = f"syncd needs {standing.newest}: syncd migrate"
            text = f"the database is at revision {standing.revision or 'none'}, {needs}\n"
            return web.Response(status=503, text=text)
        return web.Response(text="ok\n")

    async def freshz(self, request: web.Request) -> web.Response:
        """Answer 200 while every stream that is on is as fresh as it should be, else 503 with a line for each other.

        `?stream=SELECTOR`, as often as wanted, asks for some; `?max_age=30m` says what is late.
        """
        config, selectors = self._reader.config(), request.query.getall("stream", [])
        try:
            max_age_s = parse_duration(request.query["max_age"]) if "max_age" in request.query else None
            pairs = await asyncio.to_thread(configuration.select, config, selectors)  # there may be 200,000
        except (UsageError, ValueError) as error:
            return web.Response(status=400, text=f"{error}\n")
        try:
            status = (await self._reader.overview()).judged(max_age_s)
        except DatabaseError as error:
            return web.Response(status=503, text=f"{log.mask(str(error))}\n")
        if not pairs:
            return web.Response(status=503, text="no stream is on\n")
        wrong = troubles(status, config, pairs, max_age_s=max_age_s)
        lines = [trouble.words for trouble in wrong] or [
            f"{len(pairs)} stream{'' if len(pairs) == 1 else 's'}: all well"
        ]
        return web.Response(status=503 if wrong else 200, text="".join(f"{line}\n" for line in lines))

    async def metrics(self, _request: web.Request) -> web.Response:
        """Show the metrics in Prometheus' text format; without a database, show that it is down."""
        seen: Measures | Summed | None = None
        try:
            is_all, sums = self._mine is self._reader, self._reader.is_large
            of = None if is_all else self._mine.config().sources
            if sums:
                seen = Summed(await self._mine.overview(), await read_odd(self._reader.database(), of))
            else:
                seen = await self._mine.measures()
            await self._totals.update(self._reader.database(), of=of, sums=sums)
        except DatabaseError:
            seen = None
        text = await metrics.text(seen, self._totals, self._reader.config())
        return packed(web.Response(body=text, headers={"Content-Type": metrics.CONTENT_TYPE}))

    async def api_status(self, request: web.Request) -> web.Response:
        """Show the status as `syncd status --json` does; `?q=`, `?state=` and `?page=` ask for a page, as at `/`."""
        if not view.ASKED.isdisjoint(request.query):
            return as_json(await self._page(view.Choice.of(request.query)))
        return await as_long_json(await self._reader.status())

    async def _page(self, choice: view.Choice) -> StatusPage:
        """Return the streams that the page of people shows for the same choice."""
        seen = await self._reader.overview()
        chosen = await asyncio.to_thread(view.choose, seen, choice)
        found = (await self._reader.details(chosen.pairs)).narrowed(chosen.pairs)
        told = {name: getattr(found, name) for name in Status.__struct_fields__} | {"summary": seen.status.summary}
        return StatusPage(**told, page=chosen.page, pages=chosen.pages, matching=chosen.matching)
