"""Run benchmarks, print one table, and fail where a figure fell back."""

import argparse
import asyncio
import importlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import table
from bench.stage import ACCOUNTS, BIG, CUSTOMERS, STEPS, staged
from bench.table import Row

MEASURES = {
    "loads": "bench.loads",
    "latency": "bench.latency",
    "giants": "bench.giants",
    "idle": "bench.idle_tick",
    "memory": "bench.memory",
    "start": "bench.start_up",
    "budgets": "bench.budget_simulation",
    "accounts": "bench.many_accounts",
    "hanging": "bench.hanging_accounts",
    "workers": "bench.workers",
}
"""Names on the command line, and the module whose `measure(stage)` returns the rows."""
APART = "workers"
"""Run only where it is named: it takes as long as half of the others together."""


async def run(names: Sequence[str], **wishes: Any) -> tuple[list[Row], dict[str, object]]:
    """Run the named benchmarks one after another and return their rows, and the machine that gave them."""
    rows: list[Row] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="syncd-bench-", ignore_cleanup_errors=True) as folder:
        async with staged(Path(folder), **wishes) as stage:
            for name in names:
                began_name = time.monotonic()
                rows += await importlib.import_module(MEASURES[name]).measure(stage)
                stage.tell(f"{name} took {time.monotonic() - began_name:.0f} s")
            minutes, seconds = divmod(round(time.monotonic() - began), 60)
            return rows, {**stage.machine(), "took": f"{minutes} min {seconds} s"}


def main(words: Sequence[str] | None = None) -> int:
    """Parse the words, run, print; 1 if a figure fell back."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, epilog=_EPILOG)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which; default all but {APART}: {', '.join(MEASURES)}"
    )
    parser.add_argument("--size", type=int, default=CUSTOMERS, help="customers of the big loads [%(default)s]")
    parser.add_argument("--big", type=int, default=BIG, help="customers of the memory's big load [%(default)s]")
    steps = ", ".join(f"{each:,}" for each in STEPS)
    parser.add_argument("--accounts", type=int, help=f"accounts [{ACCOUNTS:,} in one daemon; {steps} of workers]")
    parser.add_argument("--no-peer", action="store_true", help="leave dlt out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this Markdown file")
    given = parser.parse_args(words)
    if unknown := set(given.names) - set(MEASURES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are: {', '.join(MEASURES)}")
    wishes = {"size": given.size, "big": given.big, "peer": not given.no_peer}
    if given.accounts:
        wishes |= {"accounts": given.accounts, "steps": (given.accounts,)}
    rows, machine = asyncio.run(run(given.names or [name for name in MEASURES if name != APART], **wishes))
    known = table.limits()
    table.print_table(rows, known, machine)
    if given.json:
        table.write_json(given.json, rows, known, machine)
    if given.write:
        table.write_block(given.write, rows, known, machine)
    return 1 if table.fallen(rows, known) else 0


_EPILOG = (
    "Ratios within one run are what counts: the machine and its load change everything else. The exit code is 1 where"
    " a figure is worse than the `fails` of its limit in bench/limits.toml (FELL BACK in the table), else 0, also where"
    " an aim is missed that was never reached."
)

if __name__ == "__main__":
    raise SystemExit(main())
