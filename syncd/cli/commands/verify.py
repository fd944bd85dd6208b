"""`syncd verify`: compares the mirror with the upstream, row by row and field by field, and mends it if asked."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import asyncpg
import click
import msgspec

from syncd import config as configuration
from syncd.cli import console
from syncd.cli.options import command, config_option, json_option, selectors_argument
from syncd.cli.progress import RunsShown, runs_shown
from syncd.cli.runner import opened, ticking
from syncd.cli.session import execute, stopped_by_signals
from syncd.contract import Page, Scope
from syncd.engine.order import Order, Result
from syncd.engine.syncer import Syncer
from syncd.errors import SyncdError
from syncd.records.rows import Key, Row
from syncd.storage.mirror import listing, writer
from syncd.storage.mirror.table_locks import lock_tables
from syncd.storage.mirror.target import Target
from syncd.storage.mirror.writing import burial
from syncd.upstream.request import RunUpstream


@command(
    examples=[
        ("syncd verify shop.customers", "compare the first 10 pages"),
        ("syncd verify shop.customers --pages 0 --repair", "all of them, and commit what differs"),
    ]
)
@selectors_argument
@click.option(
    "--pages",
    default=10,
    show_default=True,
    metavar="N",
    type=click.IntRange(0),
    help="Pages of each stream at most; 0: all.",
)
@click.option("--repair", is_flag=True, help="Commit what differs.")
@config_option
@json_option
def verify(selectors: tuple[str, ...], pages: int, repair: bool, config_path: Path | None, as_json: bool) -> int:
    """Compare the mirror with the upstream, field by field.

    Asks the upstream anew, in the backfill lane, and names every row and field that differs, child rows too: first what
    is damaged here, then what is missing, what changed upstream since the last run, and what is gone upstream. Exit
    code 1 if anything differs that was not repaired. A row gone upstream is left to the next sweep, also with --repair.
    """
    return execute(verify_streams(config_path, selectors, pages=pages, repair=repair, as_json=as_json))


SHOWN = 20
"""Differences of one cause printed for one stream."""
GONE = "gone upstream"

Cause = Literal["damaged", "missing", "changed", "gone"]
CAUSES: Mapping[Cause, tuple[str, str]] = {
    "damaged": ("damaged here: the upstream sends what was stored, and other values stand here", "--repair mends it"),
    "missing": ("missing here: new upstream since the last run, or lost", "a sweep brings it, or --repair"),
    "changed": ("changed upstream since it was stored", "the next live run brings it, or --repair"),
    "gone": ("gone upstream", "the next sweep buries it, or now: syncd sync SELECTOR --full"),
}
"""Why a row differs, the worst first, and what is to be done."""


@dataclass(kw_only=True)
class Difference:
    """One row that differs: `fields` names what differs, or says `missing here` or `gone upstream`."""

    table: str
    key: list[str]
    fields: list[str]
    cause: Cause
    repaired: bool = False


@dataclass(kw_only=True)
class Verdict:
    """What comparing one stream gave. `complete` is False if not all pages were compared."""

    source: str
    stream: str
    compared: int = 0
    complete: bool = False
    differences: list[Difference] = field(default_factory=list)
    error: str | None = None
    hint: str | None = None

    @property
    def name(self) -> str:
        """The selector of the stream."""
        return f"{self.source}.{self.stream}"


async def verify_streams(
    path: Path | None, selectors: Sequence[str], *, pages: int, repair: bool, as_json: bool
) -> int:
    """Compare every matching stream; 1 if any row differs (and was not repaired) or a stream could not be read.

    The sources are compared side by side, the streams of one after another. `pages` 0 compares all pages.
    """
    async with opened(path, selectors) as syncer:
        pairs = configuration.select(syncer.config, selectors)
        verdicts = [Verdict(source=source, stream=stream) for source, stream in pairs]
        sources = list(dict.fromkeys(source for source, _ in pairs))
        with stopped_by_signals() as stop, runs_shown(quiet=as_json) as shown:

            async def work(source: str) -> None:
                for verdict in verdicts:
                    if verdict.source == source:
                        await _Comparison(syncer, verdict, shown, stop, repair=repair).go(pages)

            async with ticking(syncer, sources, shown):
                await asyncio.gather(*map(work, sources))
    if as_json:
        console.print_json(verdicts)
    else:
        _print(verdicts)
    differ = any(not difference.repaired for verdict in verdicts for difference in verdict.differences)
    return 1 if stop.is_set() or differ or any(verdict.error for verdict in verdicts) else 0


class _Comparison:
    """Compares one stream, in the backfill lane.

    A row that a run changed after its page was requested is not judged. With `repair` what differs is committed like a
    backfill's page; a row gone upstream is left to the next sweep.
    """

    def __init__(
        self, syncer: Syncer, verdict: Verdict, shown: RunsShown, stop: asyncio.Event, *, repair: bool
    ) -> None:
        self.syncer = syncer
        self.verdict = verdict
        self.shown = shown
        self.stop = stop
        self.repair = repair
        self.source = verdict.source
        self.target = syncer.target(verdict.source, verdict.stream)
        self.seen: set[Key] = set()
        self.started_at: datetime | None = None
        self.shows = Result(verdict.source, verdict.stream, "sweep")

    async def go(self, pages: int) -> None:
        """Compare at most so many pages."""
        if self.stop.is_set():
            self.verdict.error = "stopped before it began"
            return
        self.shown.begin(self.shows.name)
        try:
            await self._walk(pages)
            self.shows.outcome = "ok"
        except SyncdError as error:
            self.shows.outcome = "failed"
            self.verdict.error, self.verdict.hint = str(error.at(self.verdict.name)), error.hint or None
        finally:
            await self.syncer.account(self.source).purse.flush()
            self.shown.end(self.shows)

    async def _walk(self, pages: int) -> None:
        await self.syncer.require_same_account(self.source)
        upstream = RunUpstream(self.syncer.account(self.source), self.verdict.stream, "backfill")
        stream = self.syncer.source(self.source)[0].stream(self.verdict.stream)
        walk = await self.syncer.walk(self.source, self.verdict.stream, Order(kind="sweep"), upstream, None)
        async with stream.pages(walk) as walking:
            async for page in walking:
                if self.stop.is_set() or (pages and self.shows.pages >= pages and page.records):
                    return
                await self._compare_page(page)
                self.shows.pages += 1
                self.shows.spent = upstream.spent
                self.shows.expected = page.total or self.shows.expected
                self.shown.advance(self.shows)
        self.verdict.complete = True

    async def _compare_page(self, page: Page) -> None:
        """Add to the verdict which rows of a page differ from what is stored, and commit these if asked."""
        self.started_at = self.started_at or page.requested_at
        async with self.syncer.database.connection() as conn:
            rows, differing = await self._judged(conn, page)
            self.seen.update(rows)
            self.shows.counts.seen += len(rows)
            self.verdict.compared += len(rows)
            if self.repair and differing:
                await self._repair(page, {key: rows[key] for key in differing})
                left = await self._differing(conn, {key: rows[key] for key in differing}, self.syncer.clock())
                for key, differences in differing.items():
                    for difference in differences:
                        difference.repaired = difference not in left.get(key, ())
            self.verdict.differences += [difference for found in differing.values() for difference in found]
            if page.scope and not page.doubt:
                seen, since = (self.seen, self.started_at) if page.whole_walk else (set(rows), page.requested_at)
                gone = await self._gone(conn, page.scope, seen, not_after=since)
                self.verdict.differences += [_difference(self.target, key, [GONE], "gone") for key in gone]

    async def _judged(self, conn: asyncpg.Connection, page: Page) -> tuple[dict[Key, Row], dict[Key, list[Difference]]]:
        """Return the rows of a page and what differs; judged again if somebody was forgotten meanwhile."""
        parser, generation = self.target.intake.parser, await self.syncer.learn_forgotten(self.source, conn)
        while True:
            records = self.target.intake.admitted(page.records)
            parsed = [(row, record) for record in records if isinstance(row := parser.parse(record), Row)]
            rows = {row.key: row for row, _ in parsed}
            differing = await self._differing(conn, rows, page.requested_at)
            prints = {row.key: parser.fingerprint(record) for row, record in parsed if row.key in differing}
            await self._blame(conn, differing, prints)
            before, generation = generation, await self.syncer.learn_forgotten(self.source, conn)
            if generation == before:
                return rows, differing

    async def _blame(
        self, conn: asyncpg.Connection, differing: Mapping[Key, Sequence[Difference]], prints: Mapping[Key, bytes]
    ) -> None:
        """Tell what the upstream has changed from what is damaged: a changed record has another fingerprint."""
        if not differing:
            return
        stored = await self._stored(
            conn, self.target, self.target.statements.select_whole, *zip(*differing, strict=True)
        )
        for key, differences in differing.items():
            held = stored[key]["_hash"] if key in stored else None
            for difference in differences if held is not None and held != prints[key] else ():
                difference.cause = "changed"

    async def _differing(
        self, conn: asyncpg.Connection, rows: dict[Key, Row], requested_at: datetime
    ) -> dict[Key, list[Difference]]:
        """Return the differences by the key of their row, those of child rows included."""
        differing: dict[Key, list[Difference]] = {}
        if not rows:
            return differing
        stored = await self._stored(conn, self.target, self.target.statements.select_whole, *zip(*rows, strict=True))
        for key, row in rows.items():
            if _is_judged(stored.get(key), requested_at) and (fields := _fields(self.target, row, stored.get(key))):
                cause: Cause = "damaged" if key in stored else "missing"
                differing[key] = [_difference(self.target, key, fields, cause)]
        for place, child in enumerate(self.target.children):
            families = {
                key: [] if self.target.layout.gone(row) else row.children[place]
                for key, row in rows.items()
                if key in stored
            }
            for key, difference in await self._differing_children(conn, child, families, requested_at):
                differing.setdefault(key, []).append(difference)
        return differing

    async def _differing_children(
        self, conn: asyncpg.Connection, child: Target, families: dict[Key, list[Row] | None], requested_at: datetime
    ) -> list[tuple[Key, Difference]]:
        """Return what differs in the child rows of some parents, each with the key of its parent.

        Nothing is said of a parent whose array was absent: it keeps its child rows.
        """
        select = f'SELECT * FROM {child.name} WHERE source = $1 AND "{child.table.key[0]}" = ANY($2)'
        width = len(self.target.table.key)
        stored = await self._stored(conn, child, select, {key[0] for key in families})
        sent = {row.key: row for rows in families.values() for row in rows or ()}
        found = [
            (key[:width], _difference(child, key, fields, "damaged"))
            for key, row in sent.items()
            if _is_judged(stored.get(key), requested_at) and (fields := _fields(child, row, stored.get(key)))
        ]
        gone = [
            key
            for key, kept in stored.items()
            if families.get(key[:width]) is not None and key not in sent and kept["_deleted_at"] is None
        ]
        return found + [
            (key[:width], _difference(child, key, [GONE], "damaged"))
            for key in gone
            if _is_judged(stored[key], requested_at)
        ]

    async def _stored(
        self, conn: asyncpg.Connection, target: Target, select: str, *columns: Iterable[Any]
    ) -> dict[Key, asyncpg.Record]:
        found = await conn.fetch(select, self.source, *map(list, columns))
        return {tuple(row[name] for name in target.table.key): row for row in found}

    async def _gone(self, conn: asyncpg.Connection, scope: Scope, seen: set[Key], *, not_after: datetime) -> list[Key]:
        """Return the keys of live rows in scope that were not seen, though they should have been."""
        alive = await listing.alive_keys(conn, self.target, self.source, scope, not_after=not_after)
        return [key for key in alive if key not in seen]

    async def _repair(self, page: Page, rows: dict[Key, Row]) -> None:
        """Commit the records of some rows again, comparing every value."""
        parser = self.target.intake.parser
        async with self.syncer.database.transaction() as conn:
            await lock_tables(conn, self.source, [self.target])
            await self.syncer.learn_forgotten(self.source, conn)
            read = self.target.intake.read([record for record in page.records if parser.key(record) in rows])
            await burial.drop_hashes(conn, self.target, self.source, list(rows))
            for place, child in enumerate(self.target.children):
                keys = [member.key for row in rows.values() for member in row.children[place] or ()]
                if keys:
                    await burial.drop_hashes(conn, child, self.source, keys)
            await writer.write_page(
                conn, self.target, self.source, read, now=self.syncer.clock(), not_after=page.requested_at
            )


def _is_judged(stored: asyncpg.Record | None, requested_at: datetime) -> bool:
    """Say whether a row may be judged: one that changed after the upstream was asked may well differ."""
    return stored is None or stored["_changed_at"] <= requested_at


def _difference(target: Target, key: Key, fields: list[str], cause: Cause) -> Difference:
    table = f"{target.table.schema}.{target.table.name}"
    return Difference(table=table, key=[*map(str, key)], fields=fields, cause=cause)


def _fields(target: Target, row: Row, stored: asyncpg.Record | None) -> list[str]:
    """Return the names of the fields in which a record differs from its stored row."""
    if stored is None:
        return ["missing here"]
    if stored["_deleted_at"] is not None and not target.layout.gone(row):
        return ["buried here, alive upstream"]
    if stored["_deleted_at"] is None and target.layout.gone(row):
        return ["alive here, deleted upstream"]
    pairs = {name: (value, stored[name]) for name, value in zip(target.layout.columns, row.values, strict=True)}
    differing = [
        name for name, (sent, kept) in pairs.items() if name not in row.absent and not _same(target, name, sent, kept)
    ]
    if _tree(row.extra) != _tree(stored["_extra"]) and not row.absent and None not in row.children:
        differing.append("_extra")
    return differing


def _same(target: Target, name: str, sent: Any, kept: Any) -> bool:
    if name in target.layout.json_columns:
        return bool(_tree(sent) == _tree(kept))
    return bool(sent == kept)


_EXACT = msgspec.json.Decoder(float_hook=Decimal)
"""PostgreSQL writes the number 1e23 as digits: only exact numbers compare equal."""


def _tree(text: str | None) -> Any:
    return _EXACT.decode(text) if text else None


def _print(verdicts: Sequence[Verdict]) -> None:
    console.print_table(
        "", ["stream", "compared", "all of it", *CAUSES, "repaired"],
        [
            (v.name, v.compared, "yes" if v.complete else "no",
             *(sum(difference.cause == cause for difference in v.differences) for cause in CAUSES),
             sum(difference.repaired for difference in v.differences))
            for v in verdicts
        ],
    )  # fmt: skip
    for cause, (words, _) in CAUSES.items():
        found = [(v, [each for each in v.differences if each.cause == cause]) for v in verdicts]
        if any(differences for _, differences in found):
            console.say(f"{words}:")
        for verdict, differences in found:
            _print_differences(verdict, differences)
    for verdict in verdicts:
        if verdict.error:
            console.print_error(SyncdError(verdict.error, hint=verdict.hint or ""))
    left = Counter(each.cause for verdict in verdicts for each in verdict.differences if not each.repaired)
    if left:
        counts = "; ".join(f"{left[cause]:,} {cause}: {step}" for cause, (_, step) in CAUSES.items() if left[cause])
        console.print_note(f"the exit code is 1 for what was not repaired: {counts}")


def _print_differences(verdict: Verdict, differences: Sequence[Difference]) -> None:
    for difference in differences[:SHOWN]:
        done = " (repaired)" if difference.repaired else ""
        console.say(f"{difference.table} {'/'.join(difference.key)}: {', '.join(difference.fields)}{done}")
    if len(differences) > SHOWN:
        console.say(f"{verdict.name}: … and {len(differences) - SHOWN} more (--json shows all)")
