"""What the configuration refuses, and in which words."""

import re
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.config import (
    load,
)
from syncd.config import toml as tables
from syncd.errors import ConfigError
from tests.support.configured import (
    CUSTOMERS,
    ENVIRON,
    REGISTRY,
    SHOP_WITH_PASSWORD,
    Load,
    problems_of,
)

BARCODES = "[sources.shop.streams.stock]\nbarcodes = "

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
