"""`syncd verify`: compares the mirror with the upstream, row by row and field by field, and mends it if asked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from syncd import config as configuration
from syncd import console, mirror
from syncd.commands import opened
from syncd.errors import UpstreamError
from syncd.mirror import Target
from syncd.rows import Key, Row
from syncd.source import Page
from syncd.sync import Order, Syncer

SHOWN = 20
"""Differences printed for one stream."""


@dataclass(kw_only=True)
class Difference:
    """One row that differs: `fields` names what differs, or says `missing here` or `gone upstream`."""

    key: list[str]
    fields: list[str]


@dataclass(kw_only=True)
class Verdict:
    """What comparing one stream gave. `complete` is False if not all pages were compared."""

    source: str
    stream: str
    compared: int = 0
    complete: bool = True
    mirrored: int = 0
    repaired: int = 0
    differences: list[Difference] = field(default_factory=list)
    error: str | None = None


async def run(path: Path | None, selectors: Sequence[str], *, pages: int, repair: bool, as_json: bool) -> int:
    """Compare every matching stream; 1 if any row differs (and was not repaired) or a stream could not be read."""
    async with opened(path) as syncer:
        verdicts = [
            await compare(syncer, source, stream, pages=pages, repair=repair)
            for source, stream in configuration.select(syncer.config, selectors)
        ]
    if as_json:
        console.print_json(verdicts)
    else:
        _print(verdicts)
    return 1 if any(verdict.error or len(verdict.differences) > verdict.repaired for verdict in verdicts) else 0


async def compare(syncer: Syncer, source: str, stream: str, *, pages: int, repair: bool) -> Verdict:
    """Compare at most `pages` pages of one stream, in the backfill lane.

    A row that a run changed after its page was requested is not judged. With `repair` what differs is committed like a
    backfill's page; a row gone upstream is left to the next sweep.
    """
    verdict = Verdict(source=source, stream=stream)
    upstream = syncer.account(source).upstream(stream, "backfill")
    declared = syncer.source(source)[0].stream(stream)
    walk = await syncer.walk(source, stream, Order(kind="sweep"), upstream, None)
    target = syncer.target(source, stream)
    seen: set[Key] = set()
    count = 0
    walking = declared.walk(walk)
    try:
        async for page in walking:
            await _compare_page(syncer, target, source, page, verdict, seen, repair=repair)
            count += 1
            if count >= pages and not page.whole_walk and not _is_last(page):
                verdict.complete = False
                break
    except UpstreamError as error:
        verdict.error, verdict.complete = str(error), False
    finally:
        await walking.aclose()  # type: ignore[attr-defined]
        await syncer.account(source).purse.flush()
    async with syncer.database.connection() as conn:
        own = ", ".join(f'"{name}"' for name in target.table.key)
        rows = await conn.fetch(
            f"SELECT {own} FROM {target.name} WHERE source = $1 AND _deleted_at IS NULL ORDER BY {own}", source
        )
    verdict.mirrored = len(rows)
    if verdict.complete and not declared.lookup:
        verdict.differences += [
            Difference(key=[*map(str, row)], fields=["gone upstream"]) for row in rows if tuple(row) not in seen
        ]
    return verdict


def _is_last(page: Page) -> bool:
    return page.cursor is not None and "pass" not in page.cursor


async def _compare_page(
    syncer: Syncer, target: Target, source: str, page: Page, verdict: Verdict, seen: set[Key], *, repair: bool
) -> None:
    """Add to the verdict which rows of a page differ from what is stored, and commit these if asked."""
    rows = {row.key: row for record in page.records if isinstance(row := target.parser.parse(record), Row)}
    seen.update(rows)
    verdict.compared += len(rows)
    if not rows:
        return
    async with syncer.database.connection() as conn:
        found = await conn.fetch(
            f"SELECT t.* {target.select_rows.partition(', t._extra ')[2]}",
            source, *map(list, zip(*rows, strict=True)),
        )  # fmt: skip
        stored = {tuple(row[name] for name in target.table.key): row for row in found}
        differing = []
        for key, row in rows.items():
            fields = _differing(target, row, stored.get(key))
            if fields and not (key in stored and stored[key]["_changed_at"] > page.requested_at):
                differing.append(key)
                verdict.differences.append(Difference(key=[*map(str, key)], fields=fields))
    if repair and differing:
        records = [record for record in page.records if target.parser.key(record) in differing]
        async with syncer.database.transaction() as conn:
            await mirror.lock_tables(conn, source, [target])
            await mirror.forget_hashes(conn, target, source, differing)
            written = await mirror.write_page(
                conn, target, source, records, now=syncer.clock(), not_after=page.requested_at
            )
        verdict.repaired += written.counts.inserted + written.counts.updated


def _differing(target: Target, row: Row, stored: asyncpg.Record | None) -> list[str]:
    """Return the names of the fields in which a record differs from its stored row."""
    if stored is None:
        return ["missing here"]
    if stored["_deleted_at"] is not None and not target.gone(row):
        return ["buried here, alive upstream"]
    pairs = {name: (value, stored[name]) for name, value in zip(target.columns, row.values, strict=True)}
    differing = [
        name for name, (sent, kept) in pairs.items() if name not in row.absent and not _same(target, name, sent, kept)
    ]
    if _tree(row.extra) != _tree(stored["_extra"]) and not row.absent:
        differing.append("_extra")
    return differing


def _same(target: Target, name: str, sent: Any, kept: Any) -> bool:
    if name in target.json_columns:
        return bool(_tree(sent) == _tree(kept))
    return bool(sent == kept)


def _tree(text: str | None) -> Any:
    return msgspec.json.decode(text) if text else None


def _print(verdicts: Sequence[Verdict]) -> None:
    console.print_table(
        "", ["stream", "compared", "mirrored", "all pages", "differ", "repaired"],
        [(f"{v.source}.{v.stream}", v.compared, v.mirrored, "yes" if v.complete else "no", len(v.differences),
          v.repaired) for v in verdicts],
    )  # fmt: skip
    for verdict in verdicts:
        name = f"{verdict.source}.{verdict.stream}"
        if verdict.error:
            console.err.print(f"[red]{name}[/]: {verdict.error}")
        for difference in verdict.differences[:SHOWN]:
            console.out.print(f"{name} {'/'.join(difference.key)}: {', '.join(difference.fields)}", markup=False)
        if len(verdict.differences) > SHOWN:
            console.out.print(f"{name}: … and {len(verdict.differences) - SHOWN} more (--json shows all)")
