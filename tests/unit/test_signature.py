"""Which signatures of a webhook are right, as cases; no wrong one ever is."""

import base64
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.service.callbacks.signature import HASHES, MISSING, RIGHT, WRONG, judge

SECRET = b"s\xc3\xa9cret"
BODY = b'{"id" : "1" , "payload":  {"a\\/b" : 1}}'
PAYLOAD = b'{"a\\/b" : 1}'


def forms(digest: bytes) -> dict[str, str]:
    return {
        "hex": digest.hex(),
        "large hex": digest.hex().upper(),
        "with its hash": f"sha256={digest.hex()}",
        "base64": base64.b64encode(digest).decode(),
        "base64 without padding": base64.b64encode(digest).decode().rstrip("="),
        "base64 for addresses": base64.urlsafe_b64encode(digest).decode(),
        "with blanks": f" {digest.hex()} ",
    }


@pytest.mark.parametrize("part", [BODY, PAYLOAD])
@pytest.mark.parametrize("form", forms(b""))
@pytest.mark.parametrize("name", HASHES)
def test_every_form_of_the_right_signature_is_right(part: bytes, form: str, name: str) -> None:
    given = forms(hmac.digest(SECRET, part, name))[form]
    assert judge(SECRET, name, given, [BODY, PAYLOAD]) == RIGHT


@pytest.mark.parametrize("name", ["sha1", "sha512"])
def test_a_signature_by_another_hash_is_named_and_not_taken(name: str) -> None:
    assert judge(SECRET, "sha256", hmac.digest(SECRET, BODY, name).hex(), [BODY]) == f"signed with {name}"


@pytest.mark.parametrize("given", ["", "  "])
def test_no_signature_is_told_apart(given: str) -> None:
    assert judge(SECRET, "sha256", given, [BODY]) == MISSING


@given(given=st.text(max_size=300), body=st.binary(max_size=100))
def test_no_other_text_is_right(given: str, body: bytes) -> None:
    assert judge(SECRET, "sha256", given, [body]) in (WRONG, MISSING)


@given(place=st.integers(0, 63), digit=st.sampled_from("0123456789abcdef"))
def test_one_wrong_digit_is_wrong(place: int, digit: str) -> None:
    right = hmac.digest(SECRET, BODY, "sha256").hex()
    changed = right[:place] + digit + right[place + 1 :]
    assert (judge(SECRET, "sha256", changed, [BODY]) == RIGHT) == (changed == right)


def test_a_body_written_again_is_not_what_was_signed() -> None:
    written_again = BODY.replace(b"\\/", b"/").replace(b" ", b"")
    assert judge(SECRET, "sha256", hmac.digest(SECRET, BODY, "sha256").hex(), [written_again]) == WRONG
