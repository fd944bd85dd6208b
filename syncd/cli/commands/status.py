"""`syncd status`: prints how every stream, budget and backfill stands."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from msgspec.structs import replace

from syncd import config as configuration
from syncd.cli import console
from syncd.cli.options import DurationType, command, config_option, json_option, selectors_argument
from syncd.cli.session import execute, load_config, opened_database
from syncd.clock import utc_now
from syncd.config.duration import spoken
from syncd.errors import UsageError
from syncd.sources import registry
from syncd.status import BackfillStatus, BudgetStatus, Status, StatusReader, StreamStatus, collect, troubles


@command(
    examples=[
        ("syncd status", "what is fresh, late or failing, and what the budgets hold"),
        ("syncd status shop", "the streams of one source"),
        ("syncd status --json | jq '.streams[] | select(.state != \"fresh\")'", "for a script"),
        ("syncd status --check || mail -s late me@example.com", "exit code 1 while a stream is late or failing"),
        ("syncd status 'shop.*' --check --max-age 30m", "the same, by an age of your own"),
    ]
)
@selectors_argument
@click.option("--check", is_flag=True, help="Only say what is late, failing or paused; exit code 1 if anything is.")
@click.option(
    "--max-age",
    type=DurationType(),
    metavar="DURATION",
    help="With --check: late is what is older than this, such as 30m.  [default: two intervals of each stream]",
)
@config_option
@json_option
def status(
    selectors: tuple[str, ...], check: bool, max_age: float | None, config_path: Path | None, as_json: bool
) -> int:
    """Show how every stream and every budget stands.

    Streams with state, cursor, rows, last run, freshness and next run; rejects and drift; requests left. --json prints
    the same document as /api/status, of the selected streams.

    Of more than 4,000 streams only those that are not well are listed, unless some are selected.

    Lateness and failures change the exit code only with --check. It then judges the selected streams that are on, and
    counts no rows. A stream for which the account has no scope is paused, and counts as failing until `enabled = false`
    says that this is meant.
    """
    if max_age is not None and not check:
        raise UsageError("--max-age says what --check calls late", hint="Add --check.")
    if check:
        return execute(check_streams(config_path, selectors, max_age_s=max_age, as_json=as_json))
    return execute(show_status(config_path, selectors, as_json=as_json))


LISTED = 100
"""Of very many streams so many are listed that are not well."""


async def show_status(path: Path | None, selectors: Sequence[str], *, as_json: bool) -> int:
    """Print the state of every stream and source that is selected."""
    settings = load_config(path, resolve_secrets=False)
    pairs = configuration.matching(settings, selectors)
    async with opened_database(settings) as open_database:
        reader = StatusReader(registry(), config=lambda: settings, database=lambda: open_database, clock=utc_now)
        if reader.is_large and not selectors and not as_json:
            return await show_overview(reader)
        found = await (reader.details(pairs) if selectors else reader.status())
    if selectors:
        found = found.narrowed(pairs)
    if as_json:
        console.print_json(found)
    else:
        print_status(found)
    return 0


async def show_overview(reader: StatusReader) -> int:
    """Print how many of very many streams are in which state, and those that are not well, as far as a table goes."""
    seen = (await reader.overview()).status
    pairs = [(stream.source, stream.stream) for stream in seen.streams][:LISTED]
    listed = await reader.details(pairs)
    print_status(replace(listed, summary=seen.summary, backfills=seen.backfills, orphans=seen.orphans))
    of = f"{LISTED} of {len(seen.streams):,} streams that are" if len(seen.streams) > LISTED else "All streams that are"
    console.say(f"{of} not well are listed. syncd status SELECTOR shows others, and --json has all.")
    return 0


async def check_streams(path: Path | None, selectors: Sequence[str], *, max_age_s: float | None, as_json: bool) -> int:
    """Say which of the selected streams are not as they should be; 1 if any is not."""
    settings = load_config(path, resolve_secrets=False)
    pairs = configuration.select(settings, selectors)
    if not pairs:
        raise UsageError("no stream is on", hint="syncd check says which keys are missing.")
    async with opened_database(settings) as open_database:
        found = await collect(open_database, settings, registry(), now=datetime.now(UTC), counts_rows=False)
    wrong = troubles(found, settings, pairs, max_age_s=max_age_s)
    if as_json:
        console.print_json(found.narrowed(pairs))
    for trouble in wrong:
        (console.print_note if as_json else console.say)(trouble.words)
    if not as_json and not wrong:
        console.say(f"{len(pairs)} stream{'' if len(pairs) == 1 else 's'}: all well")
    return 1 if wrong else 0


def print_status(status: Status) -> None:
    """Print streams, budgets and backfills, and below why a stream is not as it should be."""
    console.say(f"syncd {status.version}, database {status.database}, {status.at:%Y-%m-%d %H:%M:%S} UTC")
    console.say(status.line)
    columns = ["stream", "state", "rows", "gone", "last run", "fresh", "next run", "rejects", "drift", "cursor"]
    shown = columns[:-1] if console.is_narrow(console.WIDE) else columns
    console.print_table("", shown, [_stream(stream, status.at)[: len(shown)] for stream in status.streams])
    budgets = [(source.source, source.budget) for source in status.sources if source.budget]
    if budgets:
        console.print_table(
            "",
            ["budget of", "minute left", "of", "day left", "of", "used live", "backfill", "day ends", "closed until"],
            [_budget(name, budget) for name, budget in budgets],
        )  # fmt: skip
    if status.backfills:
        console.print_table(
            "Backfills under way",
            ["stream", "range", "since", "rows", "pages", "requests", "waited", "done", "to go", "quota to go"],
            [_backfill(one, status.at) for one in status.backfills],
        )  # fmt: skip
    for stream in status.streams:
        if stream.schedule.startswith("auto "):
            console.say(f"{stream.name} runs at its own pace: {stream.schedule}")
        if stream.why:
            console.say(f"{stream.source}.{stream.stream} is {stream.state}: {stream.why}")
    for source in status.sources:
        if source.refused:
            console.say(source.refused)
    for orphan in status.orphans:
        console.say(f"{orphan.words}. {orphan.hint}")


def _stream(stream: StreamStatus, now: datetime) -> tuple[object, ...]:
    last = stream.last_run
    return (
        f"{stream.source}.{stream.stream}", stream.state,
        stream.rows.alive if stream.rows else None, stream.rows.deleted if stream.rows else None,
        f"{last.kind} {last.outcome}, {spoken((now - last.started_at).total_seconds())} ago" if last else None,
        spoken(stream.freshness_s), _ahead(stream.next_run_at, now),
        stream.rejects or None, stream.drift_count or None, stream.cursor_words,
    )  # fmt: skip


DAY_S = 86_400.0


def _ahead(at: datetime | None, now: datetime) -> str:
    """Return when something is due: the time of the day in UTC as the heading has it, with the date where it is far."""
    if at is None:
        return ""
    ahead_s = (at - now).total_seconds()
    if ahead_s <= 0:
        return "due"
    return f"{at.astimezone(UTC):{'%H:%M' if ahead_s < DAY_S else '%Y-%m-%d %H:%M'}}, in {spoken(ahead_s)}"


def _budget(name: str, budget: BudgetStatus) -> tuple[object, ...]:
    return (
        name, budget.minute_remaining, budget.minute_limit, budget.day_remaining, budget.day_limit,
        budget.day_used_live, budget.day_used_backfill, budget.day_reset_at, budget.closed_until,
    )  # fmt: skip


def _backfill(one: BackfillStatus, now: datetime) -> tuple[object, ...]:
    run, progress = one.run, one.progress
    return (
        f"{one.source}.{one.stream}", one.range, spoken((now - run.started_at).total_seconds()), run.rows_seen,
        run.pages, run.requests, spoken(run.budget_wait_s), f"{progress.share:.0%}" if progress else None,
        spoken(progress.left_s) or None if progress else None,
        console.quota(progress.quota_days) if progress and progress.quota_days else None,
    )  # fmt: skip
