"""The configuration: one TOML file, read once, checked whole, handed out as frozen values.

Owns where the file is found, every key outside `[sources.*]`, the form of durations, addresses, secrets and selectors,
and the words of every complaint. What a source type accepts comes in as a registry of `SourceSpec`, so that a fifth API
changes nothing here. Never opens a connection, never logs, and never lets a secret out but through `Secret.reveal`.
"""

import difflib
import ipaddress
import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Literal, NoReturn, SupportsIndex, TypeVar, cast, final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

from syncd.errors import ConfigError, UsageError

SYSTEM_PATH: Final = Path("/etc/syncd/config.toml")  # DESIGN section 7
DEFAULT_LISTEN: Final = ("127.0.0.1", 8787)  # DESIGN section 7
LONGEST_DURATION_S: Final = 3650 * 86_400.0  # ten years; a larger one is a slip, and would overflow a timedelta
SECRET_SIZE_BYTES: Final = 65_536  # no token comes near; stops `file = "/dev/zero"`
_SHOWN_CHARS: Final = 60  # of a wrong value, in a message

T = TypeVar("T")

# --- What a source type accepts: written by syncd/sources/, read here -------------------------------------------------

REQUIRED: Final = object()
"""The default of an option that has none."""

Kind = Literal["str", "int", "float", "bool", "duration", "secret", "zone", "list[str]", "list[int]"]


@dataclass(frozen=True, kw_only=True)
class OptionSpec:
    """One option: its kind, its default as it comes out of `load`, and a line for the documentation.

    A duration comes out as seconds (float), a zone as its checked IANA name, a list as a tuple, a secret as `Secret`.
    `minimum` and `maximum` (inclusive) bound numbers and durations in seconds; `choices` bounds texts.
    """

    kind: Kind
    default: object = REQUIRED
    comment: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StreamSpec:
    """One stream: its default schedule and what may be said about it.

    `every_s` None: no schedule of its own unless the file gives one. `sweep_s` None: it has no sweep, and `sweep` is
    refused. Each name in `lookup` is accepted as a list of keys and, with `_query` added, as SQL that yields keys.
    """

    name: str
    every_s: float | None = None
    sweep_s: float | None = None
    lookup: tuple[str, ...] = ()
    options: Mapping[str, OptionSpec] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """Requests allowed per moving minute and per day (None: what the server says), and the shares of the lanes."""

    per_minute: int | None = None
    per_day: int | None = None
    live_reserve: float = 0.2  # DESIGN section 6: of the day, kept for the live lane
    backfill_share: float = 0.6  # DESIGN section 6: of the minute, at most for the backfill lane


@dataclass(frozen=True, kw_only=True)
class SourceSpec:
    """One source type; `base_url` None: the file must give it."""

    type: str
    base_url: str | None
    options: Mapping[str, OptionSpec] = field(default_factory=dict)
    streams: Mapping[str, StreamSpec] = field(default_factory=dict)
    budget: BudgetConfig = BudgetConfig()


# --- Secrets ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SecretRef:
    """Where a secret lies: in a variable, in a file (absolute path), or with systemd."""

    kind: Literal["env", "file", "credential"]
    name: str

    def read(self, environ: Mapping[str, str]) -> str:
        """Read the secret, without its trailing newline; raise ConfigError that tells where it was looked for."""
        if self.kind == "env":
            if self.name not in environ:
                raise ConfigError(f"the environment variable {self.name} is not set")
            return _one_line(environ[self.name], f"the environment variable {self.name}")
        if self.kind == "file":
            return _one_line(_read_file(Path(self.name), private=True), self.name)
        folder = environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise ConfigError(
                f"the credential {self.name} was not looked for: $CREDENTIALS_DIRECTORY is not set; "
                f"add LoadCredential={self.name}:/path to the unit, or use env or file outside systemd"
            )
        path = Path(folder, self.name)
        return _one_line(_read_file(path, private=False), f"{path} ($CREDENTIALS_DIRECTORY/{self.name})")


def _one_line(text: str, place: str) -> str:
    """Strip the trailing newline of a secret and check what is left; `place` says where it was found."""
    text = text.rstrip("\r\n")
    if not text:
        raise ConfigError(f"{place} is empty")
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in text):
        raise ConfigError(f"{place} holds a line break or another control character; a secret is one line")
    return text


def _read_file(path: Path, *, private: bool) -> str:
    """Read a small text file; `private` refuses one that group or others may touch (checked on the open file)."""
    try:
        # Path.open takes no opener; a pipe must not hang the start
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            content = file.read(SECRET_SIZE_BYTES + 1) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        raise ConfigError(f"the file {path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{path} is not a file")
    if private and status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise ConfigError(f"the file {path} may be read by others (mode {mode:04o}): chmod 600 {path}")
    if len(content) > SECRET_SIZE_BYTES:
        raise ConfigError(f"the file {path} is larger than {SECRET_SIZE_BYTES} bytes: not a secret")
    text = content.decode("utf-8", "replace")
    if "\ufffd" in text:
        raise ConfigError(f"the file {path} is not UTF-8 text")
    return text


@final
class Secret:
    """A text that shows itself only to `reveal`: it prints as ***, and can be neither pickled nor encoded as JSON."""

    __slots__ = ("_ref", "_text")

    def __init__(self, text: str | None = None, *, ref: SecretRef | None = None) -> None:
        self._text = text
        self._ref = ref

    @property
    def ref(self) -> SecretRef | None:
        """Where the secret lies; None when the configuration holds the text itself."""
        return self._ref

    @property
    def is_resolved(self) -> bool:
        """Whether `reveal` has something to give."""
        return self._text is not None

    def reveal(self) -> str:
        """Return the text; raise ConfigError if it was left unresolved."""
        if self._text is None:
            raise ConfigError("a secret was asked for that was not resolved", hint="load with resolve_secrets=True")
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        """Compare the texts, wherever they came from; unresolved ones by their place."""
        if not isinstance(other, Secret):
            return NotImplemented
        return self._text == other._text and (self._text is not None or self._ref == other._ref)

    def __hash__(self) -> int:
        return hash(self._text if self._text is not None else self._ref)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a Secret cannot be serialized")


# --- The values that come out -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Database:
    """The database: `url` reveals "embedded" or a postgresql:// address; `shown` is the same, fit for a message."""

    url: Secret
    data_dir: Path

    @property
    def is_embedded(self) -> bool:
        """Whether syncd runs a private server in the data directory."""
        return self.url.reveal() == "embedded"

    @property
    def shown(self) -> str:
        """The address without password and parameters."""
        if self.is_embedded:
            return "embedded"
        parts = urlsplit(self.url.reveal())
        user = f"{parts.username}@" if parts.username else ""
        return f"postgresql://{user}{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def password(self) -> Secret | None:
        """The password within the address, decoded, if it holds one."""
        parts = urlsplit(self.url.reveal())
        inline = (
            unquote(parts.password) if parts.password else next(iter(parse_qs(parts.query).get("password", ())), "")
        )
        return Secret(inline) if inline else None


@dataclass(frozen=True, kw_only=True)
class Http:
    """Where the status page listens; port 0 is any free one."""

    host: str
    port: int


@dataclass(frozen=True, kw_only=True)
class Log:
    """How the log is written; `syncd.log.configure` takes both."""

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How long finished runs and settled rejects are kept."""

    runs_s: float = 90 * 86_400.0
    rejects_s: float = 365 * 86_400.0


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """One stream as configured; present for every stream of the type, whether or not the file names it.

    At most one of `every_s` and `cron` is set; `cron` is in UTC, its weekdays written as names. `lookup` holds every
    lookup name of the stream (empty for other streams) with its keys as texts, without duplicates, in the file's order;
    `queries` holds the SQL of those that were given as `<name>_query`, under `<name>`.
    """

    name: str
    enabled: bool = True
    every_s: float | None = None
    cron: str | None = None
    sweep_s: float | None = None
    lookup: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    queries: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """One account at one upstream; `options` holds every option of its type, defaults filled in."""

    name: str
    type: str
    base_url: str
    options: Mapping[str, object]
    streams: Mapping[str, StreamConfig]
    budget: BudgetConfig

    def secret(self, option: str) -> str:
        """Reveal the secret option of that name."""
        return cast("Secret", self.options[option]).reveal()


@dataclass(frozen=True, kw_only=True)
class Config:
    """The whole file. Two are equal when they would make the daemon do the same, wherever they were read from."""

    path: Path = field(compare=False)
    database: Database
    http: Http | None
    sources: Mapping[str, SourceConfig]
    log: Log = Log()
    retention: Retention = Retention()


# --- Finding and loading ----------------------------------------------------------------------------------------------


def find(path: Path | None, environ: Mapping[str, str], cwd: Path) -> Path:
    """Find the configuration file: `path` (--config), $SYNCD_CONFIG, ./config.toml, /etc/syncd/config.toml.

    A path that was given explicitly is never replaced by another one. Raise ConfigError that lists where was looked.
    """
    explicit = [(path, "--config")] if path else []
    if not explicit and environ.get("SYNCD_CONFIG"):
        explicit = [(Path(environ["SYNCD_CONFIG"]), "$SYNCD_CONFIG")]
    places = explicit or [(Path("config.toml"), "current directory"), (SYSTEM_PATH, "system")]
    looked = []
    for place, origin in places:
        candidate = cwd / place
        try:
            status = candidate.stat()
        except OSError as error:
            looked.append(f"{candidate} ({origin}): {error.strerror}")
            continue
        if not stat.S_ISDIR(status.st_mode):
            return candidate
        looked.append(f"{candidate} ({origin}): Is a directory")
    raise ConfigError(
        "no configuration file found; looked at\n" + "\n".join(f"  {line}" for line in looked),
        hint="start from config.example.toml, or name the file with --config or $SYNCD_CONFIG",
    )


def load(
    path: Path | None,
    registry: Mapping[str, SourceSpec],
    *,
    environ: Mapping[str, str] = os.environ,
    resolve_secrets: bool = True,
) -> Config:
    """Read and check the file; raise one ConfigError that names every problem in it, one per line.

    `registry` maps a source's `type` to what it accepts. With `resolve_secrets` False the secrets of the sources stay
    unread (that of the database is always read). Relative paths in the file count from the file's own directory.
    """
    path = find(path, environ, Path.cwd())
    raw = _parse(path)
    reading = _Reading(folder=path.absolute().parent, environ=environ, resolve=resolve_secrets)
    root = _Table(reading, (), raw)
    config = Config(
        path=path,
        database=_database(root.table("database"), reading),
        http=_http(root.table("http")),
        sources=_sources(root.table("sources"), registry, reading),
        log=_log(root.table("log")),
        retention=_retention(root.table("retention")),
    )
    root.close()
    if reading.problems:
        count = len(reading.problems)
        head = f"{path} has {count} problem{'s' if count > 1 else ''}:"
        raise ConfigError("\n".join([head, *(f"  {problem}" for problem in reading.problems)]))
    return config


def _parse(path: Path) -> dict[str, object]:
    """Read the TOML; the errors tell line and column, never the text around them, which may be a secret."""
    try:
        document = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        wrong = f"line {line} is not UTF-8 text"
    else:
        try:
            return tomllib.loads(document)
        except RecursionError:
            wrong = "its lists or tables are nested too deeply"
        except ValueError as error:  # TOMLDecodeError, and what int() says of a number of thousands of digits
            wrong = str(error)
    raise ConfigError(f"{path} is not valid TOML: {wrong}")


def secrets(config: Config) -> Iterator[tuple[str, Secret]]:
    """Yield every secret with its dotted key, resolved or not; the log wants to know the texts of the resolved ones."""
    if not config.database.is_embedded:
        yield "database.url", config.database.url
        if config.database.password:
            yield "database.url (password)", config.database.password
    for source in config.sources.values():
        places = {f"sources.{source.name}": source.options}
        places |= {f"sources.{source.name}.streams.{stream.name}": stream.options for stream in source.streams.values()}
        for place, options in places.items():
            for name, value in options.items():
                if isinstance(value, Secret):
                    yield f"{place}.{name}", value


def missing_secrets(config: Config, environ: Mapping[str, str] = os.environ) -> list[str]:
    """List the secrets that cannot be read now, one sentence each: key, where it was looked for, what to do."""
    missing = []
    for key, secret in secrets(config):
        if secret.is_resolved or secret.ref is None:
            continue
        try:
            secret.ref.read(environ)
        except ConfigError as error:
            missing.append(f"{key}: {error}")
    return missing


# --- Selecting streams ------------------------------------------------------------------------------------------------


def is_off(stream: StreamConfig) -> str | None:
    """Tell why the stream does nothing, or None if it is on."""
    if not stream.enabled:
        return "disabled (enabled = false)"
    if stream.lookup and not any(stream.lookup.values()) and not stream.queries:
        accepted = " or ".join(f"{name} / {name}_query" for name in stream.lookup)
        return f"has no keys to look up; give it {accepted}"
    return None


def select(config: Config, selectors: Sequence[str]) -> list[tuple[str, str]]:
    """Return the (source, stream) pairs that match any selector, in the file's order; no selector selects all.

    A selector is `source`, or `source.stream` with shell patterns in either part. Patterns pass over streams that are
    off; naming such a stream in full raises UsageError with the reason, as does a selector that matches nothing.
    """
    streams = {
        (source.name, stream.name): is_off(stream)
        for source in config.sources.values()
        for stream in source.streams.values()
    }
    chosen: set[tuple[str, str]] = set()
    for selector in selectors or ["*"]:
        source_pattern, _, stream_pattern = selector.partition(".")
        hits = [
            pair
            for pair in streams
            if fnmatchcase(pair[0], source_pattern) and fnmatchcase(pair[1], stream_pattern or "*")
        ]
        if selector.endswith(".") or not hits:
            raise UsageError(f'"{selector}" matches no stream', hint=_nearest_selectors(selector, list(streams)))
        alive = [pair for pair in hits if streams[pair] is None]
        if not alive and selectors:
            reasons = "; ".join(f"{source}.{stream} {streams[source, stream]}" for source, stream in hits)
            raise UsageError(f'"{selector}" matches only what is off: {reasons}')
        chosen.update(alive)
    return [pair for pair in streams if pair in chosen]


def _nearest_selectors(selector: str, pairs: Sequence[tuple[str, str]]) -> str:
    if any(selector == stream for _, stream in pairs):
        return f"did you mean *.{selector}?"
    known = [f"{source}.{stream}" for source, stream in pairs] + sorted({source for source, _ in pairs})
    near = difflib.get_close_matches(selector, known, n=3, cutoff=0.0)
    return f"the nearest are {', '.join(near)}" if near else "no source is configured"


# --- Durations and crontabs -------------------------------------------------------------------------------------------

_UNITS_S: Final = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION: Final = re.compile(r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?")


def parse_duration(text: str) -> float:
    """Read "30s", "5m", "6h", "7d" or a falling sequence such as "1h30m" as seconds; raise ValueError that says why."""
    match = _DURATION.fullmatch(text)
    if not text or not match:
        raise ValueError('expected a duration such as "30s", "5m", "6h" or "7d"')
    seconds = float(sum(int(count or 0) * unit for count, unit in zip(match.groups(), _UNITS_S.values(), strict=True)))
    if not 0 < seconds <= LONGEST_DURATION_S:
        raise ValueError(f"a duration is more than nothing and at most {format_duration(LONGEST_DURATION_S)}")
    return seconds


def format_duration(seconds: float) -> str:
    """Write whole seconds as `parse_duration` reads them: 5400 is "1h30m"."""
    rest, words = round(seconds), ""
    for letter, unit in _UNITS_S.items():
        count, rest = divmod(rest, unit)
        words += f"{count}{letter}" if count else ""
    return words or "0s"


_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")  # cron counts from Sunday, which is 0 and 7
_WEEKDAY: Final = f"{'|'.join(_WEEKDAYS)}|[0-7]"
_WEEKDAY_ITEM: Final = re.compile(rf"(?:\*|({_WEEKDAY})(?:-({_WEEKDAY}))?)(?:/([1-7]))?")


def parse_cron(text: str) -> str:
    """Check a crontab of five fields, in UTC, and return it with its weekdays as names.

    APScheduler 3 counts weekdays from Monday and joins day and weekday by "and" where cron says "or"; names mean the
    same to both, and a crontab that sets both fields is refused. Raise ValueError that says what is wrong.
    """
    fields = text.lower().split()
    if len(fields) != len(("minute", "hour", "day", "month", "weekday")):
        raise ValueError(f'expected five fields (minute hour day month weekday), found {len(fields)} in "{text}"')
    if fields[2] != "*" and fields[4] != "*":
        raise ValueError('set the day of the month or the day of the week, not both; the other one is "*"')
    if fields[4] != "*":
        fields[4] = _weekday_names(fields[4])
    from apscheduler.triggers.cron import CronTrigger

    crontab = " ".join(fields)
    try:
        next_at = CronTrigger.from_crontab(crontab, timezone=UTC).get_next_fire_time(None, datetime.now(UTC))
    except (ValueError, KeyError) as error:
        raise ValueError(f'"{text}" is not a crontab: {error}') from None
    if next_at is None:
        raise ValueError(f'"{text}" never comes')
    return crontab


def _weekday_names(items: str) -> str:
    chosen: set[int] = set()
    for item in items.split(","):
        match = _WEEKDAY_ITEM.fullmatch(item)
        if not match:
            raise ValueError(f'"{item}" is not a day of the week; write mon, mon-fri or 0 to 7 (0 and 7 are Sunday)')
        first = _weekday(match[1]) if match[1] else 0
        last = _weekday(match[2]) if match[2] else first if match[1] and not match[3] else 6
        end = last + (8 if last < first else 1)  # fri-mon runs over the week's end
        chosen.update(day % 7 for day in range(first, end, int(match[3] or 1)))
    return ",".join(_WEEKDAYS[day] for day in sorted(chosen))


def _weekday(word: str) -> int:
    return _WEEKDAYS.index(word) if word in _WEEKDAYS else int(word)


# --- Reading tables: every problem is noted, none stops the reading ---------------------------------------------------


class _WrongValueError(ValueError):
    """What is wrong with one value, without its key."""


@dataclass(kw_only=True)
class _Reading:
    """One reading of one file: its surroundings, and the problems found so far."""

    folder: Path
    environ: Mapping[str, str]
    resolve: bool
    problems: list[str] = field(default_factory=list)

    def path(self, text: str) -> Path:
        """Make a path of the file absolute; ~ is the user's home."""
        if text == "~" or text.startswith("~/"):
            return self.home() / text[2:]
        return self.folder / text

    def home(self) -> Path:
        """Return the user's home, from $HOME or from the system."""
        if self.environ.get("HOME"):
            return Path(self.environ["HOME"])
        try:
            return Path.home()
        except RuntimeError:
            raise _WrongValueError("the user has no home directory; set database.data_dir") from None


class _Table:
    """A table being read. Keys that were taken are known; what is left on `close` is a problem."""

    def __init__(self, reading: _Reading, where: tuple[str, ...], raw: object) -> None:
        self.reading = reading
        self.where = where
        self.known: list[str] = []
        self.is_table = isinstance(raw, dict)
        self.raw: dict[str, object] = raw if isinstance(raw, dict) else {}
        if not self.is_table:
            self.note((), f"expected a table [{_dotted(where)}], found {_found(raw)}")

    def note(self, key: tuple[str, ...], problem: str) -> None:
        """Note a problem with `key` of this table."""
        self.reading.problems.append(f"{_dotted(self.where + key)}: {problem}")

    def take(self, key: str, parse: Callable[[object], T], default: T) -> T:
        """Return the parsed value of `key`, or `default` if it is absent or wrong (the latter is noted)."""
        self.known.append(key)
        if key not in self.raw:
            return default
        try:
            return parse(self.raw[key])
        except (_WrongValueError, ConfigError) as wrong:
            self.note((key,), str(wrong))
            return default

    def table(self, key: str) -> "_Table":
        """Return the table under `key`, empty if it is absent."""
        self.known.append(key)
        return _Table(self.reading, (*self.where, key), self.raw.get(key, {}))

    def close(self) -> None:
        """Note every key that nobody took, with the nearest one that somebody would have taken."""
        for key in self.raw:
            if key not in self.known:
                self.note((key,), f"unknown key; {_suggest(key, self.known)}")


def _dotted(where: Sequence[str]) -> str:
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else repr(part) for part in where)


def _suggest(word: str, known: Sequence[str]) -> str:
    """Name the nearest known word, and all of them where none is near."""
    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{near[0]}"?'
    guess = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.0)
    return f'the nearest is "{guess[0]}" of: {", ".join(known)}' if guess else "nothing may stand here"


def _found(value: object, *, show: bool = True) -> str:
    """Describe a wrong value in TOML's words; `show` False for one that may be a secret."""
    match value:
        case bool():
            return f"boolean {str(value).lower()}" if show else "a boolean"
        case int() | float():
            name = "integer" if isinstance(value, int) else "number"
            return f"{name} {str(value)[:_SHOWN_CHARS]}" if show else f"a bare {name}"
        case str():
            shown = value if len(value) <= _SHOWN_CHARS else value[:_SHOWN_CHARS] + "…"
            return f"text {shown!r}" if show else "text"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"


# --- Parsing values ---------------------------------------------------------------------------------------------------


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _WrongValueError(f"expected text in quotes, found {_found(value)}")
    if not value.strip():
        raise _WrongValueError("expected text, found nothing between the quotes")
    if "\0" in value:
        raise _WrongValueError("the text holds a NUL character")
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise _WrongValueError(f"expected true or false, found {_found(value)}")
    return value


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _WrongValueError(f"expected an integer, found {_found(value)}")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
        raise _WrongValueError(f"expected a number, found {_found(value)}")
    return float(value)


def _count(value: object) -> int:
    if _integer(value) < 1:
        raise _WrongValueError(f"expected an integer of 1 or more, found {_found(value)}")
    return _integer(value)


def _share(value: object) -> float:
    if not 0 < _number(value) < 1:
        raise _WrongValueError(f"expected a share between 0 and 1, such as 0.2, found {_found(value)}")
    return _number(value)


def _duration(value: object) -> float:
    if not isinstance(value, str):
        mending = f' (seconds? write "{value}s")' if isinstance(value, int) and not isinstance(value, bool) else ""
        raise _WrongValueError(f'expected a duration such as "30s", "5m" or "7d", found {_found(value)}{mending}')
    try:
        return parse_duration(value)
    except ValueError as error:
        raise _WrongValueError(f"{error}, found {_found(value)}") from None


def _cron(value: object) -> str:
    try:
        return parse_cron(_text(value))
    except ValueError as error:
        raise _WrongValueError(str(error)) from None


def _zone(value: object) -> str:
    name = _text(value)
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise _WrongValueError(f'expected a time zone such as "Europe/Amsterdam", found {_found(value)}') from None
    return name


def _choice(*choices: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if isinstance(value, str) and value in choices:
            return value
        raise _WrongValueError(f"expected one of {', '.join(choices)}, found {_found(value)}")

    return parse


def _list_of(parse: Callable[[object], T]) -> Callable[[object], tuple[T, ...]]:
    def parse_list(value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise _WrongValueError(f"expected a list in [ ], found {_found(value)}")
        items = []
        for number, item in enumerate(value, start=1):
            try:
                items.append(parse(item))
            except _WrongValueError as wrong:
                raise _WrongValueError(f"item {number}: {wrong}") from None
        return tuple(dict.fromkeys(items))

    return parse_list


def _key(value: object) -> str:
    """Read a lookup key; an integer is its digits (TOML allows it no leading zero, so none is lost)."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _WrongValueError(f"expected text or an integer, found {_found(value)}")
    return _text(str(value))


def _secret(reading: _Reading, *, resolve: bool) -> Callable[[object], Secret]:
    def parse(value: object) -> Secret:
        if isinstance(value, str):
            return Secret(_one_line(value, "the text"))
        ref = _secret_ref(value, reading)
        return Secret(ref.read(reading.environ) if resolve else None, ref=ref)

    return parse


def _secret_ref(value: object, reading: _Reading) -> SecretRef:
    forms = 'the text itself, { env = "NAME" }, { file = "PATH" } or { credential = "NAME" }'
    if not isinstance(value, dict):
        raise _WrongValueError(f"expected a secret: {forms}; found {_found(value, show=False)}")
    unknown = [key for key in value if key not in {"env", "file", "credential"}]
    if unknown:
        raise _WrongValueError(f"unknown key {unknown[0]!r}; {_suggest(unknown[0], ('env', 'file', 'credential'))}")
    if len(value) != 1:
        raise _WrongValueError(f"expected one of {forms}")
    kind, name = next(iter(value.items()))
    if not isinstance(name, str) or not name or "\0" in name:
        raise _WrongValueError(f"{kind}: expected text in quotes, found {_found(name, show=False)}")
    # A name of the wrong form is likely the secret itself in the wrong place, so it is never shown.
    if kind == "env" and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise _WrongValueError("env: expected the name of an environment variable")
    if kind == "credential" and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._@-]*", name):
        raise _WrongValueError("credential: expected the name of a credential, not a path")
    return SecretRef(kind, str(reading.path(name)) if kind == "file" else name)


def _base_url(value: object) -> str:
    """Check the address of an upstream and drop its last slash; a user, a query or a fragment is not repeated."""
    text = _text(value)
    parts, host = _split_url(text)
    if parts is None or parts.scheme not in {"https", "http"} or not host:
        raise _WrongValueError('expected an address such as "https://api.example.com"')
    if "@" in text:
        raise _WrongValueError("an address holds no user and password; give them as options of the source")
    if "?" in text or "#" in text:
        raise _WrongValueError("an address holds neither a query (?) nor a fragment (#)")
    if parts.scheme == "http" and not is_loopback(host):
        raise _WrongValueError(f"http:// is allowed for loopback only, not for {host}; write https://{host}")
    return text.rstrip("/")


def _split_url(text: str) -> tuple[SplitResult | None, str]:
    """Split an address; None where it is malformed (urlsplit's own words would repeat parts of it)."""
    if any(char.isspace() or ord(char) < 0x20 or char == "\\" for char in text):
        return None, ""
    try:
        parts = urlsplit(text)
        return (None if parts.port == 0 else parts), parts.hostname or ""
    except ValueError:
        return None, ""


def is_loopback(host: str) -> bool:
    """Whether the host is this machine: localhost, 127.0.0.0/8 or ::1. Resolves nothing."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _listen(value: object) -> Http | None:
    if value == "off":
        return None
    example = 'expected "host:port" such as "127.0.0.1:8787", or "off"'
    host, colon, port = _text(value).rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        valid = ":" in host
    else:
        valid = ":" not in host
    if not (valid and colon and re.fullmatch(r"[A-Za-z0-9._:%-]+", host) and re.fullmatch(r"[0-9]{1,5}", port)):
        raise _WrongValueError(f"{example}, found {_found(value)}")
    if re.fullmatch(r"[0-9.]+|.*:.*", host):
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise _WrongValueError(f"{example}, found {_found(value)}") from None
    if int(port) > 65_535:
        raise _WrongValueError(f"a port is at most 65535, found {port}")
    return Http(host=host, port=int(port))


def _database_url(secret: Secret) -> Secret:
    """Check the address of the database without ever repeating it, and write its scheme as postgresql."""
    text = secret.reveal()
    if text == "embedded":
        return secret
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in {"postgresql", "postgres"}:
        raise _WrongValueError('expected "embedded" or "postgresql://user@host/database"')
    parts, _ = _split_url(text)
    if parts is None or parts.fragment or "@" in parts.path + parts.query:
        raise _WrongValueError(
            "not a valid postgresql:// address; within a password, : / ? # @ and % are written %3A %2F %3F %23 %40 %25"
        )
    return Secret(f"postgresql://{rest}", ref=secret.ref)


# --- The tables of the file -------------------------------------------------------------------------------------------


def _database(table: _Table, reading: _Reading) -> Database:
    read = _secret(reading, resolve=True)
    url = table.take("url", lambda value: _database_url(read(value)), Secret("embedded"))
    data_dir = table.take("data_dir", lambda value: reading.path(_text(value)), None)
    table.close()
    if data_dir is None:
        try:
            data_dir = _default_data_dir(reading)
        except _WrongValueError as wrong:
            table.note(("data_dir",), str(wrong))
    return Database(url=url, data_dir=data_dir or Path())


def _default_data_dir(reading: _Reading) -> Path:
    """Return $STATE_DIRECTORY (systemd; its first entry), else syncd in $XDG_STATE_HOME, else ~/.local/state/syncd."""
    state = reading.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if state:
        return Path(state)
    xdg = Path(reading.environ.get("XDG_STATE_HOME", ""))
    return (xdg if xdg.is_absolute() else reading.home() / ".local" / "state") / "syncd"


def _http(table: _Table) -> Http | None:
    default: Http | None = Http(host=DEFAULT_LISTEN[0], port=DEFAULT_LISTEN[1])
    http = table.take("listen", _listen, default)
    table.close()
    return http


def _log(table: _Table) -> Log:
    log = Log(
        format=cast(
            "Literal['auto', 'json', 'console']", table.take("format", _choice("auto", "json", "console"), "auto")
        ),
        level=cast(
            "Literal['debug', 'info', 'warning', 'error']",
            table.take("level", _choice("debug", "info", "warning", "error"), "info"),
        ),
    )
    table.close()
    return log


def _retention(table: _Table) -> Retention:
    kept = Retention()
    kept = Retention(
        runs_s=table.take("runs", _duration, kept.runs_s), rejects_s=table.take("rejects", _duration, kept.rejects_s)
    )
    table.close()
    return kept


def _sources(table: _Table, registry: Mapping[str, SourceSpec], reading: _Reading) -> dict[str, SourceConfig]:
    sources = {}
    for name in table.raw:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,62}", name):
            table.note((name,), "a source's name starts with a letter and holds at most 63 letters, digits, _ and -")
        source = _source(table.table(name), name, registry, reading)
        if source:
            sources[name] = source
    if not table.raw and table.is_table:
        types = " or ".join(f'"{name}"' for name in registry)
        table.note((), f"no source is configured; add a table [sources.NAME] with type = {types}")
    return sources


def _source(table: _Table, name: str, registry: Mapping[str, SourceSpec], reading: _Reading) -> SourceConfig | None:
    """Read one source; None where its type is not known, since then nothing else can be judged."""
    if not table.is_table:
        return None
    source_type = table.take("type", _choice(*registry), None)
    if source_type is None:
        if "type" not in table.raw:
            table.note(("type",), f"required, but missing; one of {', '.join(registry)}")
        return None
    spec = registry[source_type]
    base_url = table.take("base_url", _base_url, spec.base_url)
    if base_url is None and "base_url" not in table.raw:
        table.note(("base_url",), 'required, but missing; the address of the API, such as "https://api.example.com"')
    options = _options(table, spec.options, reading)
    streams = table.table("streams")
    read = {stream.name: _stream(streams.table(stream.name), stream, reading) for stream in spec.streams.values()}
    streams.close()
    budget = _budget(table.table("budget"), spec.budget)
    for stream in spec.streams:
        if stream in table.raw and stream not in table.known:
            table.note((stream,), f"unknown key; did you mean [sources.{name}.streams.{stream}]?")
            table.known.append(stream)
    table.close()
    return SourceConfig(
        name=name, type=source_type, base_url=base_url or "", options=options, streams=read, budget=budget
    )


def _stream(table: _Table, spec: StreamSpec, reading: _Reading) -> StreamConfig:
    enabled = table.take("enabled", _boolean, default=True)
    every_s = table.take("every", _duration, None)
    cron = table.take("cron", _cron, None)
    if "every" in table.raw and "cron" in table.raw:
        table.note((), "every and cron exclude each other; keep one")
    sweep_s = spec.sweep_s
    if spec.sweep_s is not None:
        sweep_s = table.take("sweep", _duration, spec.sweep_s)
    elif "sweep" in table.raw:
        table.known.append("sweep")
        table.note(("sweep",), "this stream has no sweep of its own; remove the key")
    lookup: dict[str, tuple[str, ...]] = {}
    queries: dict[str, str] = {}
    for name in spec.lookup:
        lookup[name] = table.take(name, _list_of(_key), ())
        query = table.take(f"{name}_query", _text, None)
        if query is not None:
            queries[name] = query
    options = _options(table, spec.options, reading)
    table.close()
    return StreamConfig(
        name=spec.name,
        enabled=enabled,
        every_s=spec.every_s if every_s is None and cron is None else every_s,
        cron=cron,
        sweep_s=sweep_s,
        lookup=lookup,
        queries=queries,
        options=options,
    )


def _budget(table: _Table, default: BudgetConfig) -> BudgetConfig:
    budget = BudgetConfig(
        per_minute=table.take("per_minute", _count, default.per_minute),
        per_day=table.take("per_day", _count, default.per_day),
        live_reserve=table.take("live_reserve", _share, default.live_reserve),
        backfill_share=table.take("backfill_share", _share, default.backfill_share),
    )
    table.close()
    return budget


def _options(table: _Table, specs: Mapping[str, OptionSpec], reading: _Reading) -> dict[str, object]:
    options: dict[str, object] = {}
    for name, spec in specs.items():
        options[name] = table.take(name, _option(spec, reading), spec.default)
        if spec.default is REQUIRED and name not in table.raw:
            example = ""
            if spec.kind == "secret":
                variable = re.sub(r"[^A-Z0-9]+", "_", f"{table.where[-1]}_{name}".upper())
                example = f'; write {name} = {{ env = "{variable}" }} and set that variable'
            table.note((name,), f"required, but missing{example}")
    return options


def _option(spec: OptionSpec, reading: _Reading) -> Callable[[object], object]:
    """Return the parser of an option: that of its kind, then its bounds."""
    parsers: dict[Kind, Callable[[object], object]] = {
        "str": _choice(*spec.choices) if spec.choices else _text,
        "int": _integer,
        "float": _number,
        "bool": _boolean,
        "duration": _duration,
        "secret": _secret(reading, resolve=reading.resolve),
        "zone": _zone,
        "list[str]": _list_of(_text),
        "list[int]": _list_of(_integer),
    }
    parse = parsers[spec.kind]

    def parse_bounded(value: object) -> object:
        parsed = parse(value)
        if isinstance(parsed, int | float) and not isinstance(parsed, bool):
            unit = format_duration if spec.kind == "duration" else str
            if spec.minimum is not None and parsed < spec.minimum:
                raise _WrongValueError(f"expected at least {unit(spec.minimum)}, found {_found(value)}")
            if spec.maximum is not None and parsed > spec.maximum:
                raise _WrongValueError(f"expected at most {unit(spec.maximum)}, found {_found(value)}")
        return parsed

    return parse_bounded
