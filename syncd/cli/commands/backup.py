"""`syncd backup`: dumps the private server's database into a file."""

import time
from pathlib import Path

import click

from syncd.cli import console
from syncd.cli.options import command, config_option, json_option
from syncd.cli.session import execute, load_config
from syncd.clock import utc_now
from syncd.config import Config
from syncd.errors import UsageError
from syncd.storage.postgres import embedded


@command(
    examples=[
        ("syncd backup", "into a file of this folder, named by day and time"),
        ("syncd backup /var/backups/mirror.dump", "while the daemon runs; as of one instant"),
        ("sudo -u syncd syncd backup /var/backups/syncd/$(date +%u).dump", "in a crontab: a week of them"),
    ]
)
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@config_option
@json_option
def backup(file: Path | None, config_path: Path | None, as_json: bool) -> int:
    """Dump the private server's database into a file.

    The dump is as of one instant, whatever runs meanwhile, and holds the whole database: mirror, history, cursors,
    budgets and rejects. It holds personal data; only its owner can read it. The configuration and the secrets are not
    in it. `syncd restore` loads it, also into a later major version of PostgreSQL.

    A server of your own is dumped with its own tools: pg_dump -Fc.
    """
    return execute(back_up(config_path, file, as_json=as_json))


async def back_up(path: Path | None, file: Path | None, *, as_json: bool) -> int:
    """Dump the database and say where it is."""
    settings = load_config(path, resolve_secrets=False, asks=False)
    require_private(settings, "pg_dump -Fc -f FILE DATABASE")
    if not embedded.exists(settings.database.data_dir):
        raise UsageError(
            f"there is no private server in {settings.database.data_dir} yet",
            hint="Nothing was ever mirrored there. Is it the right --config, and the right user?",
        )
    target = file or Path(f"syncd-{utc_now():%Y%m%d-%H%M%S}.dump")
    began = time.monotonic()
    server = await embedded.ensure(settings.database.data_dir)
    size = await embedded.dump(server, target)
    took_s = time.monotonic() - began
    if as_json:
        told = {"file": str(target.absolute()), "bytes": size, "postgres": server.version, "took_s": round(took_s, 3)}
        console.print_json(told)
    else:
        console.say(f"wrote {target.absolute()}: {size:,} bytes, PostgreSQL {server.version}, in {took_s:.1f} s")
    return 0


def require_private(settings: Config, instead: str) -> None:
    """Raise UsageError unless the configuration names the private server."""
    if not settings.database.is_embedded:
        raise UsageError(
            f"the database {settings.database.shown} is a server of your own, not the private one",
            hint=f"Use its own tools: {instead}",
        )
