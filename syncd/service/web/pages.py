"""The pages that people read: all streams, one stream, one run, and what is known while the database is away."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from syncd import log
from syncd.errors import DatabaseError
from syncd.log.kept import Line
from syncd.service.web import view
from syncd.service.web.answers import as_page
from syncd.service.web.rendering import render
from syncd.status import Overview, Status, StatusReader, StreamStatus, find_run, progress_of
from syncd.storage.state import operators

RUNS_SHOWN: Final = 50
SWEEPS_SHOWN: Final = 10
DEEDS_SHOWN: Final = 10
PAGES_KEPT: Final = 64
"""Rendered pages of one status that are kept for later requests."""


@dataclass(frozen=True, kw_only=True)
class Visitor:
    """Whoever reads the page: whether they may act, by what name, and the word that their forms hold."""

    may_sign_in: bool = False
    is_operator: bool = False
    actor: str = ""
    form_key: str = ""


Known = Mapping[str, operators.Acknowledgement]
Lines = Callable[[int], Sequence[Line]]
"""Gives the lines of the log that this process has kept of a run, oldest first."""


class Pages:
    """The handlers of these routes. `base` is the path below which a proxy shows the page."""

    def __init__(
        self, reader: StatusReader, base: str, visitor: Callable[[web.Request], Visitor], lines: Lines
    ) -> None:
        self._reader = reader
        self._base = base
        self._visitor = visitor
        self._lines = lines
        self._pages_of: Overview | None = None
        self._pages: dict[Hashable, str] = {}

    async def index(self, request: web.Request) -> web.Response:
        """Show all streams, what needs a look, budgets and backfills."""
        reader, visitor, choice = self._reader, self._visitor(request), view.Choice.of(request.query)
        seen = await reader.overview()
        status = seen.status
        known, deeds = await self._known(visitor)

        async def make() -> str:
            looks = await asyncio.to_thread(view.looks, seen.stream, await reader.causes(status), known)
            chosen = await asyncio.to_thread(view.choose, seen, choice)
            listing, pairs = view.listing(chosen, await reader.details(chosen.pairs)), chosen.pairs
            span = await reader.span(choice.span)
            days, day = await reader.stream_days(pairs, span), await reader.day(span)
            tone, headline = view.headline(status, looks)
            return self._render(
                "index.html", visitor, status_=status, choice=choice, listing=listing, days=days, day=day, span=span,
                is_day_one=await reader.first_run_at() is None, is_empty=view.is_empty(day), totals=view.totals(day),
                tone=tone, headline=headline, announcement=view.announcement(status, looks), looks=looks, deeds=deeds,
                looks_shown=view.PROBLEMS_SHOWN, states=view.STATES, heights=view.STRIP_HEIGHTS,
                first_next_at=seen.first_next_at, count=seen.count,
            )  # fmt: skip

        return as_page(await self._rendered(seen, (choice, visitor, tuple(known.values()), tuple(deeds)), make))

    async def stream(self, request: web.Request) -> web.Response:
        """Show one stream: how it stands, its charts, its newest runs and sweeps."""
        visitor, choice = self._visitor(request), view.Choice.of(request.query)
        pair = request.match_info["source"], request.match_info["stream"]
        seen = await self._reader.overview()
        found = seen.stream(pair)
        if found is None:
            return as_page(self._render("missing.html", visitor, name=".".join(pair)), status=404)
        known, _ = await self._known(visitor)

        async def make() -> str:
            whole = await self._reader.details([pair])
            return await self._stream_page(visitor, whole, whole.stream(*pair) or found, choice, known)

        return as_page(await self._rendered(seen, (pair, choice.span, visitor, tuple(known.values())), make))

    async def _stream_page(
        self, visitor: Visitor, status: Status, found: StreamStatus, choice: view.Choice, known: Known
    ) -> str:
        reader, pair = self._reader, (found.source, found.stream)
        streams = {(one.source, one.stream): one for one in status.streams}
        looks = view.looks(streams.get, await reader.causes(status), known)
        looks = [look for look in looks if pair in look.cause.pairs]
        day, span = None, await reader.span(choice.span)
        if found.state not in ("off", "disabled"):
            day = (await reader.stream_days([pair], span)).get(pair)
        runs, sweeps = await reader.runs(pair, RUNS_SHOWN), await reader.runs(pair, SWEEPS_SHOWN, sweeps=True)
        mirrored = found.rows.alive if found.rows else None
        running = found.running
        return self._render(
            "stream.html", visitor, status_=status, stream=found, looks=looks, runs=runs, sweeps=sweeps, day=day,
            span=span, totals=view.totals(day.slots) if day else {}, ages=view.ages(day) if day else [],
            is_empty=day is None or view.is_empty(day.slots),
            backfills=[one for one in status.backfills if (one.source, one.stream) == pair],
            progress=running and progress_of(
                running, now=status.at, cursor=found.cursor, mirrored=mirrored if running.kind == "sweep" else None
            ),
        )  # fmt: skip

    async def run(self, request: web.Request) -> web.Response:
        """Show one run: its row, what happened on the way, and its lines of the log."""
        visitor, number = self._visitor(request), request.match_info["run"]
        run_id = int(number)
        found = await find_run(self._reader.database(), run_id) if run_id < 2**63 else None
        if found is None:
            return as_page(self._render("missing.html", visitor, run=run_id), status=404)
        return as_page(
            self._render(
                "run.html", visitor, found=found, run=found.run, notes=view.notes(found.notes),
                lines=self._lines(run_id),
            )
        )  # fmt: skip

    def unavailable(self, request: web.Request, error: DatabaseError) -> web.Response:
        """Show what is known while the database does not answer."""
        status, config = self._reader.known, self._reader.config()
        return as_page(
            self._render(
                "unavailable.html", self._visitor(request), error=log.mask(str(error)), hint=log.mask(error.hint),
                known=status, sources=list(config.sources.values()), looked_at=self._reader.clock(),
            ),
            status=503,
        )  # fmt: skip

    def told(self, request: web.Request, title: str, words: str, *, status: int) -> web.Response:
        """Show a sentence, such as why something was refused."""
        return as_page(self._render("told.html", self._visitor(request), title=title, words=words), status=status)

    def sign_in(self, request: web.Request, *, problem: str = "") -> web.Response:
        """Show the form that asks for the operator's token."""
        text = self._render("sign_in.html", self._visitor(request), problem=problem)
        return as_page(text, status=403 if problem else 200)

    async def _known(self, visitor: Visitor) -> tuple[Known, list[operators.Deed]]:
        """Return what is known of causes and, for an operator, what was done last."""
        async with self._reader.database().connection() as conn:
            known = await operators.acknowledgements(conn, self._reader.clock())
            deeds = await operators.newest_deeds(conn, DEEDS_SHOWN) if visitor.is_operator else []
        return known, deeds

    def _render(self, template: str, visitor: Visitor, **values: Any) -> str:
        return render(self._base, template, visitor=visitor, **values)

    async def _rendered(self, seen: Overview, asked: Hashable, make: Callable[[], Awaitable[str]]) -> str:
        """Return a page, made once for each overview."""
        if self._pages_of is not seen or len(self._pages) > PAGES_KEPT:
            self._pages_of, self._pages = seen, {}
        pages = self._pages
        if asked not in pages:
            pages[asked] = await make()
        return pages[asked]
