"""Options: one declaration gives the key of the file, its check, and the typed value that a source reads."""

from pathlib import Path

import pytest

from syncd import config as configuration
from syncd.config import (
    OptionSpec,
    Secret,
    SourceSpec,
    by_name,
    duration_option,
    flag_option,
    optional_text,
    secret_option,
    text_option,
    whole_option,
    zone_option,
)
from syncd.contract import Source
from syncd.errors import ConfigError
from syncd.sources import registry

TOKEN = secret_option("token", "token")
HEADER = text_option("header", "its header", default="X-Token", choices=("X-Token", "Authorization"))
LIMIT = whole_option("limit", "rows a page", default=100, minimum=1, maximum=1000)
OVERLAP = duration_option("overlap", "overlap", default=600.0, minimum=60)
ZONE = zone_option("zone", "zone", default="Europe/Amsterdam")
LISTENS = flag_option("listens", "whether it listens", default=False)
NOTE = optional_text("note", "a note")
OPTIONS = (TOKEN, HEADER, LIMIT, OVERLAP, ZONE, LISTENS, NOTE)
SPECS = {"toy": SourceSpec(type="toy", base_url="https://toy.example", options=by_name(OPTIONS))}


def _load(tmp_path: Path, *lines: str) -> configuration.SourceConfig:
    path = tmp_path / "config.toml"
    path.write_text("\n".join(["[sources.shop]", 'type = "toy"', *lines]))
    return configuration.load(path, SPECS, environ={"HOME": str(tmp_path), "T": "t0ken"}).sources["shop"]


def test_each_option_is_read_with_its_own_type(tmp_path: Path) -> None:
    shop = _load(
        tmp_path, 'token = { env = "T" }', "limit = 25", 'overlap = "2h"', 'zone = "Europe/Berlin"', "listens = true",
        'note = "n"', 'header = "Authorization"',
    )  # fmt: skip
    assert TOKEN.of(shop.options).reveal() == "t0ken"
    read = [option.of(shop.options) for option in (HEADER, LIMIT, OVERLAP, ZONE, LISTENS, NOTE)]
    assert read == ["Authorization", 25, 7200.0, "Europe/Berlin", True, "n"]


def test_what_the_file_leaves_out_is_the_declared_default(tmp_path: Path) -> None:
    shop = _load(tmp_path, 'token = { env = "T" }')
    read = [option.of(shop.options) for option in (HEADER, LIMIT, OVERLAP, ZONE, LISTENS, NOTE)]
    assert read == ["X-Token", 100, 600.0, "Europe/Amsterdam", False, None]


def test_an_option_that_was_not_loaded_has_its_default_and_a_required_one_is_missed() -> None:
    assert (LIMIT.of({}), NOTE.of({}), LIMIT.of({"limit": 7})) == (100, None, 7)
    with pytest.raises(KeyError, match="token"):
        TOKEN.of({})


def test_the_declaration_is_what_the_file_is_checked_by(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        _load(tmp_path, "limit = 0", 'overlap = "1s"', 'header = "Cookie"', "lmit = 3")
    told = str(raised.value)
    for words in ("limit: expected at least 1", "overlap: expected at least 1m", "header:", "lmit", "token"):
        assert words in told


SECRETS = ("password", "api_key", "api_token", "webhook_secret")


@pytest.mark.parametrize("source", registry().values(), ids=registry())
def test_secrets_of_a_source_are_those_declared_so(source: Source) -> None:
    kinds = {option.name: option.kind for option in source.options}
    values = {
        name: Secret(f"value of {name}") if kind == "secret" else f"value of {name}" for name, kind in kinds.items()
    }
    found = {secret.reveal() for secret in source.secrets(values)}
    assert found == {f"value of {name}" for name in kinds if name in SECRETS}
    assert found


def test_names_are_unique_within_a_source_and_within_a_stream() -> None:
    declared = [source.options for source in registry().values()]
    declared += [stream.options for source in registry().values() for stream in source.streams]
    assert sum(map(len, declared)) > 20
    for options in declared:
        assert len({option.name for option in options}) == len(options)
        assert all(isinstance(option, OptionSpec) for option in by_name(options).values())


def test_accounts_that_say_the_same_in_other_words_are_equal_and_each_lists_every_option(tmp_path: Path) -> None:
    brief, full = _load(tmp_path, 'token = "t"'), _load(tmp_path, 'token = "t"', "limit = 100")
    other = _load(tmp_path, 'token = "u"')
    assert brief.options == full.options == dict(brief.options)
    assert brief == full
    assert brief.options != other.options
    assert list(brief.options) == [option.name for option in OPTIONS]
    assert "t0" not in repr(_load(tmp_path, 'token = { env = "T" }').options)
