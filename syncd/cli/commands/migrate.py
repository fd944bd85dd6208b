"""`syncd migrate`: brings the database to this version."""

import contextlib
from pathlib import Path

from syncd.cli import console
from syncd.cli.options import command, config_option
from syncd.cli.session import execute, load_config, opened_database
from syncd.clock import utc_now
from syncd.config import Config
from syncd.errors import ConfigError
from syncd.sources import registry
from syncd.storage.postgres import migrations
from syncd.storage.postgres.database import Database
from syncd.storage.state import sources


@command(
    examples=[
        ("syncd migrate", "the first time, and after every upgrade"),
        ("sudo -u syncd syncd migrate", "as the account of the daemon"),
    ]
)
@config_option
def migrate(config_path: Path | None) -> int:
    """Bring the database to this version.

    Safe to run twice at once, and at any time: what is there stays. Run it after every upgrade.
    """
    return execute(migrate_database(config_path))


async def migrate_database(path: Path | None) -> int:
    """Bring the database to this version and say what was done."""
    settings = load_config(path, resolve_secrets=False)
    async with opened_database(settings, migrated=False) as open_database:
        applied = await migrations.migrate(open_database)
        standing = await migrations.find_standing(open_database)
        await _claim(settings, open_database)
    newer = ", newer than this syncd, which it admits" if standing.is_newer else ""
    console.say(f"database {open_database.shown} is at revision {standing.revision}{newer}")
    console.say(f"applied: {', '.join(applied)}" if applied else "nothing to do")
    return 0


async def _claim(settings: Config, database: Database) -> None:
    """Store whose data the rows of an older version are: of the account that the configuration names now.

    A source whose account cannot be told here, because a secret is missing, is left to its first run.
    """
    for source in settings.sources.values():
        with contextlib.suppress(ConfigError):
            identity = registry()[source.type].identity(source.base_url, source.options)
            async with database.connection() as conn:
                await sources.claim_rows(conn, source.name, identity, now=utc_now())
