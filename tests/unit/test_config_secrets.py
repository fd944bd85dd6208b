"""Secrets of the configuration: where they come from, and that none ever shows."""

import copy
import json
import os
import pickle
import traceback
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd import sources
from syncd.config import (
    Secret,
    load,
    missing_secrets,
    secrets,
)
from syncd.errors import ConfigError
from tests.support.configured import (
    ENVIRON,
    EXAMPLE,
    EXAMPLE_ENVIRON,
    SHOP,
    Load,
    problems_of,
)

SECRET_TEXT = "hunter2-é\"'%/ x"


def test_each_form_of_a_secret_gives_its_text(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("from-file\n")
    (tmp_path / "private").chmod(0o600)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "ghs.key").write_text("from-systemd\r\n")
    (credentials / "ghs.key").chmod(0o440)  # systemd grants by ACL, which shows as group bits
    environ = {**ENVIRON, "P": "from-env", "CREDENTIALS_DIRECTORY": str(credentials)}
    config = load_text(
        SHOP
        + """
        password = { env = "P" }
        [sources.lease]
        type = "cyclis"
        base_url = "https://h"
        api_token = { file = "private" }
        [sources.parts]
        type = "ghs"
        username = "u"
        password = "in the text"
        api_key = { credential = "ghs.key" }
        """,
        environ=environ,
    )
    assert {key: secret.reveal() for key, secret in secrets(config)} == {
        "sources.shop.password": "from-env",
        "sources.lease.api_token": "from-file",
        "sources.parts.api_key": "from-systemd",
        "sources.parts.password": "in the text",
    }
    assert missing_secrets(config, {}) == []


@pytest.mark.parametrize(
    "content", [b"hunter2", b"hunter2\n", b"hunter2\r\n", b"\xef\xbb\xbfhunter2", b"\xef\xbb\xbfhunter2\r\n"]
)
def test_a_secret_is_free_of_what_an_editor_adds(load_text: Load, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    (tmp_path / "secret").chmod(0o600)
    for value, environ in (
        ('{ file = "secret" }', {}),
        ('{ env = "SECRET" }', {"SECRET": content.decode()}),
        ('{ credential = "secret" }', {"CREDENTIALS_DIRECTORY": str(tmp_path)}),
    ):
        config = load_text(f"{SHOP}password = {value}", environ={**ENVIRON, **environ})
        secret = config.sources["shop"].options["password"]
        assert isinstance(secret, Secret)
        assert secret.reveal() == "hunter2"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('{ env = "NOWHERE" }', "the environment variable NOWHERE is not set"),
        ('{ env = "EMPTY" }', "the environment variable EMPTY is empty"),
        ('{ env = "LINES" }', "the environment variable LINES holds a line break"),
        ('{ file = "absent" }', "{tmp}/absent cannot be read: No such file"),
        ('{ file = "." }', "cannot be read: Is a directory"),
        ('{ file = "pipe" }', "{tmp}/pipe is not a file"),
        ('{ file = "open" }', "{tmp}/open may be read by others (mode 0644): chmod 600 {tmp}/open"),
        ('{ file = "group" }', "{tmp}/group may be read by others (mode 0640): chmod 600 {tmp}/group"),
        ('{ file = "empty" }', "{tmp}/empty is empty"),
        ('{ file = "large" }', "{tmp}/large is larger than"),
        ('{ file = "binary" }', "{tmp}/binary is not UTF-8 text"),
        ('{ file = "wide" }', "{tmp}/wide is UTF-16 text: save it as UTF-8"),
        ('{ file = "wide-be" }', "{tmp}/wide-be is UTF-16 text: save it as UTF-8"),
        ('{ file = "wide-bare" }', "{tmp}/wide-bare is UTF-16 text: save it as UTF-8"),
        ('{ file = "mark" }', "{tmp}/mark is empty"),
        ('{ credential = "absent" }', "$CREDENTIALS_DIRECTORY is not set; add LoadCredential=absent:/path"),
    ],
)
def test_a_missing_secret_tells_source_key_and_place(
    load_text: Load, tmp_path: Path, value: str, expected: str
) -> None:
    for name, content, mode in [
        ("open", b"hunter2", 0o644),
        ("group", b"hunter2", 0o640),
        ("empty", b"\n", 0o600),
        ("large", b"hunter2" * 10_000, 0o600),
        ("binary", b"hunter2\xff", 0o600),
        ("wide", "hunter2".encode("utf-16"), 0o600),
        ("wide-be", b"\xfe\xff" + "hunter2".encode("utf-16-be"), 0o600),
        ("wide-bare", "hunter2".encode("utf-16-le"), 0o600),
        ("mark", b"\xef\xbb\xbf\r\n", 0o600),
    ]:
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(mode)
    os.mkfifo(tmp_path / "pipe", 0o600)
    environ = {**ENVIRON, "EMPTY": "", "LINES": "hunter2\nhunter2"}
    text = f"{SHOP}password = {value}"
    (problem,) = problems_of(load_text, text, environ=environ)
    assert problem.startswith("sources.shop.password: ")
    assert expected.replace("{tmp}", str(tmp_path)) in problem
    assert "hunter2" not in problem

    unresolved = load_text(text, environ=environ, resolve_secrets=False)
    assert missing_secrets(unresolved, environ) == [problem]


def test_a_credential_that_systemd_did_not_load_tells_where_it_was_looked_for(load_text: Load, tmp_path: Path) -> None:
    text = SHOP + 'password = { credential = "shop" }'
    (problem,) = problems_of(load_text, text, environ={**ENVIRON, "CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert f"the file {tmp_path}/shop cannot be read: No such file" in problem


def test_unresolved_secrets_load_without_their_places_and_refuse_to_be_revealed(load_text: Load) -> None:
    config = load_text(SHOP + 'password = { env = "NOWHERE" }', resolve_secrets=False)
    with pytest.raises(ConfigError, match="not resolved"):
        config.sources["shop"].secret("password")
    ((key, secret),) = secrets(config)
    assert (key, secret.is_resolved) == ("sources.shop.password", False)
    assert secret == config.sources["shop"].options["password"]
    assert secret != Secret("x")


def _every_rendering(value: object) -> list[str]:
    return [
        repr(value),
        str(value),
        f"{value}",
        f"{value!r:>20}",
        f"{value}",
        "%s %r" % (value, value),  # noqa: UP031 - one of the ways that must not leak
        json.dumps(value, default=str),
        msgspec.json.encode({"value": value}, enc_hook=repr).decode(),
    ]


@given(text=st.text(min_size=6).filter(lambda text: text not in "***" and text.isprintable()))
def test_no_rendering_of_a_secret_shows_it(text: str) -> None:
    secret = Secret(text)
    assert all(f"<{text}>" not in f"<{rendering}>" for rendering in _every_rendering(secret))
    assert _every_rendering(secret) == _every_rendering(Secret("another"))
    assert secret.reveal() == text
    assert secret == Secret(text)
    assert secret != Secret(text + "x")
    assert secret != text
    assert hash(secret) == hash(Secret(text))


def test_a_secret_is_never_serialized_by_accident() -> None:
    secret = Secret(SECRET_TEXT)
    for dump in (json.dumps, msgspec.json.encode, msgspec.msgpack.encode, pickle.dumps, vars):
        with pytest.raises(TypeError) as caught:
            dump(secret)
        assert SECRET_TEXT not in "".join(traceback.format_exception(caught.value))
    assert copy.deepcopy(secret) is secret
    assert copy.copy(secret) is secret
    with pytest.raises(TypeError):
        "Bearer " + secret  # type: ignore[operator]


def test_a_whole_config_shows_no_secret() -> None:
    config = load(EXAMPLE, sources.specs(), environ=EXAMPLE_ENVIRON)
    other = load(EXAMPLE, sources.specs(), environ={**EXAMPLE_ENVIRON, "GHS_KEY": "s6-hunter"})
    assert len(list(secrets(config))) == 5
    for rendering in (repr(config), str(config), f"{config}", repr(list(secrets(config)))):
        assert "-hunter" not in rendering
    with pytest.raises(TypeError) as caught:
        msgspec.json.encode(config)
    assert "-hunter" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(AssertionError) as mismatch:
        assert config == other
    assert "-hunter" not in str(mismatch.value)
