"""Whose data the mirror holds: every source that is configured or stored, and which of them nobody configures."""

import contextlib
from collections.abc import Collection, Iterable, Mapping
from typing import Final, Literal

import msgspec

from syncd.config import Config, SourceConfig
from syncd.contract import Identity, Source
from syncd.errors import AnotherAccount, ConfigError
from syncd.status.counts import count_rows, tables_there
from syncd.status.model import Orphan, Rows
from syncd.storage.postgres.database import Database
from syncd.storage.state import sources

Counted = Mapping[tuple[str, str], Rows]
"""Rows by table and source."""

OwnerState = Literal["ours", "another account", "orphan", "empty", "left out"]
_NAMES: Final = "SELECT source FROM syncd.sources UNION SELECT source FROM syncd.cursors"


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """One source; `rows` None: not counted. Type, address and account are those of the rows, if that is known."""

    source: str
    type: str | None
    address: str | None
    account: str | None
    rows: int | None
    configured: bool
    state: OwnerState
    why: str = ""


async def read_owners(database: Database, config: Config, registry: Mapping[str, Source]) -> list[Owner]:
    """Return every source that is configured, or of which anything is stored. Secrets may be unresolved.

    Counts every row of the mirror, however long that takes. Raises DatabaseError.
    """
    names = await stored_names(database)
    async with database.connection() as conn:
        stored = await sources.all_stored(conn)
    counted = await count_rows(database, await tables_there(database, tables_of(registry)), timeout_s=0)
    return owners_of(config, registry, names, stored, counted)


async def stored_names(database: Database) -> list[str]:
    """Return the sources of which the state knows anything. Raises DatabaseError."""
    async with database.connection() as conn:
        return [row["source"] for row in await conn.fetch(_NAMES)]


def tables_of(registry: Mapping[str, Source]) -> list[str]:
    """Return the tables of all streams of all types."""
    return [f"{stream.table.schema}.{stream.table.name}" for kind in registry.values() for stream in kind.streams]


def owners_of(
    config: Config,
    registry: Mapping[str, Source],
    names: Iterable[str],
    stored: Mapping[str, Identity],
    counted: Counted,
) -> list[Owner]:
    """Return every source: those of the configuration in its order, then those that only the database knows.

    `names` are the sources of which the state knows anything beside their identity.
    """
    held = {*names, *stored, *config.left_out, *(source for _, source in counted if source)}
    everybody = [*config.sources, *sorted(held - config.sources.keys())]
    rows_of: dict[str, dict[str, int]] = {}
    for (table, source), rows in counted.items():
        rows_of.setdefault(source, {})[table] = rows.alive + rows.deleted
    counts = bool(counted)
    return [
        _owner(name, config, registry, stored.get(name), rows_of.get(name, {}), counts=counts) for name in everybody
    ]


def orphans_of(owners: Collection[Owner]) -> list[Orphan]:
    """Return the sources that nobody configures, with what to do about them."""
    return [_orphan(owner, owners) for owner in owners if owner.state == "orphan"]


def accounts_twice(config: Config, registry: Mapping[str, Source]) -> list[tuple[str, str]]:
    """Return each source of the configuration that is the account of one before it, with the name of that one."""
    known: dict[tuple[object, ...], str] = {}
    found = []
    for source in config.sources.values():
        with contextlib.suppress(ConfigError):  # a secret is missing, which `check` tells by itself
            identity = registry[source.type].identity(source.base_url, source.options)
            account = (identity.type, identity.address, *sorted(identity.account.items()))
            if account in known:
                found.append((source.name, known[account]))
            known.setdefault(account, source.name)
    return found


def refusal(source: SourceConfig, registry: Mapping[str, Source], stored: Identity | None) -> AnotherAccount | None:
    """Return why no run of a configured source may begin; None if one may, or if a secret that tells is missing."""
    try:
        configured = registry[source.type].identity(source.base_url, source.options)
        sources.require_same(source.name, stored, configured)
    except AnotherAccount as error:
        return error
    except ConfigError:
        return None
    return None


def _owner(
    name: str,
    config: Config,
    registry: Mapping[str, Source],
    stored: Identity | None,
    mine: Mapping[str, int],
    *,
    counts: bool,
) -> Owner:
    """Return one source; `mine` are its rows by table, unless nothing `counts` them."""
    settings, identity, why = config.sources.get(name), stored, ""
    state: OwnerState = "orphan"
    if name in config.left_out:
        state, why = "left out", config.left_out[name]
    if settings:
        error = refusal(settings, registry, stored)
        state = "another account" if error else "ours" if stored or any(mine.values()) else "empty"
        why = error.whole if error else ""
        if identity is None:
            try:
                identity = registry[settings.type].identity(settings.base_url, settings.options)
            except ConfigError:
                identity = None
    type_ = identity.type if identity else settings.type if settings else _type_of(mine)
    return Owner(
        source=name, type=type_, address=identity.address if identity else None,
        account=identity.account_words if identity else None, rows=sum(mine.values()) if counts else None,
        configured=settings is not None or state == "left out", state=state, why=why,
    )  # fmt: skip


def _type_of(mine: Mapping[str, int]) -> str | None:
    """Return the type of a source whose identity is not stored: its rows lie in the schema of that name."""
    return next((table.partition(".")[0] for table, rows in mine.items() if rows), None)


def _orphan(owner: Owner, owners: Collection[Owner]) -> Orphan:
    """Return an orphan; if one configured source of its type has no rows yet, that may be its new name."""
    fitting = [other.source for other in owners if other.state == "empty" and other.type == owner.type]
    name = fitting[0] if len(fitting) == 1 else "NEW"
    return Orphan(
        source=owner.source, type=owner.type, address=owner.address, account=owner.account, rows=owner.rows,
        hint=f"Was it renamed? syncd sources rename {owner.source} {name}."
        f" Is it no longer wanted? syncd sources drop {owner.source}.",
    )  # fmt: skip
