"""`syncd migrate`: brings the database to this version, and to those of the plugins."""

import contextlib
from pathlib import Path

import click

from syncd.cli import console
from syncd.cli.options import command, config_option
from syncd.cli.session import execute, load_config, opened_database
from syncd.clock import utc_now
from syncd.config import Config
from syncd.errors import ConfigError, DatabaseError, UsageError
from syncd.sources import plugins, registry
from syncd.storage.postgres import migrations
from syncd.storage.postgres.database import Database
from syncd.storage.postgres.migrations import Branch
from syncd.storage.state import sources


@command(
    examples=[
        ("syncd migrate", "the first time, and after every upgrade of syncd or of a plugin"),
        ("sudo -u syncd syncd migrate", "as the account of the daemon"),
        ("syncd migrate --plugin lightspeed", "only the tables of this plugin"),
        ("syncd migrate --plugin lightspeed --down", "removes its tables; before pip uninstall"),
    ]
)
@click.option("--plugin", metavar="TYPE", help="Only the tables of this plugin: the type of its sources.")
@click.option("--down", is_flag=True, help="Remove them. Refused while they hold data.")
@config_option
def migrate(config_path: Path | None, plugin: str | None, down: bool) -> int:
    """Bring the database to this version.

    Safe to run twice at once, and at any time: what is there stays. Run it after every upgrade. The tables of syncd
    come first, then those of each plugin; a plugin that fails keeps no other back.
    """
    if down and plugin is None:
        raise UsageError("--down needs --plugin: nothing but a plugin can be removed", hint="--plugin TYPE --down")
    if plugin is None:
        return execute(migrate_database(config_path))
    return execute(migrate_plugin(config_path, plugin, down=down))


async def migrate_database(path: Path | None) -> int:
    """Bring the database to this version and say what was done; 3 if a plugin's migrations could not be run."""
    settings = load_config(path, resolve_secrets=False, asks=False)
    async with opened_database(settings, migrated=False) as open_database:
        migrated = await migrations.migrate_all(open_database, plugins().values())
        standing = await migrations.find_standing(open_database)
        await _claim(settings, open_database)
    newer = ", newer than this syncd, which it admits" if standing.is_newer else ""
    console.say(f"database {open_database.shown} is at revision {standing.revision}{newer}")
    console.say(f"applied: {', '.join(migrated.applied)}" if migrated.applied else "nothing to do")
    for error in migrated.failed:
        console.say(f"failed: {error.whole}")
    return DatabaseError.exit_code if migrated.failed else 0


async def migrate_plugin(path: Path | None, plugin: str, *, down: bool) -> int:
    """Bring the tables of one plugin to its version, or remove them, and say what was done."""
    settings = load_config(path, resolve_secrets=False, asks=False)
    branches = {branch.name: branch for branch in migrations.branches_of(plugins().values())}
    if plugin not in branches:
        installed = ", ".join(branches) or "none"
        hint = f"Installed are: {installed}." + (f" {_BY_HAND.format(type=plugin)}" if down else "")
        raise UsageError(f"no plugin of type {plugin} is installed", hint=hint)
    async with opened_database(settings) as open_database:
        if not down:
            applied = await migrations.migrate(open_database, branches[plugin])
            console.say(f"applied: {', '.join(applied)}" if applied else "nothing to do")
            return 0
        await _require_empty(open_database, branches[plugin])
        removed = await migrations.remove(open_database, branches[plugin])
    console.say(f"removed: {', '.join(removed)}" if removed else "nothing to do")
    return 0


_BY_HAND = (
    "Install the plugin again to remove its tables, or let an administrator do it by SQL: DROP SCHEMA {type} CASCADE;"
    " DELETE FROM syncd.migrations WHERE version_num LIKE '{type}\\_%'; and the tables {type}_… of schema history."
)


async def _require_empty(database: Database, branch: Branch) -> None:
    """Raise UsageError while anything of a source of the plugin's type is stored."""
    async with database.connection() as conn:
        held = [name for name, identity in (await sources.all_stored(conn)).items() if identity.type == branch.name]
    if held:
        drops = ", ".join(f"syncd sources drop {name}" for name in held)
        raise UsageError(
            f"the tables of plugin {branch.name} hold the data of {', '.join(held)}; nothing was removed",
            hint=f"If they are not wanted any more: {drops}. Take the source out of the configuration, too.",
        )


async def _claim(settings: Config, database: Database) -> None:
    """Store whose data the rows of an older version are: of the account that the configuration names now.

    A source whose account cannot be told here, because a secret is missing, is left to its first run. So is one whose
    plugin could not be migrated.
    """
    unready = await migrations.unready(database, plugins().values())
    for source in settings.sources.values():
        if source.type in unready:
            continue
        with contextlib.suppress(ConfigError):
            identity = registry()[source.type].identity(source.base_url, source.options)
            async with database.connection() as conn:
                await sources.claim_rows(conn, source.name, identity, now=utc_now())
