"""Reads `[sources.*]`: each source with its options, budget and timeouts, and each of its streams.

Thousands of accounts say the same of their streams, budgets and timeouts. It is read once, and they share it.

What a source type accepts comes in as a registry of `SourceSpec`. Notes what is wrong; never opens anything.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar, cast

from syncd.config.account import SourceConfig
from syncd.config.address import parse_base_url
from syncd.config.crontab import parse_cron
from syncd.config.general import proxy_setting
from syncd.config.model import (
    IN_FLIGHT,
    IN_FLIGHT_MAX,
    Auto,
    BudgetConfig,
    SourceSpec,
    StreamConfig,
    StreamSpec,
    Timeouts,
    Withholding,
)
from syncd.config.option import REQUIRED, OptionKind, Options, OptionSpec
from syncd.config.proxy import Proxy, ProxySetting, of_environment
from syncd.config.toml import (
    Bounded,
    Reading,
    TomlTable,
    boolean,
    choice,
    count,
    day,
    duration,
    found,
    integer,
    list_of,
    lookup_key,
    number,
    share,
    text,
    zone,
)

AUTO_EVERY_S: Final = 3_600.0
"""Default interval of an auto stream whose API names none."""
AUTO_MIN_S: Final = 30.0
AUTO_FASTER: Final = 5.0
AUTO_SLOWER: Final = 6.0
"""Bounds of `every = "auto"` where the file gives none: a fifth of the default interval, and six times it."""
TYPE_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,23}")
"""The form of a type, as the registry admits it."""
SOURCE_NAME: Final = r"[A-Za-z][A-Za-z0-9_-]{0,62}"
SOURCE_NAME_RULE: Final = "a source's name starts with a letter and holds at most 63 letters, digits, _ and -"


SHARED_MOST: Final = 10_000
"""Different tables of streams, budgets and timeouts that are kept for those who say the same; our choice."""

T = TypeVar("T")

_shared: dict[tuple[int, str, str], tuple[object, object]] = {}
"""What was read, by the declaration (which is kept, too: its id is part of the key), the key and what was said."""


def why_left_out(type_: object, registry: Mapping[str, SourceSpec], refused: Mapping[str, str]) -> str | None:
    """Return why a source of that type cannot be used: it is installed and unfit, or not installed; None if it can.

    A type that is nearly one of the registry is mistyped: that is a wrong configuration, and is not left out.
    """
    if not isinstance(type_, str) or not (type_ in refused or _is_away(type_, registry)):
        return None
    return refused.get(type_) or _not_installed(type_, registry)


def _is_away(type_: str, registry: Mapping[str, SourceSpec]) -> bool:
    """Say whether a type is that of a plugin which is not installed."""
    if type_ in registry or not TYPE_NAME.fullmatch(type_):
        return False
    import difflib  # only a mistake needs it

    return not difflib.get_close_matches(type_, registry, n=1)


def _not_installed(type_: str, registry: Mapping[str, SourceSpec]) -> str:
    return (
        f"the source type {type_} is not installed: no package beside syncd brings it; install the one that does, or"
        f" name another type ({', '.join(registry)})"
    )


def read_sources(
    tables: Sequence[TomlTable], registry: Mapping[str, SourceSpec], refused: Mapping[str, str], proxy: ProxySetting,
    *, are_required: bool = True,
) -> tuple[dict[str, SourceConfig], dict[str, str]]:  # fmt: skip
    """Read every source of the tables `[sources]`; return those that are left out apart, each with the reason.

    `proxy` is that of sources that name none. `are_required`: to have no source is a problem.
    """
    sources: dict[str, SourceConfig] = {}
    left_out: dict[str, str] = {}
    named: dict[str, TomlTable] = {}
    for table in tables:
        for name, raw in table.raw.items():
            if (before := named.setdefault(name, table)) is not table:
                table.note((name,), f"is named in {_place(before, name)}, too; keep one")
                continue
            if not re.fullmatch(SOURCE_NAME, name):
                table.note((name,), SOURCE_NAME_RULE)
            why = why_left_out(raw.get("type"), registry, refused) if isinstance(raw, dict) else None
            if why:
                left_out[name] = why
            elif source := read_source(table.table(name), name, registry, proxy):
                sources[name] = source
    if are_required and not named and tables[0].is_table:
        types = " or ".join(f'"{name}"' for name in registry)
        tables[0].note((), f"no source is configured; add a table [sources.NAME] with type = {types}")
    return sources, left_out


def _place(table: TomlTable, name: str) -> str:
    return table.reading.locate(("sources", name)).removesuffix(": ") or "the file that includes it"


def read_source(
    table: TomlTable, name: str, registry: Mapping[str, SourceSpec], general: ProxySetting
) -> SourceConfig | None:
    """Read one source; None where its type is not known, since then nothing else can be judged."""
    if not table.is_table:
        return None
    advice = "" if "type" in table.raw else f"one of {', '.join(registry)}"
    source_type = table.require("type", partial(_type, registry), None, advice)
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
    read = _once(table, "streams", spec, lambda streams: _streams(streams, spec), may_share=not _has_secrets(spec))
    budget = _once(table, "budget", spec, lambda said: _budget(said, spec.budget))
    timeouts = _once(table, "timeouts", spec, lambda said: _timeouts(said, spec.timeouts))
    for stream in spec.streams:
        table.refuse(stream, f"unknown key; did you mean [sources.{name}.streams.{stream}]?")
    table.close()
    return SourceConfig(
        name=name, type=source_type, base_url=base_url, options=options, streams=read, budget=budget, proxy=proxy,
        timeouts=timeouts, in_flight=in_flight, origin=table.reading.origin,
    )  # fmt: skip


def _type(registry: Mapping[str, SourceSpec], value: object) -> str:
    """Return a type of the registry; only a mistake goes through all types, for that imports them."""
    return value if isinstance(value, str) and value in registry else choice(*registry)(value)


def _has_secrets(spec: SourceSpec) -> bool:
    """Say whether streams of this type have secrets, which are read anew each time."""
    return any(option.kind == "secret" for stream in spec.streams.values() for option in stream.options.values())


def _once(table: TomlTable, key: str, spec: object, read: Callable[[TomlTable], T], *, may_share: bool = True) -> T:
    """Return what the table under `key` says, read once for all that say the same; not where something is wrong."""
    reading, wrong = table.reading, len(table.reading.problems)
    if reading.notes_keys or not may_share:
        return read(table.table(key))
    said = (id(spec), key, repr(table.raw.get(key, {})))
    if said in _shared:
        table.known.append(key)
        return cast("T", _shared[said][1])
    value = read(table.table(key))
    if len(reading.problems) == wrong:
        if len(_shared) >= SHARED_MOST:
            _shared.clear()
        _shared[said] = spec, value
    return value


def _in_flight(value: object) -> int:
    if integer(value) not in range(1, IN_FLIGHT_MAX + 1):
        raise ValueError(f"expected an integer from 1 to {IN_FLIGHT_MAX}, found {found(value)}")
    return integer(value)


def _proxy_of(table: TomlTable, base_url: str, general: ProxySetting) -> Proxy | None:
    """Return the proxy of a source: its own, or the one of `[http]`."""
    setting = table.take("proxy", proxy_setting(table.reading), general)
    if setting == "environment":
        return table.attempt("proxy", lambda: of_environment(base_url, table.reading.environ), None)
    if setting is None:
        return None
    return Proxy(url=setting, origin=".".join((*table.where, "proxy")) if "proxy" in table.raw else "http.proxy")


def _streams(table: TomlTable, spec: SourceSpec) -> Mapping[str, StreamConfig]:
    may_share = not _has_secrets(spec)
    streams = {
        stream.name: _once(table, stream.name, stream, partial(_stream, spec=stream), may_share=may_share)
        for stream in spec.streams.values()
    }
    table.close()
    return streams


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


def _options(table: TomlTable, specs: Mapping[str, OptionSpec]) -> Options:
    options: dict[str, object] = {}
    for name, spec in specs.items():
        if spec.default is not REQUIRED:
            if name in table.raw or table.reading.notes_keys:
                options[name] = table.take(name, _option(spec, table.reading), spec.default)
            else:
                table.known.append(name)
            continue
        parse = _option(spec, table.reading)
        advice = ""
        if spec.kind == "secret":
            advice = f'write {name} = {{ env = "{variable(table.where[-1], name)}" }} and set that variable'
        if (value := table.require(name, parse, REQUIRED, advice)) is not REQUIRED:
            options[name] = value
    return Options.of(options, specs)


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
    "day": day,
    "list[str]": list_of(text),
    "list[int]": list_of(integer),
}
