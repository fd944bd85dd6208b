"""How one account of 50,000 is kept: small, and as it was said."""

import gc
import pickle
import tracemalloc
from copy import deepcopy
from pathlib import Path

import pytest

from syncd import sources
from syncd.config import (
    BudgetConfig,
    Config,
    Json,
    RowsReader,
    Secret,
    SourceConfig,
    StreamConfig,
    load,
    masked,
    secrets,
)
from syncd.config.secret import SecretRef
from tests.support.accounts import changed

MOST_BYTES = 400
"""What an account of a row may take, with its name and its place among others. A third of it is what it says."""


def account(**options: object) -> SourceConfig:
    return SourceConfig(
        name="shop", type="toy", base_url="http://127.0.0.1:9", options=options, budget=BudgetConfig(),
        streams={"orders": StreamConfig(name="orders")},
    )  # fmt: skip


@pytest.mark.parametrize("value", ["fiets-ä", "\udcff", "", 3, 10**30, 0.1, True, None, ("a", "b"), (1, 2), ()])
def test_an_option_comes_back_as_it_was_read(value: object) -> None:
    found = account(option=value).options["option"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["hunter2", None])
@pytest.mark.parametrize("ref", [SecretRef("file", "/etc/token"), None])
def test_a_secret_comes_back_with_its_place_and_is_not_shown(text: str | None, ref: SecretRef | None) -> None:
    shop = account(password=Secret(text, ref=ref))
    found = shop.options["password"]
    assert isinstance(found, Secret)
    assert (found.is_resolved, found.ref) == (text is not None, ref)
    assert found == Secret(text, ref=ref)
    assert "hunter2" not in repr(shop)
    assert deepcopy(shop) is shop
    with pytest.raises(TypeError, match="cannot be serialized"):
        pickle.dumps(shop)
    if text:
        assert shop.secret("password") == text


def test_accounts_are_equal_if_they_say_the_same_wherever_it_was_read() -> None:
    shop = account(password=Secret("hunter2", ref=SecretRef("env", "P")), limit=5)
    assert shop == changed(shop)
    assert shop == changed(shop, origin="other.toml")
    assert shop == changed(shop, streams=dict(shop.streams))
    assert shop == changed(shop, options={"password": Secret("hunter2", ref=SecretRef("env", "Q")), "limit": 5})
    for other in (
        changed(shop, name="store"), changed(shop, base_url="http://127.0.0.1:10"), changed(shop, in_flight=1),
        changed(shop, options={**shop.options, "password": Secret("hunter3")}), changed(shop, streams={}),
        changed(shop, options={**shop.options, "limit": 6}), changed(shop, budget=BudgetConfig(per_day=1)),
    ):  # fmt: skip
        assert shop != other


def test_a_configuration_shares_the_accounts_of_the_one_before_that_are_the_same_word_for_word(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[sources_from]\nquery = "SELECT 1"\n')
    streams = Json('{"streams": {"customers": {"every": "1d"}}}')

    def read(**changes: object) -> Config:
        reader = RowsReader(load(path, sources.specs(), environ={}), sources.specs(), environ=environ)
        reader.take([row(name, "P", streams) for name in ("same", "other")])
        reader.take([row("turned", "Q", streams) | changes])
        return reader.config()

    environ = {"P": "hunter2", "Q": "hunter2"}
    before = read(base_url="http://127.0.0.1:1")
    after = read(base_url="http://127.0.0.1:2")
    shared = after.sharing(before)
    assert shared == after
    assert shared.digest == after.digest
    assert [name for name in shared.sources if shared.sources[name] is before.sources[name]] == ["same", "other"]
    assert shared.sources["turned"].base_url == "http://127.0.0.1:2"
    environ["P"] = "hunter3"
    assert all(each.secret("password") == "hunter3" for each in list(read().sharing(before).sources.values())[:2])


def test_an_account_of_a_row_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[sources_from]\nquery = "SELECT 1"\n')
    count = 400
    environ = {f"SHOP_PASSWORD_{number:05}": f"password-of-{number:020}" for number in range(count)}
    reader = RowsReader(load(path, sources.specs(), environ={}), sources.specs(), environ=environ)
    streams = Json('{"streams": {"customers": {"every": "1d"}, "articles": {"every": "1d"}}}')
    reader.take([row("first", "SHOP_PASSWORD_00000", streams)])  # what all accounts share
    tracemalloc.start()
    try:
        for number in range(count):
            reader.take([row(f"account{number:05}", f"SHOP_PASSWORD_{number:05}", streams)])
        config = reader.config()
        del reader
        gc.collect()
        each = tracemalloc.get_traced_memory()[0] / count
    finally:
        tracemalloc.stop()
    assert each < MOST_BYTES
    assert config.sources["account00007"].secret("password") == "password-of-00000000000000000007"
    assert sum(key.endswith(".password") for key, _ in secrets(config)) == count + 1
    assert len({secret.reveal() for secret in masked(config)}) == count


def row(name: str, variable: str, options: Json) -> dict[str, object]:
    return {
        "name": name, "type": "cyclesoftware", "base_url": f"http://127.0.0.1:9/{name}", "username": f"user of {name}",
        "password": f"env:{variable}", "options": Json(str(options)),
    }  # fmt: skip
