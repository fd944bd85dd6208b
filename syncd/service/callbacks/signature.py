"""Whether a call bears the signature of the secret that both sides know: pure, and as slow for a wrong one as a right.

The bytes that were signed are those that came: nothing is parsed and written again before they are compared.
"""

import base64
import binascii
import contextlib
import hmac
import re
from collections.abc import Sequence
from typing import Final

from syncd.config import SourceConfig
from syncd.contract.options import WEBHOOK_SECRET

HASHES: Final = ("sha256", "sha1", "sha512")
"""The hashes that are known; option webhook_hash."""
SIGNATURE_CHARS: Final = 200
"""A longer text is no signature: that of sha512 has 128 digits."""
RIGHT: Final = "right"
MISSING: Final = "no signature"
WRONG: Final = "wrong signature"

_PREFIX: Final = re.compile(rf"(?:{'|'.join(HASHES)})=", re.IGNORECASE)


def secret_of(source: SourceConfig) -> str:
    """Return the secret of a source's webhooks, empty where there is none."""
    secret = WEBHOOK_SECRET.of(source.options)
    return secret.reveal() if secret else ""


def judge(secret: bytes, hash_name: str, given: str, parts: Sequence[bytes]) -> str:
    """Say of a signature RIGHT, MISSING, WRONG, or by which other hash it was made: "signed with sha1".

    `parts` are the texts that may have been signed. A signature may be hexadecimal in any case, or base64, with or
    without the name of the hash before it.
    """
    if not given.strip():
        return MISSING
    found = _read(given.strip())
    for name in (hash_name, *(other for other in HASHES if other != hash_name)):
        if _matches(secret, name, found, parts):
            return RIGHT if name == hash_name else f"signed with {name}"
    return WRONG


def _matches(secret: bytes, hash_name: str, found: Sequence[bytes], parts: Sequence[bytes]) -> bool:
    """Compare with every part and every reading, whichever is right."""
    is_right = False
    for part in parts:
        made = hmac.digest(secret, part, hash_name)
        for one in found:
            is_right |= hmac.compare_digest(made, one)
    return is_right


def _read(given: str) -> list[bytes]:
    """Return what a text may stand for as a digest: hexadecimal digits, or base64 of either alphabet."""
    text = _PREFIX.sub("", given, count=1) if _PREFIX.match(given) else given
    if len(text) > SIGNATURE_CHARS or not text.isascii():
        return []
    found = []
    if re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", text):
        found.append(bytes.fromhex(text))
    padded = text.rstrip("=").replace("-", "+").replace("_", "/")
    with contextlib.suppress(binascii.Error):
        found.append(base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True))
    return found
