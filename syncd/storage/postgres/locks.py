"""The numbers of advisory locks: PostgreSQL knows such a lock by a number only, so each is made from words."""

import hashlib

_SEPARATOR = "\x1f"


def lock_number(*words: str) -> int:
    """Return the number of the advisory lock for these words: the same in every process and every version."""
    digest = hashlib.blake2b(_SEPARATOR.join(words).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
