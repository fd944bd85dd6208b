"""The configuration as syncd reads it: every key with its value, defaults marked, and no secret.

Never opens a connection. A secret is shown by its place, or as ***.
"""

import json
from typing import Final

import msgspec

from syncd.config import address
from syncd.config.duration import format_duration
from syncd.config.model import Http
from syncd.config.secret import Secret
from syncd.config.toml import Bounded, Taken, duration

MASK: Final = "***"


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One key. `value` None: nothing is said and there is no default; `is_default`: the file does not name it.

    `origin` is the file of accounts that it stands in, or `sources_from`; empty for the configuration itself.
    """

    table: tuple[str, ...]
    key: str
    value: object
    is_default: bool
    is_secret: bool
    origin: str = ""

    @property
    def name(self) -> str:
        """The dotted key."""
        return ".".join((*self.table, self.key))

    @property
    def toml(self) -> str:
        """The value as TOML."""
        return _toml(self.value)


def shown(taken: Taken) -> Shown:
    """Return how one key that was read is shown."""
    is_secret = isinstance(taken.value, Secret) and not _is_embedded(taken.value)
    is_secret = is_secret or (isinstance(taken.value, tuple) and any(isinstance(one, Secret) for one in taken.value))
    value = _given(taken) if taken.is_given else _default(taken)
    return Shown(
        table=taken.table, key=taken.key, value=value, is_default=not taken.is_given, is_secret=is_secret,
        origin=taken.origin,
    )  # fmt: skip


def _is_embedded(secret: Secret) -> bool:
    return secret.is_resolved and secret.reveal() == address.EMBEDDED


def _given(taken: Taken) -> object:
    """Return what the file says; a text that is a secret, without it."""
    if isinstance(taken.value, tuple) and any(isinstance(one, Secret) for one in taken.value):
        return [MASK if isinstance(one, str) else one for one in taken.raw] if isinstance(taken.raw, list) else MASK
    if not isinstance(taken.value, Secret) or isinstance(taken.raw, dict):
        return taken.raw
    if taken.table in (("database",), ("sources_from",)) and taken.key == "url":
        return address.without_password(taken.value.reveal())
    return MASK


def _default(taken: Taken) -> object:
    value = taken.value
    match value:
        case Secret():
            return value.reveal() if _is_embedded(value) else MASK
        case Http():
            return f"[{value.host}]:{value.port}" if ":" in value.host else f"{value.host}:{value.port}"
        case tuple():
            return [one if isinstance(one, str | int | float) else str(one) for one in value]
        case bool() | None:
            return value
        case "":
            return None
        case float() | int() if _is_duration(taken):
            return format_duration(float(value))
        case float() | int() | str():
            return value
    return str(value)


def _is_duration(taken: Taken) -> bool:
    return taken.parse is duration or (isinstance(taken.parse, Bounded) and taken.parse.spec.kind == "duration")


def _toml(value: object) -> str:
    match value:
        case dict():
            return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
        case list() | tuple():
            return f"[{', '.join(_toml(item) for item in value)}]"
        case bool() | int() | float():
            return json.dumps(value)
    return json.dumps(str(value), ensure_ascii=False)
