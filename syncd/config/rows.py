"""Accounts that a query gave, one in each row: what is wrong with a row costs this one account.

A row has the columns `name` and `type`. Each other column is a key of the table [sources.NAME] and null says nothing;
the column `options` holds more of them as a JSON object. A secret is written by its place only. Opens nothing.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final
from uuid import UUID

import msgspec

from syncd.config.model import FROM_ROWS, Config, SourceConfig, SourceSpec
from syncd.config.proxy import ProxySetting
from syncd.config.secret import Secret
from syncd.config.sources import SOURCE_NAME, SOURCE_NAME_RULE, read_source, why_left_out
from syncd.config.toml import Reading, Taken, TomlTable, found
from syncd.errors import ConfigError

Row = Mapping[str, object]
"""A row by the names of its columns: JSON as `Json`, all else as the driver gives it."""


class Json(str):
    """The text of a JSON value, decoded when its row is read: 50,000 decoded ones would take half a gigabyte."""

    __slots__ = ()


PLACE: Final = re.compile(r"(env|file|credential):(.+)", re.DOTALL)
"""A place of a secret as one text."""
PLACES: Final = 'env:NAME, file:PATH or credential:NAME (in JSON also {"env": "NAME"})'
REQUIRED_COLUMNS: Final = ("name", "type")
NAME_CHARS: Final = 63
"""Of a name that is no name of a source, in a message."""


@dataclass(kw_only=True)
class RowReading(Reading):
    """The reading of one row: who can read the table may not read the secrets."""

    def secret(self, value: object, *, always: bool = False) -> Secret:
        """Read a secret by its place; the text itself is refused."""
        if isinstance(value, str):
            if not (place := PLACE.fullmatch(value)):
                raise ValueError(f"a secret does not stand in a table, only where it lies: {PLACES}; found a text")
            value = {place[1]: place[2]}
        return super().secret(value, always=always)


def read_rows(
    config: Config,
    rows: Sequence[Row],
    registry: Mapping[str, SourceSpec],
    *,
    refused: Mapping[str, str],
    environ: Mapping[str, str],
    resolve_secrets: bool,
    taken: list[Taken] | None = None,
) -> Config:
    """Return the configuration of the files with the accounts of the rows; see `loader.with_rows`.

    Every key that was read is added to `taken`, if that is given.
    """
    config = config.without_rows
    missing = [column for column in REQUIRED_COLUMNS if rows and column not in rows[0]]
    if missing or not rows:
        wrong = f"no column {missing[0]}" if missing else "no row"
        raise ConfigError(
            f"sources_from.query gives {wrong}: it gives an account in each row, with the columns name and type",
            hint="Nothing was changed. Mend the query, or the table that it reads.",
        )
    proxy = config.sources_from.proxy if config.sources_from else None
    folder = config.path.absolute().parent
    given = Counter(row["name"] for row in rows if isinstance(row["name"], str))
    sources, left_out = dict(config.sources), dict[str, str]()
    for number, row in enumerate(rows, 1):
        name = row["name"]
        reading = RowReading(
            folder=folder, environ=environ, resolve_secrets=resolve_secrets, origin=FROM_ROWS,
            notes_keys=taken is not None,
        )  # fmt: skip
        if not isinstance(name, str) or not re.fullmatch(SOURCE_NAME, name):
            told = found(name) if name is not None else "null"
            left_out[f"row {number}"] = f"the column name holds {told[:NAME_CHARS]}, and {SOURCE_NAME_RULE}"
        elif name in config.sources or name in config.left_out:
            left_out[f"{name} (row {number})"] = "a file of the configuration has a source of this name, which counts"
        elif given[name] > 1:
            left_out[name] = f"{given[name]} rows have this name, and nobody can say which of them counts"
        elif why := why_left_out(row["type"], registry, refused):
            left_out[name] = why
        elif source := _source(reading, name, row, registry, proxy, has_key=config.privacy.hash_key is not None):
            sources[name] = source
            if taken is not None:
                taken += reading.taken
        else:
            left_out[name] = _said(reading.problems, name)
    return replace(
        config,
        sources=sources,
        left_out={**config.left_out, **left_out},
        rows_left_out=frozenset(left_out),
        rows_digest=digest_of(rows),
    )


def digest_of(rows: Iterable[Row]) -> str:
    """Return what tells these rows from others, whatever their order."""
    each = sorted(hashlib.sha256(repr(sorted(row.items())).encode()).digest() for row in rows)
    return hashlib.sha256(b"".join(each)).hexdigest()


def _source(
    reading: Reading,
    name: str,
    row: Row,
    registry: Mapping[str, SourceSpec],
    proxy: ProxySetting,
    *,
    has_key: bool,
) -> SourceConfig | None:
    """Read one row; None if anything is wrong with it, which the reading has noted."""
    raw = {key: _plain(value) for key, value in row.items() if value is not None and key not in ("name", "options")}
    more = _plain(row.get("options")) or {}
    if not isinstance(more, dict):
        reading.note(("sources", name, "options"), f"expected a JSON object, found {found(more)}")
        return None
    table = TomlTable(reading, ("sources", name), {**more, **raw})
    for twice in more.keys() & raw.keys():
        table.note((twice,), "stands in a column and in options, too; keep one")
    source = read_source(table, name, registry, proxy)
    if source and not has_key and (hashing := [stream.name for stream in source.streams.values() if stream.hash]):
        table.note(("streams", hashing[0], "hash"), "needs privacy.hash_key in the configuration")
    return None if reading.problems else source


def _plain(value: object) -> object:
    """Return a value of a column as TOML would have given it."""
    match value:
        case Json():
            try:
                return msgspec.json.decode(str(value))
            except msgspec.DecodeError:  # half a surrogate, which the type json admits; no value may be repeated
                return ["what cannot be read"]
        case Decimal():
            return int(value) if value.is_finite() and value == int(value) else float(value)
        case UUID():
            return str(value)
    return value


def _said(problems: Sequence[str], name: str) -> str:
    return "; ".join(problem.removeprefix(f"sources.{name}.") for problem in problems)
