"""Follows a mirror without polling its tables.

    python consumer.py postgresql://reader@host/mirror place.txt [TABLE…]

Prints a line of JSON for each change; put your own work into `handle`. The file holds the number of the last change
that was handled. Whenever this ends, it goes on from there: a change may come twice, but none is skipped.
Name the tables that you follow (`autengo.vehicles`): the first start reads them, also those that have no change yet.
Needs asyncpg and a role that may read.
"""

import asyncio
import contextlib
import json
import sys
from pathlib import Path

import asyncpg

AT_ONCE = 500
PATIENCE_S = 60.0
"""A notification is a hint: one that was sent while nobody listened is not sent again."""


async def follow(url: str, place: Path, tables: list[str]) -> None:
    """Handle every change from now on, for ever; read the tables first where no place is known yet."""
    conn = await asyncpg.connect(url)
    news = asyncio.Event()
    await conn.add_listener("syncd_changes", lambda *_: news.set())
    conn.add_termination_listener(lambda _: news.set())
    if place.exists():
        last = int(place.read_text())
    else:
        # in this order: what changes while the tables are read is handled once more afterwards
        last = await conn.fetchval("SELECT coalesce(max(id), 0) FROM syncd.changes")
        await begin(conn, tables)
        remember(place, last)
    while True:
        news.clear()
        while changes := await conn.fetch("SELECT * FROM syncd.changes_since($1, $2)", last, AT_ONCE):
            for change in changes:
                handle(change)
            last = changes[-1]["id"]
            remember(place, last)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), PATIENCE_S)


async def begin(conn: asyncpg.Connection, tables: list[str]) -> None:
    """Read the tables as they are now: the feed does not report the rows that are there already."""
    fed = [table for (table,) in await conn.fetch("SELECT DISTINCT table_name FROM syncd.changes")]
    if not tables:
        print("no table is named: one without any change so far is not read at the start", file=sys.stderr)
    for table in dict.fromkeys([*tables, *fed]):
        rows = await conn.fetchval(f"SELECT count(*) FROM {table} WHERE _deleted_at IS NULL")
        say({"table": table, "operation": "begin", "rows": rows})


def handle(change: asyncpg.Record) -> None:
    """Do something with one change; doing it twice must do no harm."""
    say(
        {
            "id": change["id"],
            "source": change["source"],
            "table": change["table_name"],
            "key": json.loads(change["key"]),
            "operation": change["operation"],
            "changed": change["changed"],
        }
    )


def remember(place: Path, last: int) -> None:
    """Write down what is done, all or nothing."""
    new = place.with_suffix(".new")
    new.write_text(str(last))
    new.replace(place)


def say(what: object) -> None:
    """Print one line, at once."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        asyncio.run(follow(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
    except asyncpg.NoDataFoundError as error:
        sys.exit(f"{error}\n{error.hint} To do so, remove {sys.argv[2]} and start again.")
    except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError) as error:
        sys.exit(f"the database is away: {error}; start again, nothing is lost")
    except asyncpg.PostgresError as error:
        sys.exit(
            f"the database refuses this: {error}; does the role exist, and may it read schema syncd and the tables?"
        )
