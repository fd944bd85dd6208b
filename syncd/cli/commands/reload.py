"""`syncd reload --all`: every worker reads its configuration again."""

import asyncio
import time
from pathlib import Path

import asyncpg
import click

from syncd.cli import console
from syncd.cli.options import command, config_option
from syncd.cli.session import execute, load_config, opened_database
from syncd.errors import UsageError
from syncd.scale.workers import Worker

WAIT_S = 120.0
"""How long the workers are waited for: on a busy machine 50,000 accounts are read in half a minute."""
TELL_S = 10.0
"""After this it is told who has not answered yet."""
LOOK_S = 0.25


@command(examples=[("syncd reload --all", "after a change of the configuration on every machine")])
@config_option
@click.option("--all", "of_all", is_flag=True, help="Tell every worker on the database, on whatever machine.")
def reload(config_path: Path | None, of_all: bool) -> int:
    """Let every worker read its configuration again.

    Prints what became of it at each. A worker that refuses its configuration keeps the one before. Exit code 1 if one
    did, or did not answer in two minutes.
    """
    if not of_all:
        raise UsageError(
            "syncd reload is for workers: syncd reload --all",
            hint="A daemon (syncd run) re-reads its configuration at SIGHUP: systemctl reload syncd",
        )
    return execute(reload_all(config_path))


async def reload_all(path: Path | None) -> int:
    """Tell them, wait, and print what became of it."""
    from syncd.scale import workers

    async with opened_database(load_config(path, asks=False)) as database:
        async with database.connection() as conn:
            asked = [one for one in await workers.crew(conn) if one.is_alive]
            if not asked:
                raise UsageError("no worker shares the accounts of this database", hint="See: syncd workers")
            number = await workers.ask_reload(conn)
            answered = await _answers(conn, asked, number)
    for one in asked:
        after = answered.get(one.worker_id)
        words = "did not answer" if after is None else f"refused: {after.refused}" if after.refused else "took it"
        console.say(f"{one.name}  {words}{'' if after is None else f'  (config {after.config_digest})'}")
    return 0 if all((after := answered.get(one.worker_id)) and not after.refused for one in asked) else 1


async def _answers(conn: asyncpg.Connection, asked: list[Worker], number: int) -> dict[object, Worker]:
    """Return the workers that followed, as soon as all did or are gone."""
    from syncd.scale import workers

    began_at, is_told = time.monotonic(), False
    wanted = {one.worker_id for one in asked}
    while True:
        crew = [one for one in await workers.crew(conn) if one.worker_id in wanted and one.is_alive]
        answered: dict[object, Worker] = {one.worker_id: one for one in crew if one.reloads_followed >= number}
        took_s = time.monotonic() - began_at
        if len(answered) == len(crew) or took_s > WAIT_S:
            return answered
        if took_s > TELL_S and not is_told:
            is_told = True
            late = ", ".join(one.name for one in crew if one.worker_id not in answered)
            console.print_note(f"not yet answered by {late}; waiting for up to {WAIT_S:.0f} s")
        await asyncio.sleep(LOOK_S)
