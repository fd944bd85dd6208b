"""Reads the tables of the file that are not about one source: database, http, log, retention, scale, privacy, notify.

Each function takes one table, notes what is wrong in it, and returns its values. Never opens anything.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Final, cast

from syncd.config.account import SourceConfig
from syncd.config.address import EMBEDDED, parse_database_url, parse_host, parse_listen, parse_path
from syncd.config.hours import parse_hours, parse_time
from syncd.config.model import (
    CALLBACK_LISTEN,
    LEASE_LEAST_S,
    DatabaseConfig,
    Http,
    Log,
    Network,
    Notify,
    Privacy,
    Retention,
    Scale,
    Schemas,
    SourcesFrom,
)
from syncd.config.option import OptionSpec
from syncd.config.proxy import ProxySetting, parse_proxy
from syncd.config.secret import Secret
from syncd.config.toml import Bounded, Reading, TomlTable, choice, count, duration, found, list_of, text, zone

SYSTEM_DATA_DIR: Final = Path("/var/lib/syncd")
"""Named, and not used, where the user has no home and the database is a server of its own."""
SCHEMA_NAME: Final = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")
TAKEN_SCHEMAS: Final = (
    "public",
    "syncd",
    "syncd_queue",
    "information_schema",
    "cyclesoftware",
    "cyclis",
    "autengo",
    "ghs",
)
"""Beside the schemas of plugins, which are their types."""
HEARTBEAT_LEAST_S: Final = 5.0  # each beat needs a look at the database; our choice
HASH_KEY_CHARS: Final = 16  # at least; it is made, not thought up
NEW_KEY: Final = "openssl rand -hex 32"
TOKEN_CHARS: Final = 20
"""Fewest characters of an operator's token: it is all that guards what can be done on the page; our choice."""


def read_database(table: TomlTable, taken: Callable[[], Collection[str]]) -> DatabaseConfig:
    """Read `[database]`; `taken` returns the schemas that ours may not be named like."""
    reading = table.reading

    def address(value: object) -> Secret:
        secret = reading.secret(value, always=True)
        return Secret(parse_database_url(secret.reveal()), ref=secret.ref)

    url = table.take("url", address, Secret("embedded"))
    default = Path()
    if "data_dir" not in table.raw:
        is_needed = url.reveal() == EMBEDDED
        default = table.attempt("data_dir", lambda: _default_data_dir(reading, is_needed=is_needed), default)
    data_dir = table.take("data_dir", reading.path, default)
    schemas = _schemas(table.table("schemas"), taken)
    table.close()
    return DatabaseConfig(url=url, data_dir=data_dir, schemas=schemas)


def _schemas(table: TomlTable, taken: Callable[[], Collection[str]]) -> Schemas:
    def name(value: object) -> str:
        if not isinstance(value, str) or not SCHEMA_NAME.fullmatch(value) or value in taken():
            others = ", ".join(dict.fromkeys(taken()))
            raise ValueError(f"expected a name in small letters, digits and _ that is not {others}, got {found(value)}")
        return value

    usual = Schemas()
    schemas = Schemas(
        reporting=table.take("reporting", name, usual.reporting), history=table.take("history", name, usual.history)
    )
    if schemas.reporting == schemas.history:
        table.refuse("history", "is the name of the other schema, too")
    table.close()
    return schemas


def _default_data_dir(reading: Reading, *, is_needed: bool) -> Path:
    """Return $STATE_DIRECTORY (systemd; its first entry), else syncd in $XDG_STATE_HOME, else ~/.local/state/syncd."""
    state = reading.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if state:
        return Path(state)
    xdg = Path(reading.environ.get("XDG_STATE_HOME", ""))
    if xdg.is_absolute():
        return xdg / "syncd"
    try:
        return reading.home() / ".local" / "state" / "syncd"
    except ValueError:  # an account of a container has no home, and needs none for a server of its own
        if is_needed:
            raise
        return SYSTEM_DATA_DIR


def read_http(table: TomlTable) -> tuple[Http | None, Http | None, ProxySetting]:
    """Return where is listened for the status page and for callbacks, and the proxy of sources that name none."""
    status_page: Http | None = Http()
    callbacks: Http | None = CALLBACK_LISTEN
    status_page = table.take("listen", _listen, status_page)
    callbacks = table.take("callback_listen", _listen, callbacks)
    hosts = table.take("hosts", list_of(lambda value: parse_host(text(value))), Http.hosts)
    path = table.take("path", lambda value: parse_path(text(value)), Http.path)
    token = table.take("operator_token", _operator_token(table.reading), None)
    user_header = table.take("user_header", _header, Http.user_header)
    trusted = table.take("trusted_proxies", list_of(_network), Http.trusted_proxies)
    if status_page is not None:
        status_page = replace(
            status_page, hosts=hosts, path=path, operator_token=token, user_header=user_header, trusted_proxies=trusted
        )
    proxy = table.take("proxy", proxy_setting(table.reading), None)
    table.close()
    return status_page, callbacks, proxy


def _network(value: object) -> Network:
    told = text(value)
    try:
        return ip_network(told)
    except ValueError:
        raise ValueError(f'expected an address or a network such as "10.0.0.0/24", found {found(value)}') from None


def _operator_token(reading: Reading) -> Callable[[object], Secret]:
    def parse(value: object) -> Secret:
        secret = reading.secret(value)
        if secret.is_resolved and len(secret.reveal()) < TOKEN_CHARS:
            raise ValueError(f"expected at least {TOKEN_CHARS} characters; for a new one: {NEW_KEY}")
        return secret

    return parse


def _header(value: object) -> str:
    name = text(value)
    if not re.fullmatch(r"[A-Za-z0-9-]+", name):
        raise ValueError(f'expected the name of a header, such as "Remote-User", found {found(value)}')
    return name


def proxy_setting(reading: Reading) -> Callable[[object], ProxySetting]:
    """Return the parser of `proxy`: an address as a secret, "environment", or "off"."""

    def parse(value: object) -> ProxySetting:
        if value == "off":
            return None
        if value == "environment":
            return "environment"
        secret = reading.secret(value)
        return Secret(parse_proxy(secret.reveal()), ref=secret.ref) if secret.is_resolved else secret

    return parse


def _listen(value: object) -> Http | None:
    if value == "off":
        return None
    host, port = parse_listen(text(value))
    return Http(host=host, port=port)


def read_sources_from(table: TomlTable, proxy: ProxySetting) -> SourcesFrom | None:
    """Read the query for accounts; None if the table is absent. `proxy` is that of accounts that name none."""
    if not table.raw:
        return None

    def address(value: object) -> Secret:
        secret = table.reading.secret(value, always=True)
        if secret.reveal() == EMBEDDED:
            raise ValueError("expected the address of a server; without url the mirror's own database is asked")
        return Secret(parse_database_url(secret.reveal()), ref=secret.ref)

    advice = "a SELECT that gives an account in each row, with the columns name and type"
    asked = SourcesFrom(
        query=table.require("query", text, "", advice),
        url=table.take("url", address, None),
        every_s=table.take("every", duration, SourcesFrom.every_s),
        proxy=proxy,
    )
    table.close()
    return asked


def read_log(table: TomlTable) -> Log:
    """Read `[log]`."""
    usual = Log()
    log = Log(
        format=table.take("format", choice("auto", "json", "console"), usual.format),
        level=table.take("level", choice("debug", "info", "warning", "error"), usual.level),
    )
    table.close()
    return log


def read_scale(table: TomlTable) -> Scale:
    """Read `[scale]`."""
    usual = Scale()
    scale = Scale(
        shards=table.take("shards", count, usual.shards),
        lease_s=table.take("lease", _at_least(LEASE_LEAST_S), usual.lease_s),
        pool=table.take("pool", count, usual.pool),
    )
    table.close()
    return scale


def read_retention(table: TomlTable) -> Retention:
    """Read `[retention]`."""
    usual = Retention()
    kept = Retention(
        runs_s=table.take("runs", duration, usual.runs_s),
        rejects_s=table.take("rejects", duration, usual.rejects_s),
        drift_s=table.take("drift", duration, usual.drift_s),
        history_s=table.take("history", _duration_or_forever, usual.history_s),
        changes_s=table.take("changes", duration, usual.changes_s),
    )
    table.close()
    return kept


def read_notify(table: TomlTable) -> Notify | None:
    """Read the table; None if it is absent."""

    def notify_url(value: object) -> Secret:
        secret = table.reading.secret(value)
        if secret.is_resolved and not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", secret.reveal()):
            raise ValueError('expected an address such as "mailto://…" (https://appriseit.com/services/)')
        return secret

    def heartbeat(value: object) -> Secret:
        secret = table.reading.secret(value)
        if secret.is_resolved and not re.match(r"https?://[^\s/]+", secret.reveal()):
            raise ValueError("expected an address that begins with https:// or http://")
        return secret

    notify = Notify(
        urls=table.take("urls", list_of(notify_url), ()),
        heartbeat_url=table.take("heartbeat_url", heartbeat, None),
        heartbeat_every_s=table.take("heartbeat_every", _at_least(HEARTBEAT_LEAST_S), Notify.heartbeat_every_s),
        quiet=table.take("quiet", lambda value: parse_hours(text(value)), None),
        digest=table.take("digest", lambda value: parse_time(text(value)), None),
        zone=table.take("zone", zone, Notify.zone),
        after_s=table.take("after", duration, Notify.after_s),
    )
    table.close()
    return notify if table.raw else None


def _at_least(least_s: float) -> Callable[[object], float]:
    return cast("Callable[[object], float]", Bounded(spec=OptionSpec(kind="duration", minimum=least_s), parse=duration))


def _duration_or_forever(value: object) -> float | None:
    return None if value == "forever" else duration(value)


def read_privacy(table: TomlTable, sources: Mapping[str, SourceConfig]) -> Privacy:
    """Read the key of `hash`, which is needed where any stream has one."""
    hashing = [f"{source.name}.{name}" for source in sources.values() for name, s in source.streams.items() if s.hash]

    def key(value: object) -> Secret:
        secret = table.reading.secret(value)
        if secret.is_resolved and len(secret.reveal()) < HASH_KEY_CHARS:
            raise ValueError(f"shorter than {HASH_KEY_CHARS} characters, so that it could be guessed; try: {NEW_KEY}")
        return secret

    if hashing:
        advice = f'{hashing[0]} has hash; write hash_key = {{ env = "SYNCD_HASH_KEY" }}; for a new one: {NEW_KEY}'
        hash_key = table.require("hash_key", key, None, advice)
    else:
        hash_key = table.take("hash_key", key, None)
    table.close()
    return Privacy(hash_key=hash_key)
