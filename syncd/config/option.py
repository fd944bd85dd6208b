"""One option of a source or a stream: declared once, read with the type that the declaration gives it.

A source declares `LIMIT = whole_option("limit", "rows asked for in a request", default=100)`, lists it among its
options, and reads it as `LIMIT.of(walk.options)`, which mypy knows to be an int. From the same declaration syncd
checks the key in the file, drafts it in `syncd init`, and keeps what is secret out of the log.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Generic, Literal, TypeVar, cast, final

from syncd.config.secret import Secret
from syncd.frozen import dataclass

REQUIRED: Final = object()
"""The default of an option that has none."""

OptionKind = Literal[
    "str", "int", "float", "bool", "duration", "secret", "zone", "url", "day", "list[str]", "list[int]"
]  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class OptionSpec:
    """One option: its kind, its default as it comes out of `load`, and a line for the documentation.

    A duration comes out as seconds (float), a zone as its checked IANA name, a day as ISO 8601, a list as a tuple, a
    secret as `Secret`. `minimum` and `maximum` (inclusive) bound numbers and durations in seconds; `choices` bounds
    texts.
    """

    kind: OptionKind
    default: object = REQUIRED
    comment: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Option(OptionSpec, Generic[T]):
    """An option with its key in the file and the type of its value. Made by the functions below."""

    name: str

    def of(self, options: Mapping[str, object]) -> T:
        """Return the value of this option, or its default where `options` do not hold it.

        `load` has checked what they hold. Raises KeyError for a required option that is missing.
        """
        is_default = self.default is not REQUIRED and self.name not in options
        return cast("T", self.default if is_default else options[self.name])


_given: dict[tuple[str, ...], tuple[str, ...]] = {}
"""Which options an account names: the same object for all that name the same."""


@final
class Options(Mapping[str, object]):
    """The options of one account, in the order of their declaration: those that it names, and defaults of the others.

    There may be 50,000 of these, and each names one or two of a dozen. Defaults are not copied.
    """

    __slots__ = ("named", "specs", "values_named")

    def __init__(self, named: tuple[str, ...], values: tuple[object, ...], specs: Mapping[str, OptionSpec]) -> None:
        self.named, self.values_named, self.specs = named, values, specs

    @classmethod
    def of(cls, given: Mapping[str, object], specs: Mapping[str, OptionSpec]) -> "Options":
        """Return the options of which these are given; every required one must be among them."""
        names = tuple(given)
        return cls(_given.setdefault(names, names), tuple(given.values()), specs)

    def __getitem__(self, name: str) -> object:
        if name in self.named:
            return self.values_named[self.named.index(name)]
        default = self.specs[name].default
        if default is REQUIRED:
            raise KeyError(name)
        return default

    def __iter__(self) -> Iterator[str]:
        return iter(self.specs)

    def __len__(self) -> int:
        return len(self.specs)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Options) and self.named is other.named and self.specs is other.specs:
            return self.values_named == other.values_named
        return dict(self.items()) == dict(other.items()) if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as that of a dict

    def __repr__(self) -> str:
        """Show those that are not as by default."""
        given = zip(self.named, self.values_named, strict=True)
        return repr({name: value for name, value in given if value != self.specs[name].default})


def text_option(name: str, comment: str, *, default: object = REQUIRED, choices: tuple[str, ...] = ()) -> Option[str]:
    """Declare a text; required unless it has a default."""
    return Option(name=name, kind="str", comment=comment, default=default, choices=choices)


def optional_text(name: str, comment: str) -> Option[str | None]:
    """Declare a text that may be left out."""
    return Option(name=name, kind="str", comment=comment, default=None)


def optional_day(name: str, comment: str) -> Option[str | None]:
    """Declare a day, or an instant, that may be left out."""
    return Option(name=name, kind="day", comment=comment, default=None)


def optional_url(name: str, comment: str) -> Option[str | None]:
    """Declare an address that may be left out."""
    return Option(name=name, kind="url", comment=comment, default=None)


def secret_option(name: str, comment: str) -> Option[Secret]:
    """Declare a secret, which is always required."""
    return Option(name=name, kind="secret", comment=comment)


def optional_secret(name: str, comment: str) -> Option[Secret | None]:
    """Declare a secret that may be left out."""
    return Option(name=name, kind="secret", comment=comment, default=None)


def zone_option(name: str, comment: str, *, default: str) -> Option[str]:
    """Declare a time zone by its IANA name."""
    return Option(name=name, kind="zone", comment=comment, default=default)


def flag_option(name: str, comment: str, *, default: bool) -> Option[bool]:
    """Declare a yes or no."""
    return Option(name=name, kind="bool", comment=comment, default=default)


def whole_option(
    name: str, comment: str, *, default: object = REQUIRED, minimum: int | None = None, maximum: int | None = None
) -> Option[int]:
    """Declare a whole number; required unless it has a default."""
    return Option(name=name, kind="int", comment=comment, default=default, minimum=minimum, maximum=maximum)


def duration_option(
    name: str, comment: str, *, default: float, minimum: float | None = None, maximum: float | None = None
) -> Option[float]:
    """Declare a duration, all in seconds; the file writes it as "10m"."""
    return Option(name=name, kind="duration", comment=comment, default=default, minimum=minimum, maximum=maximum)


def whole_list_option(name: str, comment: str) -> Option[tuple[int, ...]]:
    """Declare a list of whole numbers, empty unless the file gives one."""
    return Option(name=name, kind="list[int]", comment=comment, default=())


def by_name(options: tuple[Option[Any], ...]) -> dict[str, OptionSpec]:
    """Return what the file may say: each option by its key, in order."""
    return {option.name: option for option in options}
