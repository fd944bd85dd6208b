"""Whose data a source holds: the type of the API, its address, and the account there."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from syncd.config import normal_form
from syncd.contract.options import Option, Secret
from syncd.frozen import dataclass

DIGEST: Final = "sha256:"
"""Before the digest that stands for a secret."""
DIGEST_SHOWN: Final = 8
"""Hexadecimal digits of a digest that a message shows: enough to tell two keys apart."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One account at one API, however it is called in the configuration.

    `address` is in its normal form. `account` holds the options that name the account, as texts by their names; of a
    secret one only the digest.
    """

    type: str
    address: str
    account: Mapping[str, str]

    @property
    def words(self) -> str:
        """The identity as a message tells it."""
        return f"{self.type} at {self.address}, {self.account_words}"

    @property
    def account_words(self) -> str:
        """The account as a message tells it; of a digest only the beginning."""
        return ", ".join(f"{name} {_shown(value)}" for name, value in sorted(self.account.items()))


def identity_of(type_: str, base_url: str, named_by: tuple[Option[Any], ...], options: Mapping[str, Any]) -> Identity:
    """Return the identity of an account by the options that name it.

    A secret that was left unresolved is read now. Raises ConfigError if it is missing.
    """
    account = {option.name: _text(type_, option, option.of(options)) for option in named_by}
    return Identity(type=type_, address=normal_form(base_url), account=account)


def _text(type_: str, option: Option[Any], value: object) -> str:
    if not isinstance(value, Secret):
        return str(value)
    digest = hashlib.sha256(f"{type_}\x1f{option.name}\x1f{value.read()}".encode()).hexdigest()
    return f"{DIGEST}{digest}"


def _shown(value: str) -> str:
    if not value.startswith(DIGEST):
        is_plain = value.isascii() and value.isprintable() and value == value.strip()
        return value if is_plain else ascii(value)  # two accounts that look alike must not read alike
    return f"with SHA-256 {value.removeprefix(DIGEST)[:DIGEST_SHOWN]}…"
