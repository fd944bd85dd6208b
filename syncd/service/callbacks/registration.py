"""The addresses at which callbacks are accepted. They are generated here; only a digest is stored (syncd.callbacks).

An address of a callback holds 256 random bits that stand nowhere but in it: at the end of its path, or as its password.
So whoever reads the database or a backup of it cannot call, and syncd itself can never show it. The
address for webhooks is made of the secret by which they are signed, so that it stands nowhere and can be shown again.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from syncd.storage.postgres.database import Database

PREFIX: Final = "/callbacks/"
"""Start of the path of every address; the source's name and the secret follow."""
USER: Final = "syncd"
"""User of an address whose secret is the password."""
SECRET_BYTES: Final = 32
MASK: Final = "***"


@dataclass(frozen=True, kw_only=True)
class Registration:
    """One address: its digest, when the upstream accepted it, and the last callback that it received."""

    digest: bytes
    registered_at: datetime | None
    heard_at: datetime | None
    heard: str | None


def new_secret() -> str:
    """Generate the secret part of an address."""
    return secrets.token_urlsafe(SECRET_BYTES)


def digest_of(secret: str) -> bytes:
    """Return the digest that is stored for a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def matches(secret: str, digests: Sequence[bytes]) -> bytes | None:
    """Return the digest of the secret if it is one of these; takes equally long if it is not."""
    given, found = digest_of(secret), None
    for digest in digests:
        if hmac.compare_digest(given, digest):
            found = digest
    return found


def place_of(secret: str, source: str) -> str:
    """Return the secret part of the address for webhooks: always the same for a secret, which it does not tell."""
    made = hmac.digest(secret.encode("utf-8", "surrogatepass"), f"syncd webhooks of {source}".encode(), "sha256")
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def address(base: str, source: str, secret: str, place: str) -> str:
    """Return the address that the upstream is given; `place` of the secret is "path" or "password".

    Who calls an address with user and password sends them as `Authorization: Basic`.
    """
    parts = urlsplit(base)
    path = f"{parts.path.rstrip('/')}{PREFIX}{source}"
    if place == "password":
        return urlunsplit((parts.scheme, f"{USER}:{secret}@{parts.netloc}", path, "", ""))
    return urlunsplit((parts.scheme, parts.netloc, f"{path}/{secret}", "", ""))


def secret_of(url: str) -> str:
    """Return the password of an address, else the last part of its path: the secret, if the address is ours."""
    parts = urlsplit(url)
    return unquote(parts.password or "") or parts.path.rpartition("/")[2]


def secret_in(authorization: str) -> str:
    """Return the password of a header `Authorization: Basic`, "" for any other."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def masked(url: str) -> str:
    """Return any address without the parts that may be secret."""
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    is_ours = bool(parts.password) and parts.username == USER  # then the path holds no secret
    path = parts.path if is_ours or not parts.path.strip("/") else parts.path.rpartition("/")[0] + f"/{MASK}"
    netloc = f"{MASK}@{host}" if login and at else host
    return urlunsplit((parts.scheme, netloc, path, MASK if parts.query else "", ""))


async def read(database: Database, source: str) -> list[Registration]:
    """Return the addresses of a source, the newest first."""
    async with database.connection() as conn:
        rows = await conn.fetch(
            "SELECT digest, registered_at, heard_at, heard FROM syncd.callbacks WHERE source = $1"
            " ORDER BY made_at DESC",
            source,
        )
    return [Registration(**row) for row in rows]


async def read_digests(database: Database) -> dict[str, list[bytes]]:
    """Return the digests of all addresses, by source."""
    found: dict[str, list[bytes]] = {}
    async with database.connection() as conn:
        for row in await conn.fetch("SELECT source, digest FROM syncd.callbacks"):
            found.setdefault(row["source"], []).append(row["digest"])
    return found


async def add(database: Database, source: str, digest: bytes, *, now: datetime) -> None:
    """Accept callbacks at a new address, in addition to the existing ones."""
    async with database.connection() as conn:
        await conn.execute(
            "INSERT INTO syncd.callbacks (source, digest, made_at) VALUES ($1, $2, $3)", source, digest, now
        )


async def settle(database: Database, source: str, digest: bytes | None, *, now: datetime) -> None:
    """Accept callbacks of a source only at this address, which the upstream now has; None: accept none."""
    async with database.transaction() as conn:
        await conn.execute(
            "DELETE FROM syncd.callbacks WHERE source = $1 AND digest IS DISTINCT FROM $2", source, digest
        )
        await conn.execute(
            "UPDATE syncd.callbacks SET registered_at = $3 WHERE source = $1 AND digest = $2 AND registered_at IS NULL",
            source, digest, now,
        )  # fmt: skip


async def note_heard(database: Database, source: str, digest: bytes, heard: str, *, at: datetime) -> None:
    """Store the result of the last callback that an address received."""
    async with database.connection() as conn:
        await conn.execute(
            "UPDATE syncd.callbacks SET heard_at = $3, heard = $4 WHERE source = $1 AND digest = $2",
            source, digest, at, heard,
        )  # fmt: skip
