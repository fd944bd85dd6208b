"""Finds the configuration's file, reads it with those that it includes, checks it whole, and hands out frozen values.

Owns where the file is found and how its tables become one `Config`; `general` and `sources` read the tables. What a
source type accepts comes in as a registry of `SourceSpec`. Never opens a connection, never logs, and never lets a
secret out but through `Secret.reveal`.
"""

import os
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from syncd.config.fragments import read_fragments
from syncd.config.general import (
    TAKEN_SCHEMAS,
    read_database,
    read_http,
    read_log,
    read_notify,
    read_privacy,
    read_retention,
    read_scale,
    read_sources_from,
)
from syncd.config.model import Config, SourceSpec
from syncd.config.shown import Shown, shown
from syncd.config.sources import read_sources
from syncd.config.toml import Reading, TomlTable, read_toml
from syncd.errors import ConfigError

SYSTEM_PATH: Final = Path("/etc/syncd/config.toml")  # DESIGN section 7


def find(path: Path | None, environ: Mapping[str, str], cwd: Path) -> Path:
    """Find the configuration file: `path` (--config), $SYNCD_CONFIG, ./config.toml, /etc/syncd/config.toml.

    A path that was given explicitly is never replaced by another one. Raise ConfigError that lists where was looked.
    """
    if path:
        places = [(path, "--config")]
    elif environ.get("SYNCD_CONFIG"):
        places = [(Path(environ["SYNCD_CONFIG"]), "$SYNCD_CONFIG")]
    else:
        places = [(Path("config.toml"), "current directory"), (SYSTEM_PATH, "system")]
    looked = []
    for place, origin in places:
        candidate = cwd / place
        try:
            mode = candidate.stat().st_mode
        except OSError as error:
            looked.append(f"  {candidate} ({origin}): {error.strerror}")
            continue
        if not stat.S_ISDIR(mode):
            return candidate
        looked.append(f"  {candidate} ({origin}): Is a directory")
    raise ConfigError(
        "\n".join(["no configuration file found; looked at", *looked]),
        hint="write one with syncd init, or name yours with --config or $SYNCD_CONFIG",
    )


def load(
    path: Path | None,
    registry: Mapping[str, SourceSpec],
    *,
    environ: Mapping[str, str] = os.environ,
    resolve_secrets: bool = True,
    refused: Mapping[str, str] = {},
) -> Config:
    """Read and check the file; raise one ConfigError that names every problem in it, one per line.

    `registry` maps a source's `type` to what it accepts; `refused` says of other types that are installed why they
    cannot be used. Sources of such a type, or of one that is not installed, are left out, and nothing of them is
    judged. With `resolve_secrets` False the
    secrets of the sources stay unread (that of the database is always read). Relative paths in a file count from the
    file's own directory. Accounts of `[sources_from]` are added by `RowsReader`.
    """
    return _read(path, registry, environ, refused, resolve_secrets=resolve_secrets, notes_keys=False)[0]


def read_shown(
    path: Path | None,
    registry: Mapping[str, SourceSpec],
    *,
    environ: Mapping[str, str] = os.environ,
    refused: Mapping[str, str] = {},
) -> tuple[Config, list[Shown]]:
    """Read and check the file as `load` does, the secrets unread; return with it every key as it may be shown."""
    config, reading = _read(path, registry, environ, refused, resolve_secrets=False, notes_keys=True)
    return config, [shown(taken) for taken in reading.taken]


def _read(
    path: Path | None,
    registry: Mapping[str, SourceSpec],
    environ: Mapping[str, str],
    refused: Mapping[str, str],
    *,
    resolve_secrets: bool,
    notes_keys: bool,
) -> tuple[Config, Reading]:
    path = find(path, environ, Path.cwd())
    reading = Reading(folder=path.absolute().parent, environ=environ, resolve_secrets=resolve_secrets)
    reading.notes_keys = notes_keys
    root = TomlTable(reading, (), read_toml(path))
    database = read_database(root.table("database"), lambda: (*TAKEN_SCHEMAS, *registry))
    http, callback_listen, proxy = read_http(root.table("http"))
    main = root.table("sources")
    fragments, files = read_fragments(root, path)
    asked = read_sources_from(root.table("sources_from"), proxy)
    sources, left_out = read_sources([main, *fragments], registry, refused, proxy, are_required=asked is None)
    config = Config(
        path=path,
        database=database,
        http=http,
        callback_listen=callback_listen,
        sources=sources,
        left_out=left_out,
        log=read_log(root.table("log")),
        retention=read_retention(root.table("retention")),
        privacy=read_privacy(root.table("privacy"), sources),
        notify=read_notify(root.table("notify")),
        scale=read_scale(root.table("scale")),
        sources_from=asked,
        files=files,
        read_at=datetime.now(UTC),
    )
    root.close()
    if reading.problems:
        head = f"{path} has {len(reading.problems)} problem{'s' if len(reading.problems) > 1 else ''}:"
        raise ConfigError("\n".join([head, *(f"  {problem}" for problem in reading.problems)]))
    return config, reading
