"""What is kept of an upstream's secrets can be read with the configured secret alone."""

import pytest

from syncd.storage.state.kept import FORM, SALT_BYTES, seal, unseal

FIRST = "the-configured-refresh-token"


@pytest.mark.parametrize("secret", ["", "x", "rotated-token-0002", "тайна🔑\ud800", "a" * 5_000])
def test_what_was_sealed_is_read_with_the_same_secret_and_with_no_other(secret: str) -> None:
    sealed = seal(FIRST, secret)
    assert unseal(FIRST, sealed) == secret
    assert unseal(FIRST + "x", sealed) is None
    if len(secret) > 1:
        assert secret.encode("utf-8", "surrogatepass")[:12] not in sealed


def test_two_sealings_of_one_text_have_nothing_in_common() -> None:
    one, other = seal(FIRST, "rotated-token-0002"), seal(FIRST, "rotated-token-0002")
    head = len(FORM)
    assert one[head : head + SALT_BYTES] != other[head : head + SALT_BYTES]
    assert one[-18:] != other[-18:]


def test_what_was_changed_or_cut_is_not_read() -> None:
    sealed = seal(FIRST, "rotated-token-0002")
    for place in (0, 3, 20, len(sealed) - 1):
        changed = bytearray(sealed)
        changed[place] ^= 1
        assert unseal(FIRST, bytes(changed)) is None, place
    for length in (0, 1, 17, 40, len(sealed) - 1):
        assert unseal(FIRST, sealed[:length]) is None, length
