"""`syncd restore`: loads a backup into an empty private server."""

import time
from pathlib import Path

import click

from syncd.cli import console
from syncd.cli.commands.backup import require_private
from syncd.cli.options import command, config_option
from syncd.cli.session import execute, load_config, opened_database
from syncd.errors import UsageError
from syncd.storage.postgres import embedded, migrations


@command(
    examples=[
        ("sudo -u syncd syncd restore mirror.dump", "after the old cluster was put aside: docs/upgrade.md"),
        ("syncd restore mirror.dump --config elsewhere.toml", "into another data directory"),
    ]
)
@click.argument("file", type=click.Path(path_type=Path))
@config_option
def restore(file: Path, config_path: Path | None) -> int:
    """Load a backup into an empty private server.

    The server of the configuration's data directory, which is made if there is none. Refused if it holds a mirror. A
    backup is loaded whole or not at all. Then: syncd migrate, in case the backup is of an older version; syncd check.
    """
    return execute(load_backup(config_path, file))


async def load_backup(path: Path | None, file: Path) -> int:
    """Load the backup and say at which revision it is."""
    settings = load_config(path, resolve_secrets=False, asks=False)
    require_private(settings, "createdb NAME && pg_restore --no-owner -d NAME FILE")
    async with opened_database(settings, migrated=False) as opened:
        if await migrations.revision(opened) is not None:
            raise UsageError(
                f"the private server in {settings.database.data_dir} holds a mirror already",
                hint="Stop syncd and move its folder cluster away, or name another data_dir in another --config.",
            )
        began = time.monotonic()
        server = await embedded.ensure(settings.database.data_dir)
        await embedded.load(server, file)
        standing = await migrations.find_standing(opened)
    console.say(
        f"loaded {file} into {settings.database.data_dir} (PostgreSQL {server.version}) in"
        f" {time.monotonic() - began:.1f} s; the database is at revision {standing.revision}"
    )
    first = "" if standing.admits else f"{console.pasteable('migrate', path)}, then "
    console.say(f"next: {first}{console.pasteable('check', path)}")
    return 0
