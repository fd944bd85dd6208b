"""Who was forgotten: a person is known by a salted digest only, never by the key itself."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

NO_GENERATION: Final = "0/0"
"""The state of a source of which nobody was forgotten."""


@dataclass(frozen=True, kw_only=True)
class Markers:
    """The persons of one source who were forgotten: for each stream of theirs the digests of their keys, by salt.

    `generation` changes whenever somebody is forgotten, or remembered.
    """

    generation: str = NO_GENERATION
    digests: Mapping[str, Mapping[bytes, frozenset[bytes]]] = field(default_factory=dict)

    def hold(self, stream: str, key: Any) -> bool:
        """Say whether the person of that stream and key was forgotten."""
        return any(marker(salt, stream, key) in digests for salt, digests in self.digests.get(stream, {}).items())


@dataclass
class Forgotten:
    """The newest markers of a source that this process has read; what it does not know of yet, its next page tells."""

    markers: Markers = Markers()


def marker(salt: bytes, stream: str, key: Any) -> bytes:
    """Return the digest that stands for a person."""
    return hashlib.blake2b(f"{stream}\x1f{key}".encode(), key=salt, digest_size=32).digest()
