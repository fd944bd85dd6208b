"""The values that the configuration is made of: what a source type accepts, and what comes out for the daemon.

What a source type accepts is written by `syncd/sources/` as a `SourceSpec`, so that a fifth API changes nothing here.
Reads no file; `syncd.config` fills these in, and passes the names on.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from datetime import UTC, datetime, time
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from syncd.config import address
from syncd.config.hours import Hours
from syncd.config.option import OptionSpec
from syncd.config.proxy import ProxySetting
from syncd.config.secret import Secret
from syncd.errors import ConfigError
from syncd.frozen import dataclass

if TYPE_CHECKING:
    from syncd.config.account import SourceConfig

# --- What a source type accepts ---------------------------------------------------------------------------------------

Withholding = Literal["exclude", "hash"]


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One stream: its default schedule and what may be said about it.

    `every_s` None: no schedule of its own unless the file gives one. `sweep_s` None: it has no sweep, and `sweep` is
    refused. `is_on` False: off, unless the file says `enabled = true`. `is_pushed`: only webhooks bring it.
    `is_fed`: the mirror gives keys where the file names none. Each name in `lookup` is accepted as a list of keys and,
    with `_query` added, as SQL that yields keys. `may_withhold` raises ValueError for a field that may not stand in
    `exclude`, or in `hash`.
    """

    name: str
    every_s: float | None = None
    sweep_s: float | None = None
    is_on: bool = True
    is_pushed: bool = False
    lookup: tuple[str, ...] = ()
    is_fed: bool = False
    options: Mapping[str, OptionSpec] = msgspec.field(default_factory=dict)
    may_withhold: Callable[[str, Withholding], None] = lambda _name, _how: None


class BudgetConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Requests allowed per moving minute and per day (None: what the server says), and the shares of the lanes."""

    per_minute: int | None = None
    per_day: int | None = None
    live_reserve: float = 0.2  # DESIGN section 6: of the day, kept for the live lane
    backfill_share: float = 0.6  # DESIGN section 6: of the minute, at most for the backfill lane


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long an answer may take, in seconds.

    first_byte_s  the longest silence: before the first byte of an answer, and between two pieces of it
    answer_s      the whole answer, from sending the request on
    """

    first_byte_s: float = 60.0
    answer_s: float = 180.0


class SourceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One source type; `base_url` None: the file must give it; `example_name`: what `syncd init` proposes."""

    type: str
    base_url: str | None
    example_name: str = ""
    options: Mapping[str, OptionSpec] = msgspec.field(default_factory=dict)
    streams: Mapping[str, StreamSpec] = msgspec.field(default_factory=dict)
    budget: BudgetConfig = BudgetConfig()
    timeouts: Timeouts = Timeouts()


# --- What comes out ---------------------------------------------------------------------------------------------------


class Schemas(msgspec.Struct, frozen=True, kw_only=True):
    """Names of the schemas of the views and of old versions, where the database has others of the usual names."""

    reporting: str = "reporting"
    history: str = "history"


class DatabaseConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The database: `url` reveals "embedded" or a postgresql:// address; `shown` is the same, fit for a message."""

    url: Secret
    data_dir: Path
    schemas: Schemas = Schemas()

    @property
    def is_embedded(self) -> bool:
        """Whether syncd runs a private server in the data directory."""
        return self.url.reveal() == address.EMBEDDED

    @property
    def shown(self) -> str:
        """The address without password and parameters."""
        return address.without_password(self.url.reveal())

    @property
    def password(self) -> Secret | None:
        """The password within the address, decoded, if it holds one."""
        return _password(self.url)


Network = IPv4Network | IPv6Network


@dataclass(frozen=True, kw_only=True)
class Http:
    """Where something listens, by default the status page; port 0 is any free one.

    `hosts` are names that the status page answers to beside its own and those of loopback; "*" stands for any. `path`
    is where a proxy shows the page, such as "/syncd"; empty at the root. Whoever knows `operator_token` may act on the
    page; without one it only reads. `user_header` is the header in which a proxy names who is signed in; it is believed
    if the connection comes from one of `trusted_proxies`.
    """

    host: str = "127.0.0.1"  # DESIGN section 7
    port: int = 8787
    hosts: tuple[str, ...] = ()
    path: str = ""
    operator_token: Secret | None = None
    user_header: str = ""
    trusted_proxies: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


CALLBACK_LISTEN: Final = Http(port=8789)
"""Where callbacks are listened for by default: on a port of their own, so that the status page stays at home."""


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """How the log is written; `syncd.log.configure` takes both."""

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long finished runs, rejects, drifted fields, old versions of rows (None: for ever) and changes are kept."""

    runs_s: float = 90 * 86_400.0
    rejects_s: float = 365 * 86_400.0
    drift_s: float = 90 * 86_400.0
    history_s: float | None = None
    changes_s: float = 30 * 86_400.0


LEASE_LEAST_S: Final = 1.0
"""A shorter lease is lost whenever a machine is busy for a moment."""


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """How many workers share the accounts: `shards` counts once, for the first worker of a database.

    `lease_s` is how long a worker may be silent before others take its accounts over; `pool` is how many connections a
    worker has for its runs, beside one for its locks and one for its beats.
    """

    shards: int = 256
    lease_s: float = 3.0
    pool: int = 4


class Privacy(msgspec.Struct, frozen=True, kw_only=True):
    """The key of `hash`, the same for every source, so that what is hashed can still be joined."""

    hash_key: Secret | None = None

    def key(self, environ: Mapping[str, str] = os.environ) -> bytes:
        """Return the key, read now if it was left unresolved. Raises ConfigError."""
        if self.hash_key is None:
            raise ConfigError("privacy.hash_key is missing, though a stream has hash")
        return self.hash_key.read(environ).encode()


PART: Final = " (a part)"
"""Ends the key of a text that is a secret by itself within another one."""


@dataclass(frozen=True, kw_only=True)
class Notify:
    """Who is told of what needs a look: addresses as Apprise writes them, and a heartbeat for as long as all is well.

    Nothing is told in the hours of `quiet`, and of what lasts less than `after_s`. `digest` is the time of a daily
    message; both are on the clocks of `zone`.
    """

    urls: tuple[Secret, ...] = ()
    heartbeat_url: Secret | None = None
    heartbeat_every_s: float = 60.0
    quiet: Hours | None = None
    digest: time | None = None
    zone: str = "Europe/Amsterdam"
    after_s: float = 60.0

    @property
    def secrets(self) -> Iterator[tuple[str, Secret]]:
        """The addresses with their keys, and the parts of the resolved ones that are secrets by themselves."""
        for place, url in enumerate(self.urls, 1):
            yield f"notify.urls ({place})", url
            yield from ((f"notify.urls ({place}){PART}", part) for part in _parts(url))
        if self.heartbeat_url:
            yield "notify.heartbeat_url", self.heartbeat_url
            yield from ((f"notify.heartbeat_url{PART}", part) for part in _parts(self.heartbeat_url))


class Auto(msgspec.Struct, frozen=True, kw_only=True):
    """How often a stream with `every = "auto"` may be asked, in seconds; `every_s` is what it costs as much as."""

    every_s: float
    min_s: float
    max_s: float


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """One stream as configured; present for every stream of the type, whether or not the file names it.

    At most one of `every_s` and `cron` is set; `cron` is in UTC, its weekdays written as names. `lookup` holds every
    lookup name of the stream (empty for other streams) with its keys as texts, without duplicates, in the file's order;
    `queries` holds the SQL of those that were given as `<name>_query`, under `<name>`. `history` keeps old versions of
    rows, `changes` tells of every change in `syncd.changes`. `max_records` stops a run whose list does not end.
    `exclude` and `hash` name the fields that are never written, or only as keyed hashes. `is_pushed`: nothing asks for
    its records, because webhooks bring them. `is_fed`: the mirror gives keys where there are none here. `auto`: the
    bounds of `every = "auto"`; `every_s` is then the default.
    """

    name: str
    enabled: bool = True
    is_named_off: bool = True  # counts where it is not enabled: the file says so, not only the stream's default
    history: bool = False
    changes: bool = False
    max_records: int | None = None
    every_s: float | None = None
    cron: str | None = None
    sweep_s: float | None = None
    lookup: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    queries: Mapping[str, str] = field(default_factory=dict)
    is_fed: bool = False
    options: Mapping[str, object] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    hash: tuple[str, ...] = ()
    is_pushed: bool = False
    auto: Auto | None = None


IN_FLIGHT: Final = 4
"""Requests of one source and lane on the wire at once, by default."""
IN_FLIGHT_MAX: Final = 16
"""More would only burden the vendor: the budget allows 5 a second; our choice."""


@dataclass(frozen=True, kw_only=True)
class SourcesFrom:
    """A query that gives an account in each row, and how often it is asked again.

    `url` None: it asks the mirror's database. `proxy` is that of accounts that name none.
    """

    query: str
    url: Secret | None = None
    every_s: float = 300.0
    proxy: ProxySetting = None

    @property
    def password(self) -> Secret | None:
        """The password within the address, decoded, if it has an address that holds one."""
        return _password(self.url) if self.url else None


FROM_ROWS: Final = "sources_from"
"""The origin of an account that the query gave."""


DIGEST_CHARS: Final = 12
"""Signs of the digest of a configuration: enough to tell two apart."""
NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The whole file. Two are equal when they would make the daemon do the same, wherever they were read from.

    `left_out` holds the sources whose type cannot be used or is not installed, each with the reason as a sentence; they
    are not among `sources`. So are the rows of `sources_from` that are wrong, which `rows_left_out` names. `files` are
    the files of accounts that were read beside `path`, and `rows_digest` tells the rows that were read from others.
    `read_at` is when the file was read.
    """

    path: Path = field(compare=False)
    database: DatabaseConfig
    http: Http | None
    sources: Mapping[str, "SourceConfig"]
    callback_listen: Http | None = CALLBACK_LISTEN
    log: Log = field(default_factory=Log)
    retention: Retention = field(default_factory=Retention)
    privacy: Privacy = field(default_factory=Privacy)
    left_out: Mapping[str, str] = field(default_factory=dict)
    notify: Notify | None = None
    scale: Scale = field(default_factory=Scale)
    sources_from: SourcesFrom | None = None
    files: tuple[Path, ...] = field(default=(), compare=False, repr=False)
    rows_left_out: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    rows_digest: str = field(default="", compare=False, repr=False)
    read_at: datetime = field(default=NEVER, compare=False)

    @property
    def without_rows(self) -> "Config":
        """The configuration as the files alone have it."""
        return replace(
            self,
            sources={name: source for name, source in self.sources.items() if source.origin != FROM_ROWS},
            left_out={name: why for name, why in self.left_out.items() if name not in self.rows_left_out},
            rows_left_out=frozenset(),
            rows_digest="",
        )

    def sharing(self, before: "Config") -> "Config":
        """Return it with the accounts of the one before that did not change: both take little more memory than one.

        What is new could else lie among what is old, whose memory then would not be given back.
        """
        sources: dict[str, SourceConfig] = {}
        for name, source in self.sources.items():
            old = before.sources.get(name)
            kept = old if old is not None and old.is_said_as(source) else source
            sources[kept.name] = kept
        return replace(self, sources=sources)

    @cached_property
    def digest(self) -> str:
        """What changes with every value but the secrets, however the file is written and wherever it lies."""
        digest = hashlib.sha256(repr(replace(self, path=Path(), sources={}, read_at=NEVER)).encode())
        written: dict[int, str] = {}  # accounts that say the same share what was read
        for source in self.sources.values():
            own = source.name, source.type, source.in_flight, *source.own
            digest.update(repr(own).encode())
            for shared in (source.streams, source.budget, source.proxy, source.timeouts):
                if id(shared) not in written:
                    written[id(shared)] = repr(shared)
                digest.update(written[id(shared)].encode())
        return digest.hexdigest()[:DIGEST_CHARS]

    @cached_property
    def common_digest(self) -> str:
        """The digest of all that must be the same for all workers, wherever they serve their pages.

        Accounts that a query gave are left out: each worker asks it at another moment.
        """
        return replace(self.without_rows, http=None, callback_listen=None).digest


def _password(url: Secret) -> Secret | None:
    inline = address.password_of(url.reveal())
    return Secret(inline) if inline else None


def _parts(url: Secret) -> list[Secret]:
    return [Secret(part, ref=url.ref) for part in address.secret_parts(url.reveal())] if url.is_resolved else []
