"""Finds the configuration's file, reads it once, checks it whole, and hands out frozen values.

Owns where the file is found, every key outside `[sources.*]`, and how the keys become values. What a source type
accepts comes in as a registry of `SourceSpec`. Never opens a connection, never logs, and never lets a secret out but
through `Secret.reveal`.
"""

import os
import re
import stat
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from syncd.config.address import EMBEDDED, parse_base_url, parse_database_url, parse_host, parse_listen
from syncd.config.crontab import parse_cron
from syncd.config.hours import parse_hours, parse_time
from syncd.config.model import (
    CALLBACK_LISTEN,
    IN_FLIGHT,
    IN_FLIGHT_MAX,
    Auto,
    BudgetConfig,
    Config,
    DatabaseConfig,
    Http,
    Log,
    Notify,
    Privacy,
    Retention,
    Schemas,
    SourceConfig,
    SourceSpec,
    StreamConfig,
    StreamSpec,
    Timeouts,
    Withholding,
)
from syncd.config.option import REQUIRED, OptionKind, OptionSpec
from syncd.config.proxy import Proxy, ProxySetting, of_environment, parse_proxy
from syncd.config.secret import Secret
from syncd.config.shown import Shown, shown
from syncd.config.toml import (
    Bounded,
    Reading,
    TomlTable,
    boolean,
    choice,
    count,
    duration,
    found,
    integer,
    list_of,
    lookup_key,
    number,
    read_toml,
    share,
    text,
    zone,
)
from syncd.errors import ConfigError

SYSTEM_PATH: Final = Path("/etc/syncd/config.toml")  # DESIGN section 7
AUTO_EVERY_S: Final = 3_600.0
"""Default interval of an auto stream whose API names none."""
AUTO_MIN_S: Final = 30.0
AUTO_FASTER: Final = 5.0
AUTO_SLOWER: Final = 6.0
"""Bounds of `every = "auto"` where the file gives none: a fifth of the default interval, and six times it."""
SYSTEM_DATA_DIR: Final = Path("/var/lib/syncd")
"""Named, and not used, where the user has no home and the database is a server of its own."""
SOURCE_NAME: Final = r"[A-Za-z][A-Za-z0-9_-]{0,62}"
SOURCE_NAME_RULE: Final = "a source's name starts with a letter and holds at most 63 letters, digits, _ and -"

HASH_KEY_CHARS: Final = 16  # at least; it is made, not thought up
NEW_KEY: Final = "openssl rand -hex 32"


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
    cannot be used: sources of such a type are left out, and nothing of them is judged. With `resolve_secrets` False the
    secrets of the sources stay unread (that of the database is always read). Relative paths in the file count from the
    file's own directory.
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
    database = _database(root.table("database"), (*TAKEN_SCHEMAS, *registry))
    http, callback_listen, proxy = _http(root.table("http"))
    declared = root.table("sources")
    left_out = _left_out(declared, refused)
    sources = _sources(declared, registry, proxy, left_out)
    config = Config(
        path=path,
        database=database,
        http=http,
        callback_listen=callback_listen,
        sources=sources,
        left_out=left_out,
        log=_log(root.table("log")),
        retention=_retention(root.table("retention")),
        privacy=_privacy(root.table("privacy"), sources),
        notify=_notify(root.table("notify")),
        read_at=datetime.now(UTC),
    )
    root.close()
    if reading.problems:
        head = f"{path} has {len(reading.problems)} problem{'s' if len(reading.problems) > 1 else ''}:"
        raise ConfigError("\n".join([head, *(f"  {problem}" for problem in reading.problems)]))
    return config, reading


# --- The tables of the file -------------------------------------------------------------------------------------------


def _database(table: TomlTable, taken: Collection[str]) -> DatabaseConfig:
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
    schemas = _schemas(table.table("schemas"), dict.fromkeys(taken))
    table.close()
    return DatabaseConfig(url=url, data_dir=data_dir, schemas=schemas)


SCHEMA_NAME = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")
TAKEN_SCHEMAS = ("public", "syncd", "information_schema", "cyclesoftware", "cyclis", "autengo", "ghs")
"""Beside the schemas of plugins, which are their types."""


def _schemas(table: TomlTable, taken: Collection[str]) -> Schemas:
    def name(value: object) -> str:
        if not isinstance(value, str) or not SCHEMA_NAME.fullmatch(value) or value in taken:
            others = ", ".join(taken)
            raise ValueError(f"expected a name in small letters, digits and _ that is not {others}, got {found(value)}")
        return value

    schemas = Schemas(
        reporting=table.take("reporting", name, Schemas.reporting), history=table.take("history", name, Schemas.history)
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


def _http(table: TomlTable) -> tuple[Http | None, Http | None, ProxySetting]:
    """Return where is listened for the status page and for callbacks, and the proxy of sources that name none."""
    status_page: Http | None = Http()
    callbacks: Http | None = CALLBACK_LISTEN
    status_page = table.take("listen", _listen, status_page)
    callbacks = table.take("callback_listen", _listen, callbacks)
    hosts = table.take("hosts", list_of(lambda value: parse_host(text(value))), Http.hosts)
    if status_page is not None:
        status_page = replace(status_page, hosts=hosts)
    proxy = table.take("proxy", _proxy(table.reading), None)
    table.close()
    return status_page, callbacks, proxy


def _proxy(reading: Reading) -> Callable[[object], ProxySetting]:
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


def _log(table: TomlTable) -> Log:
    log = Log(
        format=table.take("format", choice("auto", "json", "console"), Log.format),
        level=table.take("level", choice("debug", "info", "warning", "error"), Log.level),
    )
    table.close()
    return log


def _retention(table: TomlTable) -> Retention:
    kept = Retention(
        runs_s=table.take("runs", duration, Retention.runs_s),
        rejects_s=table.take("rejects", duration, Retention.rejects_s),
        drift_s=table.take("drift", duration, Retention.drift_s),
        history_s=table.take("history", _duration_or_forever, Retention.history_s),
        changes_s=table.take("changes", duration, Retention.changes_s),
    )
    table.close()
    return kept


def _notify(table: TomlTable) -> Notify | None:
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
        heartbeat_every_s=table.take("heartbeat_every", duration, Notify.heartbeat_every_s),
        quiet=table.take("quiet", lambda value: parse_hours(text(value)), None),
        digest=table.take("digest", lambda value: parse_time(text(value)), None),
        zone=table.take("zone", zone, Notify.zone),
        after_s=table.take("after", duration, Notify.after_s),
    )
    table.close()
    return notify if table.raw else None


def _duration_or_forever(value: object) -> float | None:
    return None if value == "forever" else duration(value)


def _privacy(table: TomlTable, sources: Mapping[str, SourceConfig]) -> Privacy:
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


def _left_out(table: TomlTable, refused: Mapping[str, str]) -> dict[str, str]:
    """Return the sources of types that are installed and cannot be used, with the reason."""
    types = {name: raw.get("type") for name, raw in table.raw.items() if isinstance(raw, dict)}
    return {name: refused[type_] for name, type_ in types.items() if isinstance(type_, str) and type_ in refused}


def _sources(
    table: TomlTable, registry: Mapping[str, SourceSpec], proxy: ProxySetting, left_out: Collection[str]
) -> dict[str, SourceConfig]:
    sources = {}
    for name in table.raw:
        if not re.fullmatch(SOURCE_NAME, name):
            table.note((name,), SOURCE_NAME_RULE)
        if name in left_out:
            continue
        source = _source(table.table(name), name, registry, proxy)
        if source:
            sources[name] = source
    if not table.raw and table.is_table:
        types = " or ".join(f'"{name}"' for name in registry)
        table.note((), f"no source is configured; add a table [sources.NAME] with type = {types}")
    return sources


def _source(
    table: TomlTable, name: str, registry: Mapping[str, SourceSpec], general: ProxySetting
) -> SourceConfig | None:
    """Read one source; None where its type is not known, since then nothing else can be judged."""
    if not table.is_table:
        return None
    source_type = table.require("type", choice(*registry), None, f"one of {', '.join(registry)}")
    if source_type is None:
        return None
    spec = registry[source_type]
    if spec.base_url is None:
        advice = 'the address of the API, such as "https://api.example.com"'
        base_url = table.require("base_url", lambda value: parse_base_url(text(value)), "", advice)
    else:
        base_url = table.take("base_url", lambda value: parse_base_url(text(value)), spec.base_url)
    proxy = _proxy_of(table, base_url, general)
    in_flight = table.take("in_flight", _in_flight, IN_FLIGHT)
    options = _options(table, spec.options)
    streams = table.table("streams")
    read = {stream.name: _known_stream(streams, stream) for stream in spec.streams.values()}
    streams.close()
    budget = _budget(table.table("budget"), spec.budget)
    timeouts = _timeouts(table.table("timeouts"), spec.timeouts)
    for stream in spec.streams:
        table.refuse(stream, f"unknown key; did you mean [sources.{name}.streams.{stream}]?")
    table.close()
    return SourceConfig(
        name=name, type=source_type, base_url=base_url, options=options, streams=read, budget=budget, proxy=proxy,
        timeouts=timeouts, in_flight=in_flight,
    )  # fmt: skip


def _in_flight(value: object) -> int:
    if integer(value) not in range(1, IN_FLIGHT_MAX + 1):
        raise ValueError(f"expected an integer from 1 to {IN_FLIGHT_MAX}, found {found(value)}")
    return integer(value)


def _proxy_of(table: TomlTable, base_url: str, general: ProxySetting) -> Proxy | None:
    """Return the proxy of a source: its own, or the one of `[http]`."""
    setting = table.take("proxy", _proxy(table.reading), general)
    if setting == "environment":
        return table.attempt("proxy", lambda: of_environment(base_url, table.reading.environ), None)
    if setting is None:
        return None
    return Proxy(url=setting, origin=".".join((*table.where, "proxy")) if "proxy" in table.raw else "http.proxy")


def _known_stream(streams: TomlTable, spec: StreamSpec) -> StreamConfig:
    """Read a stream; thousands of accounts say the same of theirs, which is then read once and shared."""
    reading, wrong = streams.reading, len(streams.reading.problems)
    said = (id(spec), repr(streams.raw.get(spec.name, {})))
    if said in reading.streams and not reading.notes_keys:
        streams.known.append(spec.name)
        return reading.streams[said]
    stream = _stream(streams.table(spec.name), spec)
    if len(reading.problems) == wrong:
        reading.streams[said] = stream
    return stream


def _stream(table: TomlTable, spec: StreamSpec) -> StreamConfig:
    is_named_off = "enabled" in table.raw or spec.is_on
    enabled = table.take("enabled", boolean, default=spec.is_on)
    history = table.take("history", boolean, default=False)
    changes = table.take("changes", boolean, default=False)
    max_records = table.take("max_records", count, None)
    if spec.is_pushed:
        for key in ("every", "cron"):
            table.refuse(key, "webhooks bring this stream, nothing asks for it; remove the key")
    every_s, auto = _every(table, spec)
    cron = table.take("cron", lambda value: parse_cron(text(value)), None)
    if "every" in table.raw and "cron" in table.raw:
        table.note((), "every and cron exclude each other; keep one")
    sweep_s = None
    if spec.sweep_s is None:
        table.refuse("sweep", "this stream has no sweep of its own; remove the key")
    else:
        sweep_s = table.take("sweep", duration, spec.sweep_s)
    lookup: dict[str, tuple[str, ...]] = {name: table.take(name, list_of(lookup_key), ()) for name in spec.lookup}
    queries = {name: table.take(f"{name}_query", text, "") for name in spec.lookup}
    options = _options(table, spec.options)
    exclude, hashed = _withheld(table, spec, "exclude"), _withheld(table, spec, "hash")
    for both in set(exclude) & set(hashed):
        table.note(("hash",), f'"{both}" stands in exclude too; keep one')
    table.close()
    return StreamConfig(
        name=spec.name,
        enabled=enabled,
        is_named_off=is_named_off,
        history=history,
        changes=changes,
        max_records=max_records,
        every_s=every_s,
        cron=cron,
        sweep_s=sweep_s,
        lookup=lookup,
        is_fed=spec.is_fed,
        queries={name: query for name, query in queries.items() if query},
        options=options,
        exclude=exclude,
        hash=hashed,
        is_pushed=spec.is_pushed,
        auto=auto,
    )


def _every(table: TomlTable, spec: StreamSpec) -> tuple[float | None, Auto | None]:
    """Read the time between two runs, or the bounds between which syncd chooses it."""

    def every(value: object) -> float | None:
        return None if value == "auto" else duration(value)

    said = table.take("every", every, None if "cron" in table.raw else spec.every_s)
    if table.raw.get("every") != "auto":
        for key in ("every_min", "every_max"):
            table.refuse(key, 'counts only with every = "auto"')
        return said, None
    usual_s = spec.every_s or AUTO_EVERY_S
    min_s = table.take("every_min", duration, max(AUTO_MIN_S, usual_s / AUTO_FASTER))
    max_s = table.take("every_max", duration, max(min_s, usual_s * AUTO_SLOWER))
    if min_s > max_s:
        table.note(("every_min",), "is longer than every_max")
    every_s = min(max(usual_s, min_s), max(min_s, max_s))
    return every_s, Auto(every_s=every_s, min_s=min_s, max_s=max(min_s, max_s))


def _withheld(table: TomlTable, spec: StreamSpec, how: Withholding) -> tuple[str, ...]:
    """Read the names of fields that are left out, or hashed."""

    def name(value: object) -> str:
        spec.may_withhold(text(value), how)
        return text(value)

    return table.take(how, list_of(name), ())


def _budget(table: TomlTable, default: BudgetConfig) -> BudgetConfig:
    budget = BudgetConfig(
        per_minute=table.take("per_minute", count, default.per_minute),
        per_day=table.take("per_day", count, default.per_day),
        live_reserve=table.take("live_reserve", share, default.live_reserve),
        backfill_share=table.take("backfill_share", share, default.backfill_share),
    )
    table.close()
    return budget


def _timeouts(table: TomlTable, default: Timeouts) -> Timeouts:
    timeouts = Timeouts(
        first_byte_s=table.take("first_byte", duration, default.first_byte_s),
        answer_s=table.take("answer", duration, default.answer_s),
    )
    if timeouts.answer_s < timeouts.first_byte_s:
        table.note((), "answer is shorter than first_byte; the whole answer takes longer than its first byte")
    table.close()
    return timeouts


def _options(table: TomlTable, specs: Mapping[str, OptionSpec]) -> dict[str, object]:
    options: dict[str, object] = {}
    for name, spec in specs.items():
        parse = _option(spec, table.reading)
        if spec.default is not REQUIRED:
            options[name] = table.take(name, parse, spec.default)
            continue
        advice = ""
        if spec.kind == "secret":
            advice = f'write {name} = {{ env = "{variable(table.where[-1], name)}" }} and set that variable'
        options[name] = table.require(name, parse, REQUIRED, advice)
    return options


def variable(source: str, option: str) -> str:
    """Return the environment variable that is proposed for an option of a source: SHOP_PASSWORD."""
    return re.sub(r"[^A-Z0-9]+", "_", f"{source}_{option}".upper())


def _option(spec: OptionSpec, reading: Reading) -> Callable[[object], object]:
    """Return the parser of an option: that of its kind, then its bounds."""
    parse: Callable[[object], object]
    if spec.kind == "secret":
        parse = reading.secret
    elif spec.choices:
        parse = choice(*spec.choices)
    else:
        parse = _PARSERS[spec.kind]
    return Bounded(spec=spec, parse=parse)


_PARSERS: dict[OptionKind, Callable[[object], object]] = {
    "str": text,
    "int": integer,
    "float": number,
    "bool": boolean,
    "duration": duration,
    "zone": zone,
    "url": lambda value: parse_base_url(text(value)),
    "list[str]": list_of(text),
    "list[int]": list_of(integer),
}
