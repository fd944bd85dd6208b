"""What `syncd check` says of where accounts come from: the query of `[sources_from]`, and files others may read."""

from collections.abc import Iterator
from pathlib import Path

from syncd import config as configuration
from syncd.cli.finding import CONFIGURATION, Finding
from syncd.config import Config, RowsReader
from syncd.errors import SyncdError
from syncd.service import accounts
from syncd.sources import refused, specs


def with_rows(settings: Config) -> tuple[Config, list[Finding]]:
    """Return the configuration with the accounts of the query, their secrets unread, and what became of it.

    Where the query fails, the configuration comes back as it was.
    """
    if settings.sources_from is None:
        return settings, []
    what = "sources_from"
    try:
        reader = RowsReader(settings, specs(), refused=refused(), resolve_secrets=False)
        role = accounts.ask(settings, reader.take)
        asked = reader.config()
    except SyncdError as error:
        code = error.exit_code or CONFIGURATION
        return settings, [Finding(what=what, state="failed", detail=str(error), hint=error.hint, exit_code=code)]
    taken = reader.count - len(asked.rows_left_out)
    detail = f"the query gives {reader.count:,} rows, run as {role} and only to read; {taken:,} are accounts"
    return asked, [Finding(what=what, state="ok", detail=detail)]


def unready(full: Config, settings: Config) -> Iterator[Finding]:
    """Return a finding for each account of a row whose secret is not where it should be."""
    for name in full.rows_left_out - settings.rows_left_out:
        yield Finding(
            what=f"source {name}", state="failed", detail=full.left_out[name], exit_code=CONFIGURATION,
            hint="The other sources are not touched by it.",
        )  # fmt: skip


def readable(settings: Config) -> Iterator[Finding]:
    """Return a warning for each file of the configuration that holds secrets and may be read by others."""
    inline: dict[Path, list[str]] = {}
    for key, secret in configuration.secrets(settings):
        if secret.ref is None and key != "database.url" and not key.endswith(configuration.PART):
            named = key.split(".")[1] if key.startswith("sources.") else ""
            origin = settings.sources[named].origin if named in settings.sources else ""
            inline.setdefault(Path(origin) if origin else settings.path, []).append(key)
    for path, keys in inline.items():
        if (mode := path.stat().st_mode) & 0o077:
            detail = f"holds secrets ({', '.join(keys)}) and may be read by others (mode {mode & 0o777:04o})"
            yield Finding(what=str(path), state="warning", detail=detail, hint=f"chmod 600 {path}")
