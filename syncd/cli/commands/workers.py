"""`syncd workers`: who shares the accounts, and what each has."""

from pathlib import Path

from syncd.cli import console
from syncd.cli.options import command, config_option, json_option
from syncd.cli.session import execute, load_config, opened_database
from syncd.scale.workers import Worker


@command(
    examples=[
        ("syncd workers", "a line for each"),
        ("syncd workers --json | jq '[.[] | select(.state == \"alive\")] | length'", "how many there are"),
    ]
)
@config_option
@json_option
def workers(config_path: Path | None, as_json: bool) -> int:
    """List the workers that share the accounts.

    Those that were lost are listed for a day. Exit code 1 if there is none that is alive.
    """
    return execute(list_workers(config_path, as_json=as_json))


async def list_workers(path: Path | None, *, as_json: bool) -> int:
    """Print them."""
    from syncd.scale import workers as rows

    async with opened_database(load_config(path, asks=False)) as database:
        async with database.connection() as conn:
            crew = await rows.crew(conn)
    if as_json:
        console.print_json([_as_json(one) for one in crew])
    elif not crew:
        console.say("No worker shares the accounts of this database.")
    else:
        console.print_table(
            "", ["worker", "state", "shards", "config", "version", "page", "joined"],
            [
                (one.name, state_of(one), len(one.shards), one.config_digest, one.version, one.http_address or "off",
                 one.started_at)
                for one in crew
            ],
        )  # fmt: skip
        for one in crew:
            if one.refused and one.is_alive:
                console.say(f"{one.name} refused the configuration: {one.refused}")
    return 0 if any(one.is_alive for one in crew) else 1


def state_of(one: Worker) -> str:
    """Return how a worker stands, in one word."""
    if one.lost_at is not None:
        return "lost"
    return "silent" if one.is_silent else "leaving" if one.is_leaving else "alive"


def _as_json(one: Worker) -> dict[str, object]:
    return {
        "worker": str(one.worker_id), "host": one.host, "pid": one.pid, "state": state_of(one),
        "shards": list(one.shards), "config_digest": one.config_digest, "version": one.version,
        "http_address": one.http_address, "started_at": one.started_at, "lost_at": one.lost_at,
        "refused": one.refused,
    }  # fmt: skip
