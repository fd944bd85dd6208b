"""The tests that every source must pass, as a class that a plugin's test module derives from.

    from syncd.testing import Kit
    from syncd_lightspeed import SOURCE


    class TestKit(Kit):
        source = SOURCE

The sandbox of the plugin is found by its entry point. Each test is synchronous and makes an event loop of its own, so
that it needs no plugin of pytest. What it stands on: a private PostgreSQL server, the sandbox over HTTP, and the engine
itself; only the clock is the kit's.
"""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any, ClassVar, Final

import pytest

from syncd import log
from syncd.contract import Source
from syncd.testing import asking, declarations, forgotten, shifting, spoiling, telling
from syncd.testing.faults import STRIKES, knows, outlives
from syncd.testing.records import Record
from syncd.testing.rig import Rig, listed, open_rig, require

MINUTE_S: Final = 60.0
PER_MINUTE: Final = 5
"""Requests a minute that the test of the budget allows; our choice: few, so that every walk meets the limit."""
CUTS: Final = 8
"""Requests of a walk after which it is cut short, at most."""


class Kit:
    """The tests of a source.

    source     the source
    streams    the streams to test; None for all
    fixed      streams in which the upstream never adds or deletes a record (an account, a list of settings)
    lines      TOML for the source's table, and for others after their headers; NAME stands for the source's name
    sizes      how many records the sandbox seeds, by the fields of `syncd.sandbox.world.Sizes`
    excused    what a test cannot ask of this API, by the test's name (without `test_`) or by the fault's, with the
               reason; "NAME stream" excuses one stream, and "its_reports_are_answered NAME" a report without rows
    """

    source: ClassVar[Source]
    streams: ClassVar[tuple[str, ...] | None] = None
    fixed: ClassVar[tuple[str, ...]] = ()
    lines: ClassVar[str] = ""
    sizes: ClassVar[Mapping[str, Any]] = {}
    excused: ClassVar[Mapping[str, str]] = {}

    @staticmethod
    def expects(_stream: str, _record: Record) -> bool:
        """Say whether the mirror must hold a record of the sandbox; override it where the API is asked for a part."""
        return True

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Give every test of a stream each stream."""
        if "stream" in metafunc.fixturenames:
            metafunc.parametrize("stream", self.streams if self.streams is not None else self.source.names)

    # --- What it declares

    def test_it_imports_the_contract_only(self) -> None:
        """A plugin imports `syncd.contract` and `syncd.records.readers`: what else there is may change at any time."""
        found = declarations.foreign_imports(self.source)
        require(not found, f"only syncd.contract and syncd.records.readers are for plugins:{listed(found)}")

    def test_what_it_declares_is_sound(self) -> None:
        """Names are unique, keys and lookups are declared, everything has a comment, the contract's version fits."""
        found = declarations.faults(self.source)
        require(not found, f"the declarations are wrong:{listed(found)}")

    def test_its_migrations_make_what_it_declares(self) -> None:
        """The tables are those that the streams declare; taking them back leaves nothing, and they can come again."""
        found = asyncio.run(declarations.migrated(self.source))
        require(not found, f"the migrations do not make what is declared:{listed(found)}")

    # --- What it mirrors

    def test_a_first_run_mirrors_everything(self, stream: str) -> None:
        """Every record is there after one run, in every field."""

        async def do(rig: Rig) -> None:
            await rig.clean(stream)
            require(await rig.holds(stream), f"the sandbox holds nothing for {stream}: this test proves nothing")
            await rig.require_equal(stream, "after the first run")
            never = await rig.never_sent(stream)
            require(
                not never,
                "columns are declared for fields that the sandbox never sends. Correct the column's path, or declare it"
                " optional=True, as a part of a child's key that stands in the parent only; else syncd status tells of"
                f" drift for ever:{listed(never)}",
            )

        self._rigged(do)

    def test_a_run_that_finds_nothing_writes_nothing(self, stream: str) -> None:
        """A second run changes no row, and asks no more than the first."""

        async def do(rig: Rig) -> None:
            await rig.clean(stream)
            first, table = len(rig.requests()), rig.tables(stream)[0]
            query = f'SELECT ctid, xmin FROM "{table.schema}"."{table.name}" ORDER BY 1'  # noqa: S608
            rows = await rig.fetch(query)
            rig.time.pass_by(minutes=20)
            result = await rig.clean(stream)
            told = (result.counts.inserted, result.counts.updated, result.counts.deleted)
            require(told == (0, 0, 0), f"nothing changed, and the run inserted, updated, deleted {told}")
            require(rows == await rig.fetch(query), "nothing changed, and rows were written")
            asked = len(rig.requests()) - first
            require(asked <= first, f"the run that found nothing asked {asked} times, the first one {first} times")

        self._rigged(do)

    def test_a_change_is_seen_by_the_next_run(self, stream: str) -> None:
        """Changed and new records are there after the next live run, deleted ones are buried by the next sweep."""

        async def do(rig: Rig) -> None:
            sweeps = rig.source.stream(stream).sweep_s is not None
            await rig.clean(stream)
            for _ in range(2):
                rig.time.pass_by(minutes=20)
                rig.change(stream)
                rig.delete(stream)
                await rig.clean(stream)
                await rig.require_equal(stream, "after the next run", deletions=not sweeps)
                if sweeps:
                    await rig.clean(stream, "sweep")
                    await rig.require_equal(stream, "after a sweep")

        self._rigged(do)

    def test_a_change_that_comes_late_is_seen(self, stream: str) -> None:
        """A change bears the time at which it began, and is visible minutes later: a live run must look back so far."""

        async def do(rig: Rig) -> None:
            await rig.clean(stream)
            rig.time.pass_by(minutes=20)
            for age_s in (30, 300, 500):
                begun_at = rig.time.now() - timedelta(seconds=age_s)
                await rig.clean(stream)  # its watermark stands at now
                key = rig.keys(stream)[age_s % 3]
                rig.sandbox.world.change(rig.source.type, stream, key, modified_at=begun_at)
                rig.time.pass_by(seconds=40)
                await rig.clean(stream)
                await rig.require_equal(stream, f"after a change that became visible {age_s} s late")

        self._rigged(do)

    def test_a_record_from_the_future_hides_nothing(self, stream: str) -> None:
        """One record bears a time that lies ahead (a wrong clock, a planned change): the cursor must not follow it."""

        async def do(rig: Rig) -> None:
            await rig.clean(stream)
            ahead = rig.time.now() + timedelta(days=2)
            for key in {rig.keys(stream)[0], rig.keys(stream)[-1]}:
                rig.sandbox.world.change(rig.source.type, stream, key, modified_at=ahead)
            await rig.clean(stream)
            for _ in range(2):
                rig.time.pass_by(minutes=20)
                rig.change(stream)
                await rig.clean(stream)
                await rig.require_equal(stream, "after a record from the future")

        self._rigged(do)

    def test_odd_values_and_unknown_fields_are_kept(self, stream: str) -> None:
        """Whatever JSON stands in a field, known or not, can be given back from the row."""

        async def do(rig: Rig) -> None:
            await rig.clean(stream)
            for turn in range(spoiling.TURNS):
                rig.time.pass_by(minutes=20)
                spoiling.spoil(rig, stream, turn)
                await rig.clean(stream)
                await rig.require_equal(stream, "after odd values and unknown fields")

        self._rigged(do)

    def test_its_reports_are_answered(self) -> None:
        """Each question for `syncd report` can be asked, has an answer, and can be narrowed to some rows."""
        if self.source.reports is None:
            pytest.skip("it declares no reports")
        names = {name.partition(" ")[2] for name in self.excused if name.startswith("its_reports_are_answered ")}

        async def do(rig: Rig) -> None:
            for stream in self._streams():
                await rig.clean(stream)
            wrong = await asking.unanswered(rig, self.source, frozenset(names))
            require(not wrong, f"the reports cannot be used:{listed(wrong)}")

        self._rigged(do)

    # --- What it outlives

    @pytest.mark.parametrize("seed", range(3))
    def test_a_shifting_list_loses_no_row(self, stream: str, seed: int) -> None:
        """Rows come, go and change between the pages: none that stays is missed by a run that is ok."""
        self._rigged(lambda rig: shifting.walk(rig, stream, seed))

    def test_a_run_that_is_cut_short_is_made_good(self, stream: str) -> None:
        """A run ends at any of its requests, by an error or a kill: the next ones bring what is missing."""
        self._rigged(lambda rig: shifting.cut(rig, stream, most=CUTS))

    def test_a_place_that_is_forgotten_is_given_up(self, stream: str) -> None:
        """A run broke off, and the API no longer knows the token by which it would go on: the pass begins again."""

        async def do(rig: Rig) -> None:
            await forgotten.given_up(rig, stream)

        self._rigged(do)

    def test_no_fault_loses_a_row(self, stream: str) -> None:
        """The fault matrix: each fault once and for good, in live runs and in sweeps; then a clean run."""

        async def do(rig: Rig) -> None:
            await rig.clean(stream)
            rig.change(stream)
            await rig.clean(stream)
            wrong: list[str] = []
            for strike in STRIKES:
                if self._reason(strike.name, stream) or not knows(rig, strike):
                    continue
                told = await outlives(rig, stream, strike)
                wrong += told
                if told:  # whatever is left of it must not be told of the next one
                    for kind in ("sweep", "live") if rig.source.stream(stream).sweep_s is not None else ("live",):
                        await rig.run(stream, kind, accept_deletions=True)
            require(not wrong, f"{stream} does not outlive:{listed(wrong)}")

        self._rigged(do)

    # --- What it tells, and what it spends

    def test_no_secret_is_told(self) -> None:
        """Nothing that signs requests is in a URL, the log, an error or the database, whatever the upstream echoes."""
        told = io.StringIO()
        log.configure("json", "debug", stream=told, environ={})
        try:
            self._rigged(lambda rig: telling.search(rig, self._streams(), told))
        finally:
            log.configure("json", "error")

    def test_the_budget_is_kept(self) -> None:
        """No minute holds more requests than the configuration allows, and each request is in the run's count."""

        async def do(rig: Rig) -> None:
            counted = 0
            for stream in self._streams():
                for _ in range(2):
                    counted += (await rig.run(stream)).spent.requests
                    rig.change(stream)
            at = [entry.at.timestamp() for entry in rig.requests()]
            require(counted == len(at), f"the runs count {counted} requests, and the upstream got {len(at)}")
            for place, moment in enumerate(at):
                within = sum(1 for other in at[place:] if other < moment + MINUTE_S)
                require(within <= PER_MINUTE, f"{within} requests in a minute, of {PER_MINUTE} that are allowed")

        self._rigged(do, more=f"[sources.NAME.budget]\nper_minute = {PER_MINUTE}\n")

    # --- How the tests run

    def _streams(self) -> tuple[str, ...]:
        return self.streams if self.streams is not None else self.source.names

    def _reason(self, name: str, stream: str = "") -> str | None:
        return self.excused.get(name) or self.excused.get(f"{name} {stream}")

    def _rigged(self, work: Callable[[Rig], Coroutine[Any, Any, None]], *, more: str = "") -> None:
        """Do the work on a rig of its own, unless the test that calls is excused."""

        async def do() -> None:
            async with self._rig(more) as rig:
                await work(rig)

        asyncio.run(do())

    @contextlib.asynccontextmanager
    async def _rig(self, more: str) -> AsyncIterator[Rig]:
        async with open_rig(
            self.source, lines=f"{self.lines}\n{more}", fixed=self.fixed, sizes=self.sizes, expects=self.expects
        ) as rig:
            yield rig

    @pytest.fixture(autouse=True)
    def _excuse(self, request: pytest.FixtureRequest) -> None:
        """Keep the log quiet, and skip a test that the API excuses."""
        log.configure("json", "error")
        call = getattr(request.node, "callspec", None)
        stream = call.params.get("stream", "") if call else ""
        name = getattr(request.node, "originalname", request.node.name).removeprefix("test_")
        if reason := self._reason(name, stream):
            pytest.skip(reason)
