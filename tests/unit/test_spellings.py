"""No spelling of a secret passes the log: encoded, escaped, misread, twice, or in the midst of something longer."""

import base64
import hashlib
import html
import json
import quopri
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncd import log

Spell = Callable[[str], str]


def each(form: str) -> Spell:
    """Spell every character by its code point."""
    return lambda text: "".join(form % ord(sign) for sign in text)


def each_byte(form: str) -> Spell:
    """Spell every byte of the text in UTF-8."""
    return lambda text: "".join(form % byte for byte in text.encode())


def base64_at(place: int) -> Spell:
    return lambda text: base64.b64encode(b"account"[:place] + text.encode() + b":and more").decode()


def utf16_escapes(text: str) -> str:
    wide = text.encode("utf-16-be")
    return "".join(f"\\u{wide[at : at + 2].hex()}" for at in range(0, len(wide), 2))


def some(form: Spell) -> Spell:
    """Spell every third character so, and leave the others."""
    return lambda text: "".join(sign if at % 3 else form(sign) for at, sign in enumerate(text))


SPELLINGS: dict[str, Spell] = {
    "plain": str,
    "percent, upper case": lambda text: quote(text, safe=""),
    "percent, lower case": each_byte("%%%02x"),
    "percent, in part": some(each_byte("%%%02x")),
    "percent, twice": lambda text: quote(quote(text, safe=""), safe=""),
    "percent, twice, lower case": each_byte("%%25%02x"),
    "percent, a form's": quote_plus,
    "percent, a path's": quote,
    "percent, JavaScript's": lambda text: utf16_escapes(text).replace("\\u", "%u") if text.isascii() else quote(text),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64, without padding": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64, for addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64, at the first place": base64_at(3),
    "base64, at the second place": base64_at(4),
    "base64, at the third place": base64_at(5),
    "base64, of UTF-16": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "hex": lambda text: text.encode().hex(),
    "hex, upper case": lambda text: text.encode().hex().upper(),
    "hex, with colons": lambda text: text.encode().hex(":"),
    "HTML, named": lambda text: "".join(f"&{NAMED[sign]};" if sign in NAMED else sign for sign in text),
    "HTML, escaped": html.escape,
    "HTML, decimal": each("&#%d;"),
    "HTML, hexadecimal": each("&#x%x;"),
    "HTML, in part": some(each("&#%d;")),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON, as it is": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON, every character": utf16_escapes,
    "JSON, upper case": lambda text: utf16_escapes(text).upper().replace("\\U", "\\u"),
    "JSON, twice": lambda text: json.dumps(json.dumps(text))[3:-3],
    "JSON, PHP's": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "Python's repr": lambda text: repr(text)[1:-1],
    "Python's bytes": lambda text: repr(text.encode())[2:-1],
    "backslash, hexadecimal": each_byte("\\x%02x"),
    "backslash, octal": each_byte("\\%03o"),
    "quoted-printable": lambda text: quopri.encodestring(text.encode()).decode(),
    "quoted-printable, every byte": each_byte("=%02X"),
    "UTF-8 read as Latin-1": lambda text: text.encode().decode("latin-1"),
    "Latin-1 read as UTF-8": lambda text: text.encode("latin-1", "replace").decode("utf-8", "replace"),
    "percent in HTML": lambda text: html.escape(quote(text, safe="")),
    "percent in JSON": lambda text: json.dumps(quote(text, safe=""))[1:-1],
    "HTML in JSON": lambda text: json.dumps(html.escape(text))[1:-1],
}
NAMED: dict[str, str] = {
    "&": "amp",
    "<": "lt",
    ">": "gt",
    '"': "quot",
    "'": "apos",
    "/": "sol",
    "+": "plus",
    "=": "equals",
    "é": "eacute",
}
SECRETS = [
    "hunter2-and-more", 'p&<>"\'/+=\\%41é!', "pä$$/w+rd&amp;", "a/b+c/d+e==", "тайна-секрет", "ключ🔑ключ🔑",
    "%41%42%43%44%45", r"C:\new\table\x41", "=3D=3D=3D=3D", "&amp;&lt;&gt;&quot;",
]  # fmt: skip


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    log._protected.forget_all()


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("name", SPELLINGS)
def test_no_spelling_of_a_secret_passes(name: str, secret: str) -> None:
    assert_masked(name, secret)


@given(secret=st.text(min_size=12, max_size=40).filter(str.strip), name=st.sampled_from(sorted(SPELLINGS)))
@example(secret="000000000\r\n\n", name="quoted-printable")
@example(secret="of\nthree\r\nlines", name="quoted-printable")
def test_no_spelling_of_any_secret_passes(name: str, secret: str) -> None:
    """A marker of letters in front is what must be gone; the rest may hold anything, escapes too."""
    assert_masked(name, f"Marker{secret}")
    log._protected.forget_all()


def assert_masked(name: str, secret: str) -> None:
    log.protect(secret)
    try:
        spelt = SPELLINGS[name](secret)
    except UnicodeEncodeError:
        return
    told = log.mask(f"the vendor said {spelt} to that")
    assert spelt not in told, (secret, spelt)
    assert log.MASK in told
    assert told.startswith("the vendor said")
    assert len(told) < len("the vendor said *** to that") + 28 + len(spelt) // 8, (
        told
    )  # what stands around it in base64 stays


def test_what_holds_no_secret_stays_as_it_is() -> None:
    log.protect("hunter2-and-more")
    for text in ("50 % of a&b, c=d, \\n and \\u0041", "é%20è&eacute;🔑\\", "hunter", "%68%75%6e", "a" * 5_000, ""):
        assert log.mask(text) == text


def test_masking_takes_a_time_that_does_not_grow_with_the_secrets() -> None:
    for number in range(300):
        log.protect(f"token-{hashlib.sha256(bytes([number % 256, number // 256])).hexdigest()}")
    log.protect("hunter2-and-more")
    assert log.mask("x=%68unter2-and-more&y") == f"x={log.MASK}&y"
    assert len(log._protected._spelt._plain.lengths) < 20, "a line is looked through once for each length"
