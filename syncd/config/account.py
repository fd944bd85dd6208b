"""One account as configured. There may be 50,000, and a worker knows them all: each is kept as small as can be.

What many accounts say alike is one `Alike`, which they share. What an account says by itself is packed into one bytes.
"""

import marshal
from collections.abc import Mapping
from typing import Final, NoReturn, SupportsIndex, cast, final
from weakref import WeakValueDictionary

import msgspec

from syncd.config.model import IN_FLIGHT, BudgetConfig, StreamConfig, Timeouts
from syncd.config.option import Options, OptionSpec
from syncd.config.proxy import Proxy
from syncd.config.secret import Secret, SecretRef

USUAL: Final = Timeouts()


class Alike(msgspec.Struct, frozen=True, kw_only=True, weakref=True):
    """What accounts say alike.

    `named` are the options that they name, of all those in `specs`; `secrets` says of each whether it is a secret.
    """

    type: str
    streams: Mapping[str, StreamConfig]
    budget: BudgetConfig
    proxy: Proxy | None
    timeouts: Timeouts
    in_flight: int
    named: tuple[str, ...]
    specs: Mapping[str, OptionSpec]
    secrets: tuple[bool, ...]


_alike: Final[WeakValueDictionary[tuple[object, ...], Alike]] = WeakValueDictionary()
"""What accounts share now, by its parts. What cannot be hashed stands by its id: it lives as long as this does."""


@final
class SourceConfig:
    """One account at one upstream; `options` holds every option of its type, defaults filled in.

    `origin` is the path of the file of accounts that names it, empty for the configuration itself, or FROM_ROWS. It
    does not count when two are compared. `base_url` and `options` are made anew each time that they are asked for.
    """

    __slots__ = ("alike", "name", "origin", "packed")

    def __init__(
        self,
        *,
        name: str,
        type: str,  # noqa: A002  the key's name
        base_url: str,
        options: Mapping[str, object],
        streams: Mapping[str, StreamConfig],
        budget: BudgetConfig,
        proxy: Proxy | None = None,
        timeouts: Timeouts = USUAL,
        in_flight: int = IN_FLIGHT,
        origin: str = "",
    ) -> None:
        if not isinstance(options, Options):
            options = Options.of(options, {option: OptionSpec(kind="str") for option in options})
        values = options.values_named
        secrets = tuple(isinstance(value, Secret) for value in values)
        parts = (
            type, id(streams), id(budget), proxy, id(timeouts), in_flight, options.named, id(options.specs), secrets,
        )  # fmt: skip
        alike = _alike.get(parts)
        if alike is None:
            alike = _alike[parts] = Alike(
                type=type, streams=streams, budget=budget, proxy=proxy, timeouts=timeouts, in_flight=in_flight,
                named=options.named, specs=options.specs, secrets=secrets,
            )  # fmt: skip
        self.name, self.origin = name, origin
        self.alike = alike
        self.packed = marshal.dumps([base_url, *map(_packed, values)])

    @property
    def type(self) -> str:
        """The name of its API."""
        return self.alike.type

    @property
    def streams(self) -> Mapping[str, StreamConfig]:
        """Each stream of the type by its name; the same object for accounts that say the same of their streams."""
        return self.alike.streams

    @property
    def budget(self) -> BudgetConfig:
        """What it may ask for."""
        return self.alike.budget

    @property
    def proxy(self) -> Proxy | None:
        """The proxy of its requests."""
        return self.alike.proxy

    @property
    def timeouts(self) -> Timeouts:
        """How long an answer may take."""
        return self.alike.timeouts

    @property
    def in_flight(self) -> int:
        """Requests of a lane on the wire at once."""
        return self.alike.in_flight

    @property
    def base_url(self) -> str:
        """The address of the API."""
        return self.own[0]

    @property
    def options(self) -> Options:
        """The options of the account."""
        return self.own[1]

    @property
    def own(self) -> tuple[str, Options]:
        """Address and options."""
        base_url, *packed = marshal.loads(self.packed)  # noqa: S302  packed above, by this process
        values = map(_unpacked, packed, self.alike.secrets)
        return base_url, Options(self.alike.named, tuple(values), self.alike.specs)

    def secret(self, option: str) -> str:
        """Reveal the secret option of that name."""
        return cast("Secret", self.options[option]).reveal()

    def is_said_as(self, other: "SourceConfig") -> bool:
        """Say whether another account says the same word for word, at the same place: either may stand for both."""
        return (
            self.alike is other.alike
            and self.packed == other.packed
            and (self.name, self.origin) == (other.name, other.origin)
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SourceConfig):
            return NotImplemented
        return self is other or self.is_said_as(other) or self._said() == other._said()

    __hash__ = None  # type: ignore[assignment]  # as that of its options

    def _said(self) -> tuple[object, ...]:
        alike = self.alike
        return (self.name, alike.type, alike.streams, alike.budget, alike.proxy, alike.timeouts, alike.in_flight,
                *self.own)  # fmt: skip

    def __copy__(self) -> "SourceConfig":
        return self

    def __deepcopy__(self, memo: object) -> "SourceConfig":
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("an account cannot be serialized: it holds secrets")

    def __repr__(self) -> str:
        base_url, options = self.own
        return f"SourceConfig(name={self.name!r}, type={self.type!r}, base_url={base_url!r}, options={options!r})"


def _packed(value: object) -> object:
    """Return a value as `marshal` takes it: a secret as its text, and the kind and name of its place."""
    if not isinstance(value, Secret):
        return value
    text, ref = value.reveal() if value.is_resolved else None, value.ref
    return (text, ref.kind, ref.name) if ref else (text,)


def _unpacked(packed: object, is_secret: bool) -> object:
    if not is_secret:
        return packed
    text, *place = cast("tuple[str | None, ...]", packed)
    return Secret(text, ref=SecretRef(*place) if place else None)  # type: ignore[arg-type]  # as it was packed
