"""Identities: which spellings of an address are one address, and which accounts are one account."""

import pytest

from syncd.config import Secret, normal_form
from syncd.config.secret import SecretRef
from syncd.contract import Identity
from syncd.sources import registry

SPELLINGS = [
    "https://api.example.com/v3",
    "https://api.example.com/v3/",
    "HTTPS://API.Example.COM:443/v3//",
    "https://api.example.com./v3",
    "https://api.example.com:0443/./x/../v3",
    "https://api.example.com/%76%33",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings_of_an_address_have_one_normal_form(spelling: str) -> None:
    assert normal_form(spelling) == "https://api.example.com/v3"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://[::1]:8080", "http://[0:0:0:0:0:0:0:1]:8080/"),
        ("http://127.0.0.1", "http://127.0.0.1:80/"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://api.example.com:8080", "https://api.example.com:8080/"),
        ("http://api.example.com:443/a-b_c/D0", "http://api.example.com:443/a-b_c/D0/"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example/"),
        ("http://localhost:80", "http://localhost"),
        ("http://127.0.0.1:8788/v3", "http://127.0.0.1:8788/v3/"),
    ],
)
def test_two_spellings_are_one_address(one: str, other: str) -> None:
    assert normal_form(one) == normal_form(other)


@pytest.mark.parametrize(
    "other",
    [
        "https://api.example.org/v3",
        "https://api.example.com/v4",
        "https://api.example.com/V3",
        "https://api.example.com:8443/v3",
        "https://api.example.com",
        "https://api.example.com/v3%2F",
        "http://127.0.0.1/v3",
    ],
)
def test_another_host_port_or_path_is_another_address(other: str) -> None:
    assert normal_form(other) != normal_form(SPELLINGS[0])


def test_every_source_says_what_names_its_account() -> None:
    named = {source.type: tuple(option.name for option in source.account) for source in registry().values()}
    assert named == {
        "autengo": ("dealer_alzura_id", "user_alzura_id"),
        "cyclesoftware": ("username",),
        "cyclis": ("api_token",),
        "ghs": ("username",),
    }


def test_a_token_is_the_same_wherever_it_is_read_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_TEST", "t0ken")
    source, ref = registry()["cyclis"], SecretRef(kind="env", name="TOKEN_OF_TEST")
    inline = source.identity("https://x.example", {"api_token": Secret("t0ken")})
    unread = source.identity("https://x.example", {"api_token": Secret(ref=ref)})
    assert inline == unread
    assert "t0ken" not in repr(inline)
    assert inline != source.identity("https://x.example", {"api_token": Secret("T0ken")})


@pytest.mark.parametrize("other", ["anna ", "аnna", "anna\u200b", "anna\t", "A nna\x1b[1A"])
def test_two_accounts_that_look_alike_do_not_read_alike(other: str) -> None:
    told = [Identity(type="x", address="https://a", account={"username": name}).words for name in ("anna", other)]
    assert told[0] == "x at https://a, username anna"
    assert told[1] != told[0]
    assert told[1].isascii()
    assert told[1].isprintable()
    assert "'" in told[1]
