"""`syncd upgrade --check`: says whether database, configuration and plugins fit this version, before a restart."""

import contextlib
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from syncd import __version__
from syncd.cli import carried, console
from syncd.cli.finding import CONFIGURATION, DATABASE, Finding
from syncd.cli.options import command, config_option, json_option
from syncd.cli.session import execute, load_config, opened_database
from syncd.errors import ConfigError, DatabaseError, UsageError

if TYPE_CHECKING:
    from syncd.storage.postgres.database import Database


@command(
    examples=[
        ("/opt/syncd/0.2.0/bin/syncd upgrade --check", "the new version, installed beside the one that runs"),
        ("syncd upgrade --check && systemctl restart syncd", "restart only if everything fits"),
    ]
)
@click.option("--check", is_flag=True, help="Look, and change nothing.")
@config_option
@json_option
def upgrade(check: bool, config_path: Path | None, as_json: bool) -> int:
    """Say whether database, configuration and plugins fit this version.

    Run it with the new version before the service is restarted. It changes nothing and asks no upstream. Exit code 0: a
    restart works. 2: the configuration or a plugin does not fit. 3: the database must be migrated, or is too new.
    """
    if not check:
        raise UsageError(
            "syncd does not install itself", hint="Install the new version beside this one; then: syncd upgrade --check"
        )
    return execute(look(config_path, as_json=as_json))


async def look(path: Path | None, *, as_json: bool) -> int:
    """Look at everything, print it, and return the gravest exit code."""
    beside = console.program()
    ready = "" if beside == "syncd" else f", once the service starts {beside}"
    well = f"all fits; next: systemctl restart syncd{ready}"
    async with contextlib.aclosing(_findings(path)) as found:
        return await console.print_findings(found, as_json=as_json, well=well)


async def _findings(path: Path | None) -> AsyncGenerator[Finding, None]:
    from syncd.sources import found, plugins
    from syncd.storage.postgres import embedded

    python = ".".join(map(str, sys.version_info[:3]))
    yield Finding(what="program", state="ok", detail=f"syncd {__version__} on Python {python}")
    for refused in found().refused:
        yield Finding(what="plugin", state="failed", detail=refused.words, exit_code=CONFIGURATION,
                      hint="Upgrade the plugin, or go on without its sources.")  # fmt: skip
    for name in plugins():
        yield Finding(what=f"plugin {name}", state="ok", detail=found().plugins[name])
    try:
        settings = load_config(path, resolve_secrets=False, asks=False)
    except ConfigError as error:
        yield Finding(what="configuration", state="failed", detail=str(error), hint=error.hint, exit_code=CONFIGURATION)
        return
    yield Finding(what=f"configuration {settings.path}", state="ok")
    for one in carried.FILES:
        if one.state == "another version":
            yield Finding(what=one.name, state="warning", detail=f"{one.place} is of another version",
                          hint=f"syncd files write {one.name} --install --force")  # fmt: skip
    if settings.database.is_embedded and not embedded.exists(settings.database.data_dir):
        yield Finding(what="database", state="failed", exit_code=DATABASE,
                      hint=f"Run: {console.pasteable('migrate', path)}",
                      detail=f"there is no private server in {settings.database.data_dir} yet")  # fmt: skip
        return
    try:
        async with opened_database(settings, migrated=False) as opened:
            for finding in await _database(opened, f"Run: {console.pasteable('migrate', path)}"):
                yield finding
    except DatabaseError as error:
        yield Finding(what="database", state="failed", detail=str(error), hint=error.hint, exit_code=DATABASE)


async def _database(opened: "Database", migrate: str) -> list[Finding]:
    """Say of our migrations, and of each plugin's, whether they fit; `migrate` names this version's own command.

    The `syncd` on the path is the old version as a rule, whose migrate finds nothing to do.
    """
    from syncd.sources import plugins
    from syncd.storage.postgres import migrations

    found = []
    for branch in [migrations.ours(), *migrations.branches_of(plugins().values())]:
        standing = await migrations.find_standing(opened, branch)
        what = f"database, migrations of {branch.words}"
        if standing.admits:
            newer = ", newer than this version, which it admits" if standing.is_newer else ""
            found.append(Finding(what=what, state="ok", detail=f"at revision {standing.revision}{newer}"))
            continue
        refusal = standing.refusal(opened.shown)
        detail = str(refusal)
        if not standing.is_newer and standing.revision is not None:
            detail += "; the version that runs may go on until it is restarted"
        hint = refusal.hint if standing.is_newer else migrate
        found.append(Finding(what=what, state="failed", detail=detail, hint=hint, exit_code=DATABASE))
    return found
