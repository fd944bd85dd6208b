"""What the configuration says of streams: which are on, what is left out or hashed, and how often they run."""

import os
import re
from pathlib import Path

import pytest

from syncd import config as configuration
from syncd import sources
from syncd.config import (
    Auto,
    StreamConfig,
    is_off,
    load,
    select,
)
from syncd.errors import ConfigError, UsageError
from syncd.sandbox import Address, Sandbox
from tests.promises.soak import config_of
from tests.support.configured import (
    CUSTOMERS,
    SHOP_WITH_PASSWORD,
    Load,
    problems_of,
)

# --- Selecting --------------------------------------------------------------------------------------------------------


SHOPS = """
[sources.shop]
type = "cyclesoftware"
username = "u"
password = "p"
[sources.shop.streams.stores]
enabled = false
[sources.shop.streams.stock]
barcodes = ["1"]
[sources.lease]
type = "cyclis"
base_url = "https://h"
api_token = "t"
[sources.parts]
type = "ghs"
username = "u"
password = "p"
api_key = "k"
"""
SHOP_STREAMS = [("shop", "customers"), ("shop", "stock")]
ORDERS = [("lease", "orders"), ("parts", "orders")]


@pytest.mark.parametrize(
    ("selectors", "expected"),
    [
        ([], [*SHOP_STREAMS, *ORDERS, ("parts", "urgent_messages")]),
        (["shop"], SHOP_STREAMS),
        (["shop.*"], SHOP_STREAMS),
        (["shop.customers"], [("shop", "customers")]),
        (["*.orders"], ORDERS),
        (["*.orders", "shop.st*", "lease"], [("shop", "stock"), *ORDERS]),
        (["[sl]*.*o*"], [*SHOP_STREAMS, ("lease", "orders")]),
    ],
)
def test_selectors_match_what_is_on(load_text: Load, selectors: list[str], expected: list[tuple[str, str]]) -> None:
    assert select(load_text(SHOPS), selectors) == expected


@pytest.mark.parametrize(
    ("selector", "message", "hint"),
    [
        ("shop.custmers", '"shop.custmers" matches no stream', "the nearest are shop.customers"),
        ("shp", '"shp" matches no stream', "shop"),
        ("orders", '"orders" matches no stream', "did you mean *.orders?"),
        ("shop.", '"shop." matches no stream', "shop"),
        ("", '"" matches no stream', "the nearest are"),
        ("a.b.c", '"a.b.c" matches no stream', "the nearest are"),
        ("Shop", '"Shop" matches no stream', "shop"),
        ("shop.stores", "shop.stores disabled (enabled = false)", ""),
        ("*.leads", "shop.leads has no keys to look up; give it uuids / uuids_query", ""),
    ],
)
def test_a_selector_that_selects_nothing_is_refused(load_text: Load, selector: str, message: str, hint: str) -> None:
    config = load_text(SHOPS)
    with pytest.raises(UsageError) as caught:
        select(config, ["lease", selector])
    assert message in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (StreamConfig(name="s"), None),
        (StreamConfig(name="s", enabled=False), "disabled (enabled = false)"),
        (StreamConfig(name="s", lookup={"ids": ("1",)}), None),
        (StreamConfig(name="s", lookup={"ids": ()}, queries={"ids": "SELECT 1"}), None),
        (
            StreamConfig(name="s", lookup={"ids": (), "eans": ()}),
            "has no keys to look up; give it ids / ids_query or eans / eans_query",
        ),
    ],
)
def test_a_stream_tells_why_it_is_off(stream: StreamConfig, reason: str | None) -> None:
    assert is_off(stream) == reason


# --- What may be left out or hashed -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "how", "name", "says"),
    [
        ("shop.customers", "exclude", "customer_id", "part of the key"),
        ("shop.customers", "hash", "customer_id", "part of the key"),
        ("shop.customers", "exclude", "phone_numbers.phone_number_id", "part of the key"),
        ("shop.customers", "hash", "discount_percentage", "of type numeric, only text"),
        ("shop.customers", "hash", "datetime_created", "of type timestamptz"),
        ("shop.customers", "hash", "phone_numbers", "is a list"),
        ("shop.stock_items", "exclude", "is_deleted", "deleted upstream"),
        ("shop.stock", "exclude", "barcode", "deletions are found by"),
        ("shop.platform_keys", "hash", "key", "write the column: key_sha256"),
        ("shop.leads", "hash", "email", "write the column: customer_email"),
        ("shop.leads", "exclude", "customer.email", "write the column: customer_email"),
        ("shop.leads", "exclude", "customer", "write the columns: customer_address_id, "),
        ("lease.orders", "hash", "company_id", "deletions are found by"),
        ("lease.orders", "exclude", "cyclist_id", "says whose row it is"),
        ("lease.orders", "hash", "create_timestamp", "of type timestamptz"),
        ("cars.contacts", "exclude", "ID", "write the column: id"),
        ("cars.contacts", "exclude", "firstName", "write the column: first_name"),
    ],
)
def test_what_can_be_neither_left_out_nor_hashed(stream: str, how: str, name: str, says: str) -> None:
    types = {"shop": "cyclesoftware", "lease": "cyclis", "cars": "autengo"}
    source, _, stream = stream.partition(".")
    spec = sources.specs()[types[source]].streams[stream]
    with pytest.raises(ValueError, match=re.escape(says)):
        spec.may_withhold(name, how)  # type: ignore[arg-type]


def test_fields_are_left_out_or_hashed_by_name(load_text: Load) -> None:
    config = load_text(
        SHOP_WITH_PASSWORD + "[sources.shop.streams.customers]\nexclude = ['iban', 'city', 'iban']\nhash = ['email']\n"
        "[privacy]\nhash_key = 'a-key-of-some-length'\n"
    )
    stream = config.sources["shop"].streams["customers"]
    assert (stream.exclude, stream.hash) == (("iban", "city"), ("email",))
    assert config.privacy.key() == b"a-key-of-some-length"
    assert "a-key-of-some-length" not in repr(config)
    assert "privacy.hash_key" in dict(configuration.secrets(config))


def test_a_hash_key_that_is_missing_is_told_and_read_only_when_it_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        SHOP_WITH_PASSWORD + CUSTOMERS + "hash = ['email']\n[privacy]\nhash_key = { env = 'SYNCD_HASH_KEY' }\n"
    )
    path.chmod(0o600)
    config = load(path, sources.specs(), environ={}, resolve_secrets=False)
    assert configuration.missing_secrets(config, {}) == [
        "privacy.hash_key: the environment variable SYNCD_HASH_KEY is not set"
    ]
    assert config.privacy.key({"SYNCD_HASH_KEY": "of the environment"}) == b"of the environment"
    with pytest.raises(ConfigError):
        config.privacy.key({})


@pytest.mark.parametrize(
    ("database", "needs"),
    [('url = "postgresql://u@h/d"', False), ('data_dir = "/srv/syncd"', False), ('url = "embedded"', True), ("", True)],
)
def test_an_account_without_a_home_needs_one_for_a_private_server_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str, needs: bool
) -> None:
    for name in ("HOME", "XDG_STATE_HOME", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)  # of no line in passwd
    path = tmp_path / "config.toml"
    path.write_text(
        f'[database]\n{database}\n[sources.parts]\ntype = "ghs"\napi_key = "k"\nusername = "u"\npassword = "p"\n'
    )
    path.chmod(0o600)
    if needs:
        with pytest.raises(ConfigError, match=r"the user has no home directory; set database\.data_dir"):
            configuration.load(path, sources.specs())
    else:
        assert configuration.load(path, sources.specs()).database.data_dir.is_absolute()


# --- every = "auto" ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "auto"),
    [
        ('every = "auto"', Auto(every_s=300.0, min_s=60.0, max_s=1_800.0)),
        ('every = "auto"\nevery_min = "2m"\nevery_max = "1h"', Auto(every_s=300.0, min_s=120.0, max_s=3_600.0)),
        ('every = "auto"\nevery_min = "10m"', Auto(every_s=600.0, min_s=600.0, max_s=1_800.0)),
        ('every = "auto"\nevery_max = "2m"', Auto(every_s=120.0, min_s=60.0, max_s=120.0)),
        ('every = "7m"', None),
    ],
)
def test_auto_has_bounds_around_the_default_interval(load_text: Load, said: str, auto: Auto | None) -> None:
    config = load_text(f"{SHOP_WITH_PASSWORD}\n[sources.shop.streams.customers]\n{said}")
    stream = config.sources["shop"].streams["customers"]
    assert (stream.auto, stream.every_s) == (auto, auto.every_s if auto else 420.0)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ('every_min = "1m"', 'every_min: counts only with every = "auto"'),
        ('every = "5m"\nevery_max = "1h"', 'every_max: counts only with every = "auto"'),
        ('every = "auto"\nevery_min = "1h"\nevery_max = "1m"', "every_min: is longer than every_max"),
        ('every = "auto"\ncron = "* * * * *"', "exclude each other"),
        ('every = "automatic"', "every: "),
    ],
)
def test_bounds_that_make_no_sense_are_told(load_text: Load, said: str, problem: str) -> None:
    (found,) = problems_of(load_text, f"{SHOP_WITH_PASSWORD}\n[sources.shop.streams.customers]\n{said}")
    assert problem in found


def test_the_soak_has_a_configuration_that_loads(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(config_of(Sandbox(), Address(url="http://127.0.0.1:9"), tmp_path))
    path.chmod(0o600)
    soaked = configuration.load(path, sources.specs()).sources["shop"].streams
    assert {stream.every_s for name, stream in soaked.items() if name != "store_orders"} == {2.0}
