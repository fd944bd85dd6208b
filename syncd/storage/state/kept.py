"""The table `syncd.kept_secrets`: what an upstream hands out in exchange for a configured secret.

It is stored sealed: encrypted with a key that is made of the configured secret. So a dump, an export and a reader of
the database hold nothing that signs a request, and what was kept counts no more once another secret is configured.
"""

import hashlib
import hmac
import os
from datetime import datetime
from typing import Final

import asyncpg

FORM: Final = b"\x01"
"""Begins what was sealed in this way."""
SALT_BYTES: Final = 16
TAG_BYTES: Final = 32
KEY_BYTES: Final = 32
_COST: Final = {"n": 2**14, "r": 8, "p": 1}
"""Of scrypt: 16 MB and some hundredths of a second, against guessing where the configured secret is a short one."""


async def read(conn: asyncpg.Connection, source: str) -> bytes | None:
    """Return what is kept for a source, sealed; None if nothing is."""
    sealed: bytes | None = await conn.fetchval("SELECT sealed FROM syncd.kept_secrets WHERE source = $1", source)
    return sealed


async def store(conn: asyncpg.Connection, source: str, sealed: bytes, *, now: datetime) -> None:
    """Replace what is kept for a source, within the caller's transaction, whose commit waits for the disk."""
    await conn.execute("SET LOCAL synchronous_commit = on")
    await conn.execute(
        "INSERT INTO syncd.kept_secrets (source, sealed, kept_at) VALUES ($1, $2, $3)"
        " ON CONFLICT (source) DO UPDATE SET sealed = excluded.sealed, kept_at = excluded.kept_at",
        source, sealed, now,
    )  # fmt: skip


def seal(first: str, secret: str) -> bytes:
    """Encrypt a secret with the configured one; takes some hundredths of a second.

    Every sealing has a salt and with it keys of its own, so that no two texts meet under one key stream.
    """
    salt = os.urandom(SALT_BYTES)
    stream_key, tag_key = _keys(first, salt)
    covered = _covered(stream_key, secret.encode("utf-8", "surrogatepass"))
    return FORM + salt + _tag(tag_key, covered) + covered


def unseal(first: str, sealed: bytes) -> str | None:
    """Return the secret; None if it was sealed with another one, or was changed since."""
    salt, rest = sealed[len(FORM) : len(FORM) + SALT_BYTES], sealed[len(FORM) + SALT_BYTES :]
    tag, covered = rest[:TAG_BYTES], rest[TAG_BYTES:]
    if not sealed.startswith(FORM) or len(tag) < TAG_BYTES:
        return None
    stream_key, tag_key = _keys(first, salt)
    if not hmac.compare_digest(tag, _tag(tag_key, covered)):
        return None
    return _covered(stream_key, covered).decode("utf-8", "surrogatepass")


def _keys(first: str, salt: bytes) -> tuple[bytes, bytes]:
    both = hashlib.scrypt(first.encode("utf-8", "surrogatepass"), salt=salt, dklen=2 * KEY_BYTES, **_COST)
    return both[:KEY_BYTES], both[KEY_BYTES:]


def _covered(key: bytes, text: bytes) -> bytes:
    """Add the key stream to a text, or take it away: SHAKE-256 gives as many bytes as are wanted."""
    stream = hashlib.shake_256(key).digest(len(text))
    return bytes(one ^ other for one, other in zip(text, stream, strict=True))


def _tag(key: bytes, covered: bytes) -> bytes:
    return hashlib.blake2b(covered, key=key, digest_size=TAG_BYTES).digest()
