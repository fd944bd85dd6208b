"""Writes docs/streams.md, what a first run of each stream brings and costs: `python -m tests.papers.streams_page`.

With `--check` it only says whether the page is stale.
"""

from collections.abc import Iterable
from pathlib import Path

from syncd.contract import Stream
from syncd.sources import registry
from tests.papers.cookbook import markdown_table, write
from tests.support.bench import Bench
from tests.support.crashes import PAGINGS
from tests.support.matrix import MATRIX
from tests.support.truth import NAMES

PAGE = Path(__file__).parents[2] / "docs" / "streams.md"
KILLED = {"shop.customers", *(f"shop.{paging.stream}" for paging in PAGINGS)}
"""Streams whose runs are killed at many points."""

INTRODUCTION = """\
# Every stream: rows, requests, faults

This page is written by `python -m tests.papers.streams_page`. CI fails if it is not current. Do not edit it.

The table shows one first run of every stream against the simulated upstreams, as `syncd sandbox` serves them at
22 November 2026: the rows of its tables that are alive afterwards, and the requests that the run took. The sandbox is
small; [budgets](budgets.md) tells what an account of the usual size needs. The last column names the faults that a run
of the stream is put through, [each of them](reliability.md) once and then for good, and `kill -9` where a run is
killed at many points. `make test` tries every other fault on one stream, `make trials` all of them on all.

A stream with “webhook only” has no request that lists it: its rows come with signed [webhooks](callbacks.md) alone.
"""


async def page(bench: Bench) -> str:
    """Return the whole page, from a mirror that holds the whole seed."""
    parts = [INTRODUCTION]
    for source, api in NAMES.items():
        rows = [await _row(bench, source, stream) for stream in registry()[api].streams]
        parts.append(f"## {api}\n")
        parts.append(markdown_table(("stream", "rows alive", "requests", "faults it was tried with"), rows))
    return "\n".join(parts)


async def _row(bench: Bench, source: str, stream: Stream) -> tuple[str, str, str, str]:
    tables = (stream.table, *(child.table for child in stream.table.children))
    counts = []
    for table in tables:
        query = f'SELECT count(*) FROM "{table.schema}"."{table.name}" WHERE source = $1 AND _deleted_at IS NULL'
        [[count]] = await bench.fetch(query, source)
        counts.append(f"{count:,}" if table is stream.table else f"`{table.name}` {count:,}")
    runs = await bench.fetch(
        "SELECT requests FROM syncd.runs WHERE source = $1 AND stream = $2 ORDER BY run_id DESC LIMIT 1",
        source, stream.name,
    )  # fmt: skip
    requests = "webhook only" if stream.is_pushed else f"{runs[0]['requests']:,}"
    names = {stream.name, *(table.name for table in tables)}
    found = {fault.name for fault in MATRIX if names & {each.partition(".")[2] for each in _of(source, fault.streams)}}
    told = [*sorted(found), *(["kill -9"] if f"{source}.{stream.name}" in KILLED else [])]
    return f"`{stream.name}`", ", ".join(counts), requests, f"{len(told)}: {', '.join(told)}" if told else "–"


def _of(source: str, selectors: Iterable[str]) -> list[str]:
    return [each for each in selectors if each.startswith(f"{source}.")]


if __name__ == "__main__":
    write(PAGE, page, "tests.papers.streams_page")
