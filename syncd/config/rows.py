"""Accounts that a query gave, one in each row: what is wrong with a row costs this one account.

A row has the columns `name` and `type`. Each other column is a key of the table [sources.NAME] and null says nothing;
the column `options` holds more of them as a JSON object. A secret is written by its place only. Opens nothing.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final
from uuid import UUID

import msgspec

from syncd.config.account import SourceConfig
from syncd.config.model import FROM_ROWS, Config, SourceSpec
from syncd.config.proxy import ProxySetting
from syncd.config.secret import Secret
from syncd.config.shown import Shown, shown
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


class RowsReader:
    """Reads accounts from rows, some at a time; `config` returns the configuration with them, once all are read.

    They take the place of those that rows gave before. What is wrong with a row costs this account: it is in
    `left_out`. With `resolve_secrets` False their secrets stay unread. `notes_keys` says whether `shown` is wanted.
    """

    def __init__(
        self,
        config: Config,
        registry: Mapping[str, SourceSpec],
        *,
        environ: Mapping[str, str] = os.environ,
        resolve_secrets: bool = True,
        refused: Mapping[str, str] = {},
        notes_keys: bool = False,
    ) -> None:
        self._config = config.without_rows
        self._registry, self._refused = registry, refused
        self._environ, self._resolve_secrets, self._notes_keys = environ, resolve_secrets, notes_keys
        self._sources: dict[str, SourceConfig] = {}
        self._left_out: dict[str, str] = {}
        self._times_again = Counter[str]()
        self._taken: list[Taken] = []
        self._digest = RowsDigest()
        self.count = 0
        """Rows that were read."""

    def take(self, rows: Sequence[Row]) -> None:
        """Read the next rows. Raises ConfigError where they have no column `name` or `type`."""
        if missing := [column for column in REQUIRED_COLUMNS if rows and column not in rows[0]]:
            raise _unfit(f"no column {missing[0]}")
        self._digest.take(rows)
        for row in rows:
            self.count += 1
            self._read(row)

    def config(self) -> Config:
        """Return the configuration of the files with the accounts of the rows. Raises ConfigError if there was none."""
        if not self.count:
            raise _unfit("no row")
        for name, times in self._times_again.items():
            self._sources.pop(name, None)
            self._left_out[name] = f"{times + 1} rows have this name, and nobody can say which of them counts"
        return replace(
            self._config,
            sources={**self._config.sources, **self._sources},
            left_out={**self._config.left_out, **self._left_out},
            rows_left_out=frozenset(self._left_out),
            rows_digest=self._digest.hex,
        )

    def shown(self) -> list[Shown]:
        """Return the keys of the accounts that are not left out as they may be shown, after `config`."""
        return [shown(one) for one in self._taken if one.table[1] in self._sources]

    def _read(self, row: Row) -> None:
        name, number = row["name"], self.count
        why: str | None
        if not isinstance(name, str) or not re.fullmatch(SOURCE_NAME, name):
            told = found(name) if name is not None else "null"
            self._left_out[f"row {number}"] = f"the column name holds {told[:NAME_CHARS]}, and {SOURCE_NAME_RULE}"
        elif name in self._config.sources or name in self._config.left_out:
            why = "a file of the configuration has a source of this name, which counts"
            self._left_out[f"{name} (row {number})"] = why
        elif name in self._sources or name in self._left_out:
            self._times_again[name] += 1
        elif why := why_left_out(row["type"], self._registry, self._refused):
            self._left_out[name] = why
        else:
            self._read_account(name, row)

    def _read_account(self, name: str, row: Row) -> None:
        reading = RowReading(
            folder=self._config.path.absolute().parent, environ=self._environ, resolve_secrets=self._resolve_secrets,
            origin=FROM_ROWS, notes_keys=self._notes_keys,
        )  # fmt: skip
        proxy = self._config.sources_from.proxy if self._config.sources_from else None
        has_key = self._config.privacy.hash_key is not None
        if source := _source(reading, name, row, self._registry, proxy, has_key=has_key):
            self._sources[name] = source
            self._taken += reading.taken
        else:
            self._left_out[name] = _said(reading.problems, name)


class RowsDigest:
    """What tells the rows that it took from others, whatever their order."""

    def __init__(self) -> None:
        self._sum = 0

    def take(self, rows: Iterable[Row]) -> None:
        """Add some rows."""
        for row in rows:
            one = hashlib.sha256(repr(sorted(row.items())).encode()).digest()
            self._sum = (self._sum + int.from_bytes(one)) % 2**256

    @property
    def hex(self) -> str:
        """The digest of all that were taken."""
        return f"{self._sum:064x}"


def _unfit(wrong: str) -> ConfigError:
    return ConfigError(
        f"sources_from.query gives {wrong}: it gives an account in each row, with the columns name and type",
        hint="Nothing was changed. Mend the query, or the table that it reads.",
    )


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
