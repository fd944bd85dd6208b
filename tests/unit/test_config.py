"""The configuration: what is read, what is refused and in which words, and that no secret ever shows."""

import copy
import json
import os
import pickle
import re
import tomllib
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd import config as configuration
from syncd import sources
from syncd.config import (
    Auto,
    BudgetConfig,
    Config,
    Http,
    OptionSpec,
    Secret,
    SourceSpec,
    StreamConfig,
    StreamSpec,
    find,
    is_off,
    load,
    loader,
    missing_secrets,
    secrets,
    select,
)
from syncd.config import toml as tables
from syncd.config.crontab import parse_cron
from syncd.config.duration import LONGEST_DURATION_S, format_duration, parse_duration, spoken
from syncd.errors import ConfigError, UsageError
from syncd.sandbox import Address, Sandbox
from tests.promises.soak import config_of

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
SECRET_TEXT = "hunter2-é\"'%/ x"

SECRET = OptionSpec(kind="secret")
TEXT = OptionSpec(kind="str")
OVERLAP = OptionSpec(kind="duration", default=900.0, minimum=60, maximum=86_400)


def _streams(*specs: StreamSpec) -> dict[str, StreamSpec]:
    return {spec.name: spec for spec in specs}


REGISTRY: Mapping[str, SourceSpec] = MappingProxyType(
    {
        "cyclesoftware": SourceSpec(
            type="cyclesoftware",
            base_url="https://api.cyclesoftware.nl",
            options={
                "username": TEXT,
                "password": SECRET,
                "zone": OptionSpec(kind="zone", default="Europe/Amsterdam"),
                "overlap": OVERLAP,
                "page_rows": OptionSpec(kind="int", default=500, minimum=1, maximum=5000),
                "weight": OptionSpec(kind="float", default=1.0),
                "gzip": OptionSpec(kind="bool", default=True),
                "stores": OptionSpec(kind="list[int]", default=()),
                "countries": OptionSpec(kind="list[str]", default=("nl",)),
                "begins": OptionSpec(kind="day", default=None),
            },
            streams=_streams(
                StreamSpec(name="customers", every_s=300, sweep_s=604_800),
                StreamSpec(name="stores", every_s=86_400),
                StreamSpec(name="stock", every_s=900, lookup=("barcodes", "article_ids")),
                StreamSpec(name="leads", every_s=900, lookup=("uuids",)),
            ),
        ),
        "cyclis": SourceSpec(
            type="cyclis",
            base_url=None,
            options={"api_token": SECRET},
            streams=_streams(
                StreamSpec(
                    name="orders",
                    every_s=300,
                    sweep_s=604_800,
                    options={"company_ids": OptionSpec(kind="list[int]", default=())},
                ),
            ),
            budget=BudgetConfig(per_minute=60),
        ),
        "autengo": SourceSpec(
            type="autengo",
            base_url="https://api.autengo.com/v3",
            options={
                "api_key": SECRET,
                "dealer_alzura_id": OptionSpec(kind="int"),
                "user_alzura_id": OptionSpec(kind="int"),
                "auth_header": OptionSpec(
                    kind="str", default="x-authorization", choices=("x-authorization", "authorization")
                ),
            },
            streams=_streams(
                StreamSpec(name="vehicles", every_s=300, sweep_s=86_400),
                StreamSpec(name="contacts", every_s=3600, lookup=("ids", "tecfactura_ids")),
            ),
        ),
        "ghs": SourceSpec(
            type="ghs",
            base_url="https://api2.ghs-automotive.nl",
            options={"api_key": SECRET, "username": TEXT, "password": SECRET},
            streams=_streams(
                StreamSpec(name="products", every_s=3600, lookup=("ids", "ean_codes", "search_terms")),
                StreamSpec(name="orders", every_s=900, sweep_s=604_800),
                StreamSpec(name="urgent_messages"),
            ),
        ),
    }
)

SHOP = '[sources.shop]\ntype = "cyclesoftware"\nusername = "u"\n'
SHOP_WITH_PASSWORD = SHOP + 'password = "hunter2"\n'
ENVIRON = {"HOME": "/home/someone"}

Load = Callable[..., Config]


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """Return a function that loads a text as the configuration file."""

    def load_it(text: str, *, environ: Mapping[str, str] = ENVIRON, resolve_secrets: bool = True) -> Config:
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return load(path, REGISTRY, environ=environ, resolve_secrets=resolve_secrets)

    return load_it


def problems_of(load_text: Load, text: str, **arguments: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, **arguments)
    head, *lines = str(caught.value).split("\n")
    assert f"has {len(lines)} problem" in head
    return [line.removeprefix("  ") for line in lines]


# --- The example ------------------------------------------------------------------------------------------------------

EXAMPLE_ENVIRON = {
    "SHOP_WEBHOOK_SECRET": "w",
    **ENVIRON,
    "SHOP_PASSWORD": "s1-hunter",
    "CYCLIS_TOKEN": "s2-hunter",
    "AUTENGO_KEY": "s3-hunter",
    "GHS_KEY": "s4-hunter",
    "GHS_PASSWORD": "s5-hunter",
    "SYNCD_HASH_KEY": "s6-hunter-of-16-signs",
    "SYNCD_OPERATOR_TOKEN": "s7-hunter-of-20-signs",
    "NOTIFY_URL": "json://s7-hunter@localhost",
    "ACCOUNTS_URL": "postgresql://reader:s9-hunter@localhost/accounts",
    "HEARTBEAT_URL": "https://hc.example.com/s8-hunter",
}


def uncommented_example() -> str:
    """Return the example with every commented option switched on, but for cron and a second value of the same key."""
    text = re.sub(r"^# (?=[a-z_]+ = |\[)", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines: list[str] = []
    in_table: set[str] = set()
    for line in text.splitlines():
        key = line.split(" = ")[0]
        in_table = {"cron"} if line.startswith("[") else in_table
        if line.startswith("#") or " = " not in line or key not in in_table:
            lines.append(line)
        in_table.add(key)
    return "\n".join(lines)


def test_the_example_loads_with_all_four_sources() -> None:
    config = load(EXAMPLE, sources.specs(), environ=EXAMPLE_ENVIRON)
    assert [source.type for source in config.sources.values()] == ["cyclesoftware", "cyclis", "autengo", "ghs"]
    assert config.sources["shop"].secret("password") == "s1-hunter"
    assert config.sources["shop"].streams["stock"].lookup == {"barcodes": ("8717231204726",), "article_ids": ()}
    assert config.sources["cars"].options["dealer_alzura_id"] == 1234567890
    assert config.sources["cars"].streams["contacts"].lookup["ids"] == ("123",)
    assert config.http == Http(host="127.0.0.1", port=8787)
    assert config.database.is_embedded


def test_timeouts_are_those_of_the_type_unless_the_source_has_its_own(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    secrets = 'api_key = "k"\nusername = "u"\npassword = "p"'
    source = f'[sources.parts]\ntype = "ghs"\n{secrets}\n'
    path.touch(mode=0o600)
    path.write_text(source)
    usual = load(path, sources.specs()).sources["parts"].timeouts
    assert (usual.first_byte_s, usual.answer_s) == (120, 300)
    path.write_text(source + '[sources.parts.timeouts]\nfirst_byte = "10s"\n')
    own = load(path, sources.specs()).sources["parts"].timeouts
    assert (own.first_byte_s, own.answer_s) == (10, 300)
    path.write_text(source + '[sources.parts.timeouts]\nanswer = "1m"\n')
    with pytest.raises(ConfigError, match=r"sources\.parts\.timeouts: answer is shorter than first_byte"):
        load(path, sources.specs())


ANY_STREAM = {"enabled", "history", "changes", "max_records", "exclude", "hash"}
"""What the example shows at one stream for all."""


def test_the_example_shows_every_option_of_every_source() -> None:
    shown = tomllib.loads(uncommented_example())
    assert set(shown) == {
        "database",
        "http",
        "log",
        "retention",
        "scale",
        "privacy",
        "notify",
        "sources",
        "include",
        "sources_from",
    }
    assert set(shown["sources"]["shop"]["budget"]) == {"per_minute", "per_day", "live_reserve", "backfill_share"}
    assert set(shown["sources"]["shop"]["timeouts"]) == {"first_byte", "answer"}
    specs = sources.specs()
    assert {source["type"] for source in shown["sources"].values()} == set(specs)
    for source in shown["sources"].values():
        spec = specs[source["type"]]
        general = {"budget", "in_flight", "proxy", "timeouts"}
        assert {"type", "base_url", "streams", *spec.options} == set(source) - general
        assert set(source["streams"]) == set(spec.streams)
        for name, stream in spec.streams.items():
            expected = {*(() if stream.is_pushed else ("every",)), *stream.options} | (
                {"sweep"} if stream.sweep_s else set()
            )
            expected |= {key for lookup in stream.lookup for key in (lookup, f"{lookup}_query")}
            assert set(source["streams"][name]) - ANY_STREAM == expected


def test_the_defaults_in_the_example_are_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(uncommented_example(), encoding="utf-8")
    (tmp_path / "accounts.d").mkdir()
    (tmp_path / "accounts.d" / "more.toml").touch()
    config = load(path, sources.specs(), environ=EXAMPLE_ENVIRON)
    assert config.sources_from
    assert config.sources_from.every_s == configuration.SourcesFrom.every_s
    assert (config.log, config.retention) == (configuration.Log(), configuration.Retention())
    assert config.notify
    told, usual = config.notify, configuration.Notify()
    assert (told.zone, told.after_s, told.heartbeat_every_s) == (usual.zone, usual.after_s, usual.heartbeat_every_s)
    for source in config.sources.values():
        spec = sources.specs()[source.type]
        assert spec.base_url in {None, source.base_url}
        assert (source.budget.live_reserve, source.budget.backfill_share) == (0.2, 0.6)
        assert source.timeouts == spec.timeouts
        for name, option in spec.options.items():
            assert option.default in {configuration.REQUIRED, None, source.options[name]}
        for name, stream in spec.streams.items():
            shown = source.streams[name]
            assert (name, shown.every_s, shown.sweep_s) == (name, stream.every_s, stream.sweep_s)
            for key, option in stream.options.items():
                assert option.default in {None, shown.options[key]}


# --- Defaults and values ----------------------------------------------------------------------------------------------


def test_every_stream_of_the_type_is_present_with_its_defaults(load_text: Load) -> None:
    source = load_text(SHOP_WITH_PASSWORD).sources["shop"]
    assert source.streams == {
        "customers": StreamConfig(name="customers", every_s=300, sweep_s=604_800),
        "stores": StreamConfig(name="stores", every_s=86_400),
        "stock": StreamConfig(name="stock", every_s=900, lookup={"barcodes": (), "article_ids": ()}),
        "leads": StreamConfig(name="leads", every_s=900, lookup={"uuids": ()}),
    }
    assert source.base_url == "https://api.cyclesoftware.nl"
    assert source.budget == BudgetConfig()
    assert source.options["zone"] == "Europe/Amsterdam"
    assert source.options["overlap"] == 900.0


def test_values_of_the_file_replace_the_defaults(load_text: Load) -> None:
    config = load_text(
        SHOP_WITH_PASSWORD
        + """
        base_url = "http://127.0.0.1:9000/cs/"
        zone = "Europe/Berlin"
        overlap = "1h"
        page_rows = 100
        weight = 2
        gzip = false
        stores = [1, 2, 2]
        countries = ["be"]
        [sources.shop.streams.customers]
        cron = "*/5 6-22 * * 1-5"
        sweep = "1d"
        enabled = false
        history = true
        changes = true
        [sources.shop.streams.stock]
        barcodes = [8717231204726, "03505002", "03505002"]
        article_ids_query = "SELECT 1"
        [sources.shop.budget]
        per_minute = 300
        per_day = 10000
        live_reserve = 0.5
        backfill_share = 0.4
        [sources.lease]
        type = "cyclis"
        base_url = "https://cyclis.example.com/"
        api_token = "t"
        streams.orders = { every = "1h30m", company_ids = [7] }
        [http]
        listen = "off"
        [log]
        format = "json"
        level = "debug"
        [retention]
        runs = "30d"
        history = "730d"
        changes = "2d"
        """
    )
    shop = config.sources["shop"]
    assert shop.base_url == "http://127.0.0.1:9000/cs"
    assert {key: shop.options[key] for key in ("zone", "overlap", "page_rows", "weight", "gzip")} == {
        "zone": "Europe/Berlin",
        "overlap": 3600.0,
        "page_rows": 100,
        "weight": 2.0,
        "gzip": False,
    }
    assert (shop.options["stores"], shop.options["countries"]) == ((1, 2), ("be",))
    assert shop.streams["customers"] == StreamConfig(
        name="customers", enabled=False, cron="*/5 6-22 * * mon,tue,wed,thu,fri", sweep_s=86_400, history=True,
        changes=True,
    )  # fmt: skip
    assert shop.streams["stock"].lookup["barcodes"] == ("8717231204726", "03505002")
    assert shop.streams["stock"].queries == {"article_ids": "SELECT 1"}
    assert shop.budget == BudgetConfig(per_minute=300, per_day=10_000, live_reserve=0.5, backfill_share=0.4)
    assert config.sources["lease"].base_url == "https://cyclis.example.com"
    assert config.sources["lease"].budget == BudgetConfig(per_minute=60)
    assert config.sources["lease"].streams["orders"].every_s == 5400
    assert config.sources["lease"].streams["orders"].options == {"company_ids": (7,)}
    assert config.http is None
    assert (config.log.format, config.log.level) == ("json", "debug")
    assert config.retention == configuration.Retention(runs_s=30 * 86_400, history_s=730 * 86_400, changes_s=2 * 86_400)


@pytest.mark.parametrize(
    ("environ", "database", "expected"),
    [
        ({"HOME": "/h"}, "", "/h/.local/state/syncd"),
        ({"HOME": "/h", "XDG_STATE_HOME": "/x"}, "", "/x/syncd"),
        ({"HOME": "/h", "XDG_STATE_HOME": "relative"}, "", "/h/.local/state/syncd"),
        ({"HOME": "/h", "XDG_STATE_HOME": "/x", "STATE_DIRECTORY": "/var/lib/syncd"}, "", "/var/lib/syncd"),
        ({"STATE_DIRECTORY": "/var/lib/syncd:/var/lib/other"}, "", "/var/lib/syncd"),
        ({"HOME": "/h", "STATE_DIRECTORY": "/s"}, 'data_dir = "/d"', "/d"),
        ({"HOME": "/h"}, 'data_dir = "~/d"', "/h/d"),
        ({"HOME": "/h"}, 'data_dir = "d"', "{tmp}/d"),
    ],
)
def test_data_dir_comes_from_the_file_then_systemd_then_the_home(
    load_text: Load, tmp_path: Path, environ: dict[str, str], database: str, expected: str
) -> None:
    config = load_text(f"[database]\n{database}\n{SHOP_WITH_PASSWORD}", environ=environ)
    assert config.database.data_dir == Path(expected.replace("{tmp}", str(tmp_path)))


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:8787", Http(host="127.0.0.1", port=8787)),
        ("[::1]:80", Http(host="::1", port=80)),
        ("localhost:0", Http(host="localhost", port=0)),
        ("off", None),
    ],
)
def test_listen_is_a_host_and_a_port_or_off(load_text: Load, listen: str, expected: Http | None) -> None:
    assert load_text(f'[http]\nlisten = "{listen}"\n{SHOP_WITH_PASSWORD}').http == expected


def test_hosts_are_names_in_one_spelling(load_text: Load) -> None:
    http = load_text(
        f'[http]\nhosts = ["Sync.Example.com.", "[FD00::0005]", "*", "10.0.0.1"]\n{SHOP_WITH_PASSWORD}'
    ).http
    assert http == Http(hosts=("sync.example.com", "fd00::5", "*", "10.0.0.1"))


@pytest.mark.parametrize(
    ("url", "shown", "password"),
    [
        ("embedded", "embedded", None),
        ("postgresql://user@host/db", "postgresql://user@host/db", None),
        ("postgres://user:hunter2%40x@host:5433/db", "postgresql://user@host:5433/db", "hunter2@x"),
        ("postgresql:///db?password=hunter2", "postgresql:///db", "hunter2"),
        ("postgresql://u@a:5432,b:5433/db?target_session_attrs=read-write", "postgresql://u@a:5432,b:5433/db", None),
        ("postgresql://syncd@/mirror", "postgresql://syncd@/mirror", None),
        ("postgresql://?service=mirror", "postgresql://", None),
    ],
)
def test_a_database_address_never_shows_its_password(
    load_text: Load, url: str, shown: str, password: str | None
) -> None:
    config = load_text(f'[database]\nurl = "{url}"\n{SHOP}password = "p"')
    assert config.database.url.reveal() == re.sub("^postgres:", "postgresql:", url)
    assert config.database.shown == shown
    assert (config.database.password and config.database.password.reveal()) == password
    assert "hunter2" not in repr(config) + str(config.database) + repr(list(secrets(config)))
    assert {key for key, _ in secrets(config)} >= ({"database.url (password)"} if password else set())


def test_equality_follows_what_the_daemon_would_do(load_text: Load) -> None:
    by_env = SHOP + 'password = { env = "P" }'
    one = load_text(SHOP_WITH_PASSWORD)
    assert one == load_text(by_env, environ={**ENVIRON, "P": "hunter2"})
    assert one != load_text(by_env, environ={**ENVIRON, "P": "hunter3"})
    assert one != load_text(SHOP_WITH_PASSWORD + "[sources.shop.streams.customers]\nevery = '6m'")


def test_a_fifth_source_type_needs_nothing_but_its_registry_entry(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[sources.new]\ntype = "fifth"\ncolour = "red"')
    fifth = SourceSpec(
        type="fifth",
        base_url="https://fifth.example",
        options={"colour": OptionSpec(kind="str", choices=("red", "blue"))},
        streams=_streams(StreamSpec(name="things", every_s=60)),
    )
    config = load(path, {"fifth": fifth}, environ=ENVIRON)
    assert config.sources["new"].options == {"colour": "red"}
    assert select(config, []) == [("new", "things")]


def test_a_source_of_a_type_that_is_not_installed_costs_the_others_nothing(load_text: Load) -> None:
    config = load_text(SHOP_WITH_PASSWORD + "[sources.web]\ntype = 'lightspeed'\nnothing = 'of it can be judged'\n")
    assert set(config.sources) == {"shop"}
    assert set(config.left_out) == {"web"}
    assert config.left_out["web"].startswith("the source type lightspeed is not installed: ")
    assert "cyclesoftware, cyclis" in config.left_out["web"]
    with pytest.raises(UsageError, match=r'"web\.orders" is left out: the source type lightspeed'):
        select(config, ["web.orders"])
    assert {source for source, _ in select(config, [])} == {"shop"}


def test_where_every_source_is_left_out_the_reasons_are_told(load_text: Load) -> None:
    config = load_text("[sources.web]\ntype = 'lightspeed'\n")
    with pytest.raises(UsageError, match=r"no source is left to work on: web: the source type lightspeed is not inst"):
        select(config, [])


@pytest.mark.parametrize("mistyped", ["cyclesofware", "Autengo", "GHS", "ghs ", "cyclis.nl", "1", ""])
def test_a_mistyped_type_is_a_wrong_configuration(load_text: Load, mistyped: str) -> None:
    with pytest.raises(ConfigError, match=r"sources\.web\.type: expected one of cyclesoftware, cyclis"):
        load_text(SHOP_WITH_PASSWORD + f"[sources.web]\ntype = '{mistyped}'\n")


# --- What is refused --------------------------------------------------------------------------------------------------

BARCODES = "[sources.shop.streams.stock]\nbarcodes = "
CUSTOMERS = "[sources.shop.streams.customers]\n"

WRONG = [
    # unknown keys, at every depth
    ("[databse]\n", ["databse: unknown key", '"database"']),
    ("[database]\nulr = 'x'\n", ["database.ulr: unknown key", 'did you mean "url"?']),
    ("[http]\nport = 1\n", ["http.port: unknown key", "listen"]),
    ("[log]\nlvl = 1\n", ["log.lvl: unknown key", "level"]),
    ("[retention]\nrun = 1\n", ["retention.run: unknown key", "runs"]),
    ("sources.shop.pasword = 'hunter2'\n", ["sources.shop.pasword: unknown key", 'did you mean "password"?']),
    ("sources.shop.'odd key' = 1\n", ["sources.shop.'odd key': unknown key"]),
    ("[sources.shop.streams.custmers]\n", ["sources.shop.streams.custmers: unknown key", '"customers"']),
    ("[sources.shop.customers]\n", ["sources.shop.customers: unknown key", "[sources.shop.streams.customers]"]),
    (CUSTOMERS + "evry = '5m'\n", ["sources.shop.streams.customers.evry: unknown key", '"every"']),
    (CUSTOMERS + "barcodes = ['1']\n", ["sources.shop.streams.customers.barcodes: unknown key"]),
    ("[sources.shop.budget]\nper_mintue = 1\n", ["sources.shop.budget.per_mintue", '"per_minute"']),
    # types
    ("sources.x = 5\n", ["sources.x: expected a table [sources.x], found integer 5"]),
    ("http = 'off'\n", ["http: expected a table [http], found text 'off'"]),
    ("sources.shop.page_rows = '5'\n", ["sources.shop.page_rows: expected an integer, found text '5'"]),
    ("sources.shop.page_rows = true\n", ["page_rows: expected an integer, found boolean true"]),
    ("http.trusted_proxies = ['10.0.0.0/8', 'proxy']\n", ["trusted_proxies: item 2: expected an address or a network"]),
    ("notify.heartbeat_every = '3s'\n", ["notify.heartbeat_every: expected at least 5s, found text '3s'"]),
    ("sources.shop.page_rows = 0\n", ["page_rows: expected at least 1, found integer 0"]),
    ("sources.shop.page_rows = 5001\n", ["page_rows: expected at most 5000, found integer 5001"]),
    ("sources.shop.weight = nan\n", ["weight: expected a number, found number nan"]),
    ("sources.shop.gzip = 1\n", ["gzip: expected true or false, found integer 1"]),
    ("sources.shop.stores = ['1']\n", ["stores: item 1: expected an integer, found text '1'"]),
    ("sources.shop.countries = 'nl'\n", ["countries: expected a list in [ ], found text 'nl'"]),
    ("sources.shop.zone = 'Europe/Nowhere'\n", ["zone: expected a time zone", "Nowhere"]),
    ("sources.shop.zone = '../etc/passwd'\n", ["zone: expected a time zone"]),
    ("sources.shop.zone = ' '\n", ["zone: expected text, found nothing"]),
    ("sources.shop.overlap = '1s'\n", ["overlap: expected at least 1m, found text '1s'"]),
    ("sources.shop.overlap = 2026-01-01\n", ["overlap: expected a duration", "found a date"]),
    # schedules
    (CUSTOMERS + "every = 300\n", ["every: expected a duration", 'found integer 300 (seconds? write "300s")']),
    (CUSTOMERS + "every = '5 minutes'\n", ["every: expected a duration", "'5 minutes'"]),
    (CUSTOMERS + "every = '0s'\n", ["every: a duration is more than nothing"]),
    (CUSTOMERS + "every = '-5m'\n", ["every: expected a duration"]),
    (CUSTOMERS + "every = '99999d'\n", ["every: a duration is more than nothing and at most 3650d"]),
    (CUSTOMERS + "every = '5m'\ncron = '* * * * *'\n", ["customers: every and cron exclude each other"]),
    (CUSTOMERS + "cron = '* * * *'\n", ["cron: expected five fields", "found 4"]),
    (CUSTOMERS + "cron = '61 * * * *'\n", ["cron:", "is not a crontab"]),
    (CUSTOMERS + "cron = '0 0 30 2 *'\n", ["cron:", "never comes"]),
    (CUSTOMERS + "cron = '0 0 1 * 1'\n", ["cron: set the day of the month or the day of the week"]),
    (CUSTOMERS + "cron = '0 0 * * 8'\n", ["cron:", "is not a day of the week"]),
    (CUSTOMERS + "enabled = 'no'\n", ["enabled: expected true or false, found text 'no'"]),
    ("[sources.shop.streams.stores]\nsweep = '7d'\n", ["stores.sweep: this stream has no sweep of its own"]),
    # lookups
    (BARCODES + "[1.5]\n", ["barcodes: item 1: expected text or an integer, found number 1.5"]),
    (BARCODES + "['1', true]\n", ["barcodes: item 2: expected text or an integer, found boolean true"]),
    (BARCODES + "['']\n", ["barcodes: item 1: expected text, found nothing"]),
    (BARCODES + "'871'\n", ["barcodes: expected a list in [ ], found text '871'"]),
    ("[sources.shop.streams.stock]\nbarcodes_query = ''\n", ["barcodes_query: expected text"]),
    # addresses
    ("sources.shop.base_url = 'http://api.example.com'\n", ["base_url: http:// is allowed for loopback only"]),
    ("sources.shop.base_url = 'http://127.0.0.1.example.com'\n", ["base_url: http:// is allowed for loopback only"]),
    ("sources.shop.base_url = 'https://u:hunter2@api.example.com'\n", ["base_url: an address holds no user"]),
    ("sources.shop.base_url = 'https://api.example.com/?key=hunter2'\n", ["base_url: an address holds neither"]),
    ("sources.shop.base_url = 'https://api.example.com/#hunter2'\n", ["base_url: an address holds neither"]),
    ("sources.shop.base_url = 'api.example.com'\n", ["base_url: expected an address such as"]),
    ("sources.shop.base_url = 'ftp://api.example.com'\n", ["base_url: expected an address such as"]),
    ("sources.shop.base_url = 'https://'\n", ["base_url: expected an address such as"]),
    ("sources.shop.base_url = 'https://a b'\n", ["base_url: expected an address such as"]),
    ("sources.shop.base_url = 'https://a:hunter2'\n", ["base_url: expected an address such as"]),
    ("[http]\nlisten = '8787'\n", ['http.listen: expected "host:port"', "'8787'"]),
    ("[http]\nlisten = ':8787'\n", ["http.listen: expected"]),
    ("[http]\nlisten = 'h:'\n", ["http.listen: expected"]),
    ("[http]\nlisten = '127.0.0.1:99999'\n", ["http.listen: a port is at most 65535, found 99999"]),
    ("[http]\nlisten = '127.0.0.256:80'\n", ["http.listen: expected"]),
    ("[http]\nlisten = '::1:80'\n", ["http.listen: expected"]),
    ("[http]\nhosts = 'a.example'\n", ["http.hosts: expected a list"]),
    ("[http]\nhosts = ['a.example:80']\n", ["http.hosts: item 1: expected a name or address without port"]),
    ("[http]\nhosts = ['*', 'https://a.example']\n", ["http.hosts: item 2: expected a name"]),
    ("[http]\nlisten = 'http://h:80'\n", ["http.listen: expected"]),
    ("[http]\nlisten = 8787\n", ["http.listen: expected text in quotes, found integer 8787"]),
    ("[database]\nurl = 'mysql://u:hunter2@h/d'\n", ['database.url: expected "embedded" or "postgresql://']),
    ("[database]\nurl = 'postgresql+asyncpg://u:hunter2@h/d'\n", ["database.url: expected"]),
    ("[database]\nurl = 'postgresql://u:hun/ter2@h/d'\n", ["database.url: not a valid postgresql:// address"]),
    ("[database]\nurl = 'postgresql://u:5/hunter2@h/d'\n", ["database.url: not a valid postgresql:// address"]),
    ("[database]\nurl = 'postgresql://u:hunter2#@h/d'\n", ["database.url: not a valid postgresql:// address"]),
    ("[database]\nurl = 'postgresql://u:1?hunter2@h/d'\n", ["database.url: not a valid postgresql:// address"]),
    ("[database]\nurl = 'postgresql://u:hunter2@a:5432,b:x/d'\n", ["database.url: not a valid postgresql:// address"]),
    ("[database]\nurl = 'postgresql://u:hunter2@a b/d'\n", ["database.url: not a valid postgresql:// address"]),
    ("[database]\nurl = { env = 'NOWHERE' }\n", ["database.url: the environment variable NOWHERE is not set"]),
    # budgets, log, retention
    ("[sources.shop.budget]\nper_minute = 0\n", ["per_minute: expected an integer of 1 or more, found integer 0"]),
    ("[sources.shop.budget]\nper_day = 1.5\n", ["per_day: expected an integer, found number 1.5"]),
    ("[sources.shop.budget]\nlive_reserve = 1\n", ["live_reserve: expected a share between 0 and 1"]),
    ("[sources.shop.budget]\nlive_reserve = 0.0\n", ["live_reserve: expected a share between 0 and 1"]),
    ("[sources.shop.budget]\nbackfill_share = '60%'\n", ["backfill_share: expected a number, found text '60%'"]),
    ("[log]\nformat = 'xml'\n", ["log.format: expected one of auto, json, console, found text 'xml'"]),
    ("[log]\nlevel = ['info']\n", ["log.level: expected one of debug, info, warning, error, found a list"]),
    ("[retention]\nrejects = 365\n", ["retention.rejects: expected a duration"]),
    ("[privacy]\nhash_kye = 'x'\n", ["privacy.hash_kye: unknown key", "hash_key"]),
    ("[privacy]\nhash_key = 'short'\n", ["privacy.hash_key: shorter than 16 characters", "openssl rand -hex 32"]),
    (CUSTOMERS + "hash = ['email']\n", ["privacy.hash_key: required", "shop.customers has hash", "SYNCD_HASH_KEY"]),
    (CUSTOMERS + "exclude = 'email'\n", ["streams.customers.exclude: expected a list"]),
    (CUSTOMERS + "exclude = ['']\n", ["streams.customers.exclude: item 1: expected text"]),
    (CUSTOMERS + "exclude = ['a']\nhash = ['a']\n", ['customers.hash: "a" stands in exclude too; keep one']),
    ("[retention]\nhistory = 'ever'\n", ["retention.history: expected a duration"]),
    (CUSTOMERS + "history = 'yes'\n", ["history: expected true or false, found text 'yes'"]),
    (CUSTOMERS + "changes = 1\n", ["changes: expected true or false"]),
    # sources
    ("[sources.'a b']\ntype = 'ghs'\nbase_url='https://x'\n", ["sources.'a b': a source's name starts with a letter"]),
    ("[sources.1a]\ntype = 'x'\n", ["sources.1a: a source's name starts with a letter"]),
    (f"[sources.a{'b' * 63}]\ntype = 'x'\n", ["a source's name starts with a letter and holds at most 63"]),
    ("[sources.x]\n", ["sources.x.type: required, but missing; one of cyclesoftware, cyclis, autengo, ghs"]),
    ("[sources.x]\ntype = 'cyclisoft'\n", ["sources.x.type: expected one of cyclesoftware, cyclis", "'cyclisoft'"]),
    ("[sources.x]\ntype = 'cyclis'\napi_token = 't'\n", ["sources.x.base_url: required, but missing"]),
    (
        "[sources.x-y]\ntype = 'cyclis'\nbase_url = 'https://h'\n",
        ['sources.x-y.api_token: required, but missing; write api_token = { env = "X_Y_API_TOKEN" }'],
    ),
    (
        "[sources.x]\ntype='autengo'\napi_key='k'\ndealer_alzura_id='1'\nuser_alzura_id=1\nauth_header='jwt'\n",
        ["sources.x.dealer_alzura_id: expected an integer", "auth_header: expected one of x-authorization"],
    ),
    ("sources.shop.begins = '2024-13-01'\n", ["shop.begins: expected a date such as", "found text '2024-13-01'"]),
    ("sources.shop.begins = 2024\n", ['shop.begins: expected a date such as "2024-01-01", found integer 2024']),
    # secrets
    ("[sources.x]\ntype='cyclis'\nbase_url='https://h'\napi_token = 12345\n", ["api_token: expected a secret"]),
    ("[sources.x]\ntype='cyclis'\nbase_url='https://h'\napi_token = ''\n", ["api_token: the text is empty"]),
    ("[sources.x]\ntype='cyclis'\nbase_url='https://h'\napi_token = \"a\\nb\"\n", ["api_token: the text holds a line"]),
    ("[sources.x]\ntype='cyclis'\nbase_url='https://h'\napi_token = {}\n", ["api_token: expected one of"]),
    ("[sources.x]\ntype='cyclis'\nbase_url='https://h'\napi_token = {evn='A'}\n", ["unknown key 'evn'", '"env"']),
    ("[sources.x]\ntype='cyclis'\nbase_url='https://h'\napi_token = {env='A',file='b'}\n", ["expected one of"]),
    ("[sources.x]\ntype='cyclis'\nbase_url='https://h'\napi_token = {env=12345}\n", ["env: expected text"]),
    ("[sources.x]\ntype='cyclis'\nbase_url='https://h'\napi_token = {env='hunter2!'}\n", ["env: expected the name"]),
    ("[sources.x]\ntype='cyclis'\nbase_url='https://h'\napi_token = {credential='../hunter2'}\n", ["not a path"]),
]


def _merged(text: str) -> str:
    """Put a dotted key of [sources.shop] into its table, and top-level keys first, as TOML wants it."""
    if text.startswith("sources.shop."):
        return SHOP_WITH_PASSWORD + text.removeprefix("sources.shop.")
    return text + SHOP_WITH_PASSWORD if not text.startswith("[") else SHOP_WITH_PASSWORD + text


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=[re.sub(r"\s+", " ", text) for text, _ in WRONG])
def test_a_wrong_value_is_refused_in_words_that_help(load_text: Load, text: str, expected: list[str]) -> None:
    message = "\n".join(problems_of(load_text, _merged(text)))
    for words in expected:
        assert words in message
    assert "hunter2" not in message
    assert "12345" not in message


def test_a_day_is_text_or_a_date_of_toml(load_text: Load) -> None:
    for written, read in (
        ("'2024-02-29'", "2024-02-29"),
        ("2024-02-29", "2024-02-29"),
        ("2024-02-29T10:30:00Z", "2024-02-29T10:30:00+00:00"),
    ):
        config = load_text(SHOP_WITH_PASSWORD + f"begins = {written}\n")
        assert config.sources["shop"].options["begins"] == read


def test_all_problems_are_told_at_once(load_text: Load) -> None:
    problems = problems_of(
        load_text,
        """
        colour = 1
        [http]
        listen = "nowhere"
        [sources.shop]
        type = "cyclesoftware"
        password = { env = "MISSING" }
        usrname = "u"
        [sources.shop.streams.customers]
        every = "often"
        """,
    )
    assert [problem.split(":")[0] for problem in problems] == [
        "http.listen",
        "sources.shop.username",
        "sources.shop.password",
        "sources.shop.streams.customers.every",
        "sources.shop.usrname",
        "colour",
    ]


@pytest.mark.parametrize("text", ["", "[sources]", "[database]\nurl = 'embedded'"])
def test_no_source_at_all_tells_how_to_add_one(load_text: Load, text: str) -> None:
    (problem,) = problems_of(load_text, text)
    assert problem.startswith("sources: no source is configured; add a table [sources.NAME]")
    assert '"cyclesoftware" or "cyclis"' in problem


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[http]\nlisten = \n", "line 2"),
        ("[sources.shop]\npassword = hunter2\n", "line 2"),
        ('[sources.shop]\npassword = "hunter2\n', "line 2"),
        ("[sources.shop]\npassword = 'hunter2'\npassword = 'hunter2'\n", "line 3"),
        ("x = " + "9" * 5000, "not valid TOML"),
        ("x = " + "[" * 100_000, "not valid TOML"),
    ],
)
def test_a_syntax_error_tells_its_line_and_no_text(load_text: Load, text: str, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(text)
    assert where in str(caught.value)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_file_without_end_is_told_and_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LARGEST_BYTES", 2**20)
    with pytest.raises(ConfigError, match="/dev/zero is no configuration: it is longer than 1 MiB"):
        load(Path("/dev/zero"), REGISTRY, environ=ENVIRON)


def test_bytes_that_are_no_text_tell_their_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"[http]\n# caf\xe9 hunter2\n")
    with pytest.raises(ConfigError, match="line 2 is not UTF-8 text") as caught:
        load(path, REGISTRY, environ=ENVIRON)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_windows_line_ends_and_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SHOP_WITH_PASSWORD.replace("\n", "\r\n").encode())
    assert "shop" in load(path, REGISTRY, environ=ENVIRON).sources


KNOWN_KEYS = {
    "": ["database", "http", "sources", "log", "retention", "scale", "privacy", "notify", "include", "sources_from"],
    "[sources.shop]": [
        *REGISTRY["cyclesoftware"].options,
        "type",
        "base_url",
        "streams",
        "budget",
        "proxy",
        "timeouts",
        "in_flight",
    ],
    "[sources.shop.streams]": list(REGISTRY["cyclesoftware"].streams),
    "[sources.shop.streams.stock]": [
        "every",
        "cron",
        "enabled",
        "history",
        "changes",
        "exclude",
        "hash",
        "max_records",
        "barcodes",
        "barcodes_query",
        "article_ids",
        "article_ids_query",
    ],
    "[sources.shop.budget]": ["per_minute", "per_day", "live_reserve", "backfill_share"],
}


def test_in_flight_is_a_small_whole_number(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(SHOP_WITH_PASSWORD)
    assert load(path, REGISTRY, environ=ENVIRON).sources["shop"].in_flight == 4
    for given_, in_flight in (("1", 1), ("16", 16)):
        path.write_text(f"{SHOP_WITH_PASSWORD}in_flight = {given_}\n")
        assert load(path, REGISTRY, environ=ENVIRON).sources["shop"].in_flight == in_flight
    for wrong in ("0", "17", "4.0", "true", '"4"'):
        path.write_text(f"{SHOP_WITH_PASSWORD}in_flight = {wrong}\n")
        with pytest.raises(ConfigError, match=r"sources\.shop\.in_flight: expected an integer"):
            load(path, REGISTRY, environ=ENVIRON)


@given(
    key=st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True),
    table=st.sampled_from(list(KNOWN_KEYS)),
)
def test_an_unknown_key_always_names_a_known_one(
    tmp_path_factory: pytest.TempPathFactory, key: str, table: str
) -> None:
    key = f"zz{key}"
    path = tmp_path_factory.getbasetemp() / "unknown-key.toml"
    if table == "[sources.shop]":
        path.write_text(f"{SHOP_WITH_PASSWORD}{key} = 1\n")
    else:
        path.write_text(
            f"{'' if table else f'{key} = 1'}\n{SHOP_WITH_PASSWORD}{table}\n{f'{key} = 1' if table else ''}"
        )
    with pytest.raises(ConfigError) as caught:
        load(path, REGISTRY, environ=ENVIRON)
    message = str(caught.value)
    dotted = f"{table.strip('[]')}.{key}".lstrip(".")
    assert f"  {dotted}: " in message
    assert any(f'"{known}"' in message for known in KNOWN_KEYS[table])


# --- Finding the file -------------------------------------------------------------------------------------------------


def test_the_file_is_found_in_the_documented_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "SYSTEM_PATH", tmp_path / "etc.toml")
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    for path in (tmp_path / "etc.toml", cwd / "config.toml", tmp_path / "env.toml", tmp_path / "option.toml"):
        path.write_text("")
    environ = {"SYNCD_CONFIG": str(tmp_path / "env.toml")}
    assert find(tmp_path / "option.toml", environ, cwd) == tmp_path / "option.toml"
    assert find(None, environ, cwd) == tmp_path / "env.toml"
    assert find(None, {"SYNCD_CONFIG": ""}, cwd) == cwd / "config.toml"
    (cwd / "config.toml").unlink()
    assert find(None, {}, cwd) == tmp_path / "etc.toml"
    (tmp_path / "etc.toml").unlink()
    with pytest.raises(ConfigError) as caught:
        find(None, {}, cwd)
    assert str(cwd / "config.toml") in str(caught.value)
    assert str(tmp_path / "etc.toml") in str(caught.value)
    assert "syncd init" in caught.value.hint


@pytest.mark.parametrize("origin", ["--config", "$SYNCD_CONFIG"])
def test_a_file_named_explicitly_is_never_replaced_by_another(tmp_path: Path, origin: str) -> None:
    (tmp_path / "config.toml").write_text("")
    missing = tmp_path / "missing.toml"
    with pytest.raises(ConfigError, match="No such file") as caught:
        find(missing if origin == "--config" else None, {"SYNCD_CONFIG": str(missing)}, tmp_path)
    assert f"{missing} ({origin})" in str(caught.value)


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        find(tmp_path, {}, tmp_path)


# --- Secrets ----------------------------------------------------------------------------------------------------------


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


# --- Durations and crontabs -------------------------------------------------------------------------------------------


@given(seconds=st.integers(min_value=1, max_value=int(LONGEST_DURATION_S)))
def test_a_written_duration_reads_as_itself(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("6h", 21_600), ("7d", 604_800), ("1h30m", 5400), ("90m", 5400), ("007d", 604_800)],
)
def test_a_duration_reads_as_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@given(text=st.text())
def test_any_text_is_a_positive_duration_or_refused(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert re.fullmatch(r"([0-9]+[dhms])+", text)
    assert 0 < seconds <= LONGEST_DURATION_S


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "5M", "1.5h", "-5m", "30m1h", "5m5m", "٣m", "5w", "1e3s", "0s0"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""), (0.0, "0 s"), (0.25, "0.2 s"), (9.94, "9.9 s"), (9.96, "10 s"), (44.7, "45 s"), (119.0, "119 s"),
        (120.0, "2 min"), (5400.0, "90 min"), (7199.0, "120 min"), (12_600.0, "3.5 h"), (8 * 86_400.0, "8 days"),
    ],
)  # fmt: skip
def test_a_duration_is_told_in_one_unit(seconds: float | None, words: str) -> None:
    assert spoken(seconds) == words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*/5 6-22 * * *", "*/5 6-22 * * *"),
        ("0 6 * * 0", "0 6 * * sun"),
        ("0 6 * * 7", "0 6 * * sun"),
        ("0 6 * * 1-5", "0 6 * * mon,tue,wed,thu,fri"),
        ("0 6 * * 5-7", "0 6 * * sun,fri,sat"),
        ("0 6 * * FRI-mon", "0 6 * * sun,mon,fri,sat"),
        ("0 6 * * */2", "0 6 * * sun,tue,thu,sat"),
        ("0 6 * * 1/2", "0 6 * * mon,wed,fri"),
        ("0 6 * * 1,sun", "0 6 * * sun,mon"),
        ("0 6 * * 7-2", "0 6 * * sun,mon,tue"),
        ("  0  6 1 JAN * ", "0 6 1 jan *"),
    ],
)
def test_weekdays_mean_what_cron_means(text: str, expected: str) -> None:
    assert parse_cron(text) == expected


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
