"""The configuration file as tables and values: every problem is noted with its dotted key, none stops the reading.

Owns how a table is read to its last key, the forms of values, and the words of every complaint. Knows no key by name:
what stands where is for `syncd.config`. A parser takes a value as TOML gives it and raises ValueError (or ConfigError,
for a secret that cannot be read) that says what is wrong with it, without its key.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from syncd.config.duration import format_duration, parse_duration
from syncd.config.option import OptionSpec
from syncd.config.secret import Secret, SecretRef, one_line
from syncd.errors import ConfigError

LARGEST_BYTES: Final = 256 * 2**20  # a million accounts take less; a device such as /dev/zero never ends
SHOWN_CHARS: Final = 60  # of a wrong value, in a message
WRITTEN: Final = 'the text itself, { env = "NAME" }, { file = "PATH" } or { credential = "NAME" }'  # of a secret

T = TypeVar("T")
TextT = TypeVar("TextT", bound=str)


def read_toml(path: Path) -> dict[str, object]:
    """Read the TOML; the errors tell line and column, never the text around them, which may be a secret."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
        document = content.decode("utf-8-sig") if len(content) <= LARGEST_BYTES else None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        wrong = f"line {line} is not UTF-8 text"
    else:
        if document is None:
            raise ConfigError(f"{path} is no configuration: it is longer than {LARGEST_BYTES // 2**20} MiB")
        try:
            return tomllib.loads(document)
        except RecursionError:
            wrong = "its lists or tables are nested too deeply"
        except ValueError as error:  # TOMLDecodeError, and what int() says of a number of thousands of digits
            wrong = str(error)
    raise ConfigError(f"{path} is not valid TOML: {wrong}")


# --- Tables -----------------------------------------------------------------------------------------------------------


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """One key that was read: what the file says (`raw`, if `is_given`), what it means, and how it was read.

    `origin` is the file of accounts that it stands in; empty for the configuration itself.
    """

    table: tuple[str, ...]
    key: str
    is_given: bool
    raw: object
    value: object
    parse: Callable[[object], object]
    origin: str = ""


@dataclass(kw_only=True)
class Reading:
    """One reading of one file: its surroundings, the problems found so far, and every key in the order of reading.

    `notes_keys` says whether the keys are wanted: there may be a million. `origin` names a file that holds nothing but
    accounts; `locate` returns where a key stands in it, to begin a complaint with.
    """

    folder: Path
    environ: Mapping[str, str]
    resolve_secrets: bool
    notes_keys: bool = False
    problems: list[str] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    origin: str = ""
    locate: Callable[[tuple[str, ...]], str] = lambda _key: ""

    def note(self, key: tuple[str, ...], problem: str) -> None:
        """Note a problem with a key."""
        self.problems.append(f"{self.locate(key)}{dotted(key)}: {problem}")

    def path(self, value: object) -> Path:
        """Make a path of the file absolute; ~ is the user's home."""
        words = text(value)
        return self.home() / words[2:] if words == "~" or words.startswith("~/") else self.folder / words

    def home(self) -> Path:
        """Return the user's home, from $HOME or from the system."""
        if self.environ.get("HOME"):
            return Path(self.environ["HOME"])
        try:
            return Path.home()
        except RuntimeError:
            raise ValueError("the user has no home directory; set database.data_dir") from None

    def secret(self, value: object, *, always: bool = False) -> Secret:
        """Read a secret, given as a text or by its place, which is looked at if `resolve_secrets` or `always`."""
        if isinstance(value, str):
            return Secret(one_line(value, "the text"))
        ref = self._secret_ref(value)
        return Secret(ref.read(self.environ) if always or self.resolve_secrets else None, ref=ref)

    def _secret_ref(self, value: object) -> SecretRef:
        if not isinstance(value, dict):
            raise ValueError(f"expected a secret: {WRITTEN}; found {found(value, show=False)}")
        unknown = [key for key in value if key not in {"env", "file", "credential"}]
        if unknown:
            raise ValueError(f"unknown key {unknown[0]!r}; {suggest(unknown[0], ('env', 'file', 'credential'))}")
        if len(value) != 1:
            raise ValueError(f"expected one of {WRITTEN}")
        kind, name = next(iter(value.items()))
        if not isinstance(name, str) or not name or "\0" in name:
            raise ValueError(f"{kind}: expected text in quotes, found {found(name, show=False)}")
        # A name of the wrong form is likely the secret itself in the wrong place, so it is never shown.
        if kind == "env" and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError("env: expected the name of an environment variable")
        if kind == "credential" and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._@-]*", name):
            raise ValueError("credential: expected the name of a credential, not a path")
        if kind == "file":  # pathlib would remember each of 50,000 names for good
            is_of_home = name == "~" or name.startswith("~/")
            name = str(self.path(name)) if is_of_home else os.path.join(self.folder, name)  # noqa: PTH118
        return SecretRef(kind, name)


class TomlTable:
    """A table of the file being read. Keys that were taken are known; what is left on `close` is a problem."""

    def __init__(self, reading: Reading, where: tuple[str, ...], raw: object) -> None:
        self.reading = reading
        self.where = where
        self.known: list[str] = []
        self.is_table = isinstance(raw, dict)
        self.raw: dict[str, object] = raw if isinstance(raw, dict) else {}
        if not self.is_table:
            self.note((), f"expected a table [{dotted(where)}], found {found(raw)}")

    def note(self, key: tuple[str, ...], problem: str) -> None:
        """Note a problem with `key` of this table."""
        self.reading.note(self.where + key, problem)

    def take(self, key: str, parse: Callable[[object], T], default: T) -> T:
        """Return the parsed value of `key`, or `default` if it is absent or wrong (the latter is noted)."""
        self.known.append(key)
        is_given = key in self.raw
        value = self.attempt(key, lambda: parse(self.raw[key]), default) if is_given else default
        if self.reading.notes_keys:
            self.reading.taken.append(
                Taken(
                    table=self.where, key=key, is_given=is_given, raw=self.raw.get(key), value=value, parse=parse,
                    origin=self.reading.origin,
                )
            )  # fmt: skip
        return value

    def require(self, key: str, parse: Callable[[object], T], default: T, advice: str = "") -> T:
        """Take a key that must be there: its absence is noted, with `advice`."""
        if key not in self.raw:
            self.note((key,), "required, but missing" + (f"; {advice}" if advice else ""))
        return self.take(key, parse, default)

    def attempt(self, key: str, read: Callable[[], T], default: T) -> T:
        """Return what `read` gives, or note under `key` what is wrong and return `default`."""
        try:
            return read()
        except (ValueError, ConfigError) as wrong:
            self.note((key,), str(wrong))
            return default

    def table(self, key: str) -> "TomlTable":
        """Return the table under `key`, empty if it is absent."""
        self.known.append(key)
        return TomlTable(self.reading, (*self.where, key), self.raw.get(key, {}))

    def refuse(self, key: str, problem: str) -> None:
        """Note why `key` may not stand here, if it does."""
        if key in self.raw and key not in self.known:
            self.known.append(key)
            self.note((key,), problem)

    def close(self) -> None:
        """Note every key that nobody took, with the nearest one that somebody would have taken."""
        for key in self.raw:
            if key not in self.known:
                self.note((key,), f"unknown key; {suggest(key, self.known)}")


def dotted(where: Sequence[str]) -> str:
    """Write a key as the file would."""
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else repr(part) for part in where)


def suggest(word: str, known: Sequence[str]) -> str:
    """Name the nearest known word, and all of them where none is near."""
    import difflib  # only a mistake needs it

    near = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{near[0]}"?'
    guess = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.0)
    return f'the nearest is "{guess[0]}" of: {", ".join(known)}' if guess else "nothing may stand here"


def found(value: object, *, show: bool = True) -> str:
    """Describe a wrong value in TOML's words; `show` False for one that may be a secret."""
    match value:
        case bool():
            return f"boolean {str(value).lower()}" if show else "a boolean"
        case int() | float():
            name = "integer" if isinstance(value, int) else "number"
            return f"{name} {str(value)[:SHOWN_CHARS]}" if show else f"a bare {name}"
        case str():
            shown = value if len(value) <= SHOWN_CHARS else value[:SHOWN_CHARS] + "…"
            return f"text {shown!r}" if show else "text"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"


class Bounded(msgspec.Struct, frozen=True, kw_only=True):
    """The parser of a declared option: that of its kind, then its bounds."""

    spec: OptionSpec
    parse: Callable[[object], object]

    def __call__(self, value: object) -> object:
        """Take a value within the bounds."""
        parsed, spec = self.parse(value), self.spec
        if isinstance(parsed, int | float) and not isinstance(parsed, bool):
            unit = format_duration if spec.kind == "duration" else str
            if spec.minimum is not None and parsed < spec.minimum:
                raise ValueError(f"expected at least {unit(spec.minimum)}, found {found(value)}")
            if spec.maximum is not None and parsed > spec.maximum:
                raise ValueError(f"expected at most {unit(spec.maximum)}, found {found(value)}")
        return parsed


# --- Values -----------------------------------------------------------------------------------------------------------


def text(value: object) -> str:
    """Take a text that says something."""
    if not isinstance(value, str):
        raise ValueError(f"expected text in quotes, found {found(value)}")
    if not value.strip():
        raise ValueError("expected text, found nothing between the quotes")
    if "\0" in value:
        raise ValueError("the text holds a NUL character")
    return value


def boolean(value: object) -> bool:
    """Take true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, found {found(value)}")
    return value


def integer(value: object) -> int:
    """Take an integer."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected an integer, found {found(value)}")
    return value


def count(value: object) -> int:
    """Take a positive integer."""
    if integer(value) < 1:
        raise ValueError(f"expected an integer of 1 or more, found {found(value)}")
    return integer(value)


def number(value: object) -> float:
    """Take a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
        raise ValueError(f"expected a number, found {found(value)}")
    return float(value)


def share(value: object) -> float:
    """Take a number between 0 and 1, both excluded."""
    if not 0 < number(value) < 1:
        raise ValueError(f"expected a share between 0 and 1, such as 0.2, found {found(value)}")
    return number(value)


def duration(value: object) -> float:
    """Take a duration, in seconds."""
    if not isinstance(value, str):
        mending = f' (seconds? write "{value}s")' if isinstance(value, int) and not isinstance(value, bool) else ""
        raise ValueError(f'expected a duration such as "30s", "5m" or "7d", found {found(value)}{mending}')
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{error}, found {found(value)}") from None


def zone(value: object) -> str:
    """Take the name of a time zone that this machine knows."""
    name = text(value)
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f'expected a time zone such as "Europe/Amsterdam", found {found(value)}') from None
    return name


def day(value: object) -> str:
    """Take a day or an instant, as text or as a date of TOML; return it as ISO 8601."""
    if isinstance(value, date):
        return value.isoformat()
    try:
        datetime.fromisoformat(text(value))
    except ValueError:
        raise ValueError(f'expected a date such as "2024-01-01", found {found(value)}') from None
    return text(value)


def lookup_key(value: object) -> str:
    """Take a lookup key; an integer is its digits (TOML allows it no leading zero, so none is lost)."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"expected text or an integer, found {found(value)}")
    return text(str(value))


def choice(*choices: TextT) -> Callable[[object], TextT]:
    """Return the parser of a text that is one of `choices`."""

    def parse(value: object) -> TextT:
        for known in choices:
            if value == known:
                return known
        raise ValueError(f"expected one of {', '.join(choices)}, found {found(value)}")

    return parse


def list_of(parse: Callable[[object], T]) -> Callable[[object], tuple[T, ...]]:
    """Return the parser of a list, without duplicates, of what `parse` takes."""

    def parse_list(value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise ValueError(f"expected a list in [ ], found {found(value)}")
        items = []
        for position, item in enumerate(value, start=1):
            try:
                items.append(parse(item))
            except ValueError as wrong:
                raise ValueError(f"item {position}: {wrong}") from None
        return tuple(dict.fromkeys(items))

    return parse_list
