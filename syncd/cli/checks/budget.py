"""What `syncd check --budget` says: requests a day that every stream needs, and what to change if they are too many."""

import contextlib
from datetime import UTC, datetime
from pathlib import Path

from syncd import config as configuration
from syncd.cli import console
from syncd.cli.finding import CONFIGURATION
from syncd.cli.session import load_config
from syncd.config import Config
from syncd.config.duration import spoken
from syncd.engine.lookups import keys_of, run_query
from syncd.errors import DatabaseError, SyncdError
from syncd.sources import registry
from syncd.status import Forecast, Pair, read_forecasts
from syncd.storage.postgres import database, migrations
from syncd.storage.postgres.database import Database


async def show(path: Path | None, *, as_json: bool) -> int:
    """Print the forecast of every source; the exit code is 2 if one needs more than its day allows.

    Asks no upstream and writes nothing. Without a database it goes by what the sources declare.
    """
    settings = load_config(path, resolve_secrets=False)
    async with contextlib.AsyncExitStack() as stack:
        opened: Database | None = None
        try:
            opened = await database.connect(settings.database)
            stack.push_async_callback(opened.close)
            await migrations.require_migrated(opened)
        except DatabaseError as error:
            opened = None
            console.print_note(f"no runs and no rows are known: {error}")
        keys = await _keys(settings, opened) if opened else {}
        found = await read_forecasts(opened, settings, registry(), now=datetime.now(UTC), keys=keys)
    if as_json:
        console.print_json([{**_plain(one), "fits": one.fits} for one in found])
    else:
        for one in found:
            _print(one)
    return 0 if all(one.fits for one in found) else CONFIGURATION


async def _keys(settings: Config, opened: Database) -> dict[Pair, int]:
    """Return how many keys each stream is asked for, where a query gives them; one that fails gives none."""
    found = {}
    for source, name in configuration.select(settings, []):
        stream = settings.sources[source].streams[name]
        if not stream.queries:
            continue
        count = sum(map(len, stream.lookup.values()))
        for key, sql in stream.queries.items():
            with contextlib.suppress(SyncdError):  # `syncd check` says what is wrong with it
                count += len(keys_of(key, await run_query(opened, key, sql)))
        found[source, name] = count
    return found


def _plain(one: Forecast) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__struct_fields__}


def _print(one: Forecast) -> None:
    """Print one source: its streams, the dearest first, then the sum and what to change."""
    rows = [
        (
            f"{one.source}.{need.stream}", spoken(need.every_s), f"{need.run:,.1f}",
            spoken(need.sweep_s) if need.sweep_s else None, f"{need.sweep:,.0f}" if need.sweep_s else None,
            f"{need.a_day:,.0f}", need.known_by,
        )
        for need in one.needs
    ]  # fmt: skip
    columns = ["stream", "every", "requests a run", "sweep every", "requests a sweep", "requests a day", "known by"]
    console.print_table("", columns, rows)
    console.say(f"{one.source}: {one.words}")
    for change in one.changes:
        key = "enabled = false" if change.every == "off" else f'every = "{change.every}"'
        console.say(
            f"        → [sources.{one.source}.streams.{change.stream}] {key} instead of every {change.instead_of}"
            f" saves {change.saves:,.0f} a day"
        )
    if not one.fits and not one.changes:
        console.say("        → Switch off streams that nobody needs: enabled = false")
