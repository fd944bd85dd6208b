"""The configuration: the example, defaults, values of the file, and where the file is found."""

import re
import tomllib
from pathlib import Path

import pytest

from syncd import config as configuration
from syncd import sources
from syncd.config import (
    BudgetConfig,
    Http,
    OptionSpec,
    SourceSpec,
    StreamConfig,
    StreamSpec,
    find,
    load,
    loader,
    secrets,
    select,
)
from syncd.errors import ConfigError, UsageError
from tests.support.configured import (
    ENVIRON,
    EXAMPLE,
    EXAMPLE_ENVIRON,
    SHOP,
    SHOP_WITH_PASSWORD,
    Load,
    streams_of,
)

# --- The example ------------------------------------------------------------------------------------------------------


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
        streams=streams_of(StreamSpec(name="things", every_s=60)),
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
