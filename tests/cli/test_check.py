"""`syncd check` names everything that is wrong, each with the step that mends it."""

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from syncd.storage.postgres import embedded
from tests.support.bench import Bench, MakeBench, database_url
from tests.support.checked import check
from tests.support.command import WallClock, syncd

SELF_SIGNED = Path(__file__).parents[1] / "support" / "tls" / "self-signed.pem"  # of 127.0.0.1, good for nothing else


@pytest.fixture
async def shop(make_bench: MakeBench) -> Bench:
    """A bench on the real clock."""
    return await make_bench(time=WallClock())


def edited(bench: Bench, edit: Callable[[str], str]) -> Path:
    """Write the bench's configuration, changed."""
    path = bench.config_file()
    path.write_text(edit(path.read_text()))
    return path


def moved(bench: Bench, api: str, base_url: str) -> Callable[[str], str]:
    return lambda text: text.replace(bench.address.base_url(api), base_url)


# --- Upstreams --------------------------------------------------------------------------------------------------------


async def test_a_wrong_password_and_a_missing_scope(shop: Bench) -> None:
    shop.sandbox.faults.add("scope-revoked", api="autengo")
    path = edited(shop, lambda text: text.replace("shop-pass:with/odd+signs", "wr0ng-password"))
    found = await check(path)
    assert found.ended.code == 1
    wrong = found.failed("source shop")
    assert "answered 401" in wrong
    assert "Check the credentials of this source in the configuration" in wrong
    assert "wr0ng-password" not in found.ended.out + found.ended.err
    assert re.search(
        "answered 403.* → Ask the vendor for the scope, or set enabled = false", found.failed("source cars")
    )
    assert found.by_name["source lease"]["state"] == "ok"


@asynccontextmanager
async def serving_tls() -> AsyncIterator[str]:
    """Serve TLS with a certificate that nobody trusts."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(SELF_SIGNED)
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_certificate_that_is_not_trusted(shop: Bench) -> None:
    async with serving_tls() as base_url:
        found = await check(edited(shop, moved(shop, "ghs", base_url)))
    told = found.failed("source parts")
    assert "the server's certificate is not trusted (self-signed certificate)" in told
    assert "update-ca-certificates" in told


async def test_a_server_without_tls_a_name_that_nobody_knows_and_a_port_that_nobody_listens_on(shop: Bench) -> None:
    edits = [
        moved(shop, "ghs", shop.address.base_url("ghs").replace("http:", "https:")),
        moved(shop, "cyclis", "https://no-such-host.invalid"),
        moved(shop, "autengo", "http://127.0.0.1:9"),
    ]
    path = shop.config_file()
    for edit in edits:
        path.write_text(edit(path.read_text()))
    found = await check(path)
    assert "no TLS connection came about" in found.failed("source parts")
    assert re.search(r"cannot connect \(.+\) → Is base_url right", found.failed("source lease"))
    assert "cannot connect (Connect" in found.failed("source cars")
    assert found.by_name["source shop"]["state"] == "ok"


@pytest.mark.parametrize(("skew_s", "warns"), [(-90, True), (-30, False), (30, False), (90, True)])
async def test_a_clock_is_off_by_more_than_a_minute(shop: Bench, skew_s: float, *, warns: bool) -> None:
    shop.sandbox.faults.add("clock-ahead", api="cyclesoftware", skew_s=skew_s)
    found = await check(shop.config_file())
    assert found.ended.code == 0
    assert ("clock of shop" in found.by_name) == warns
    if warns:
        told = found.warned("clock of shop")
        # the answer takes its time, which counts as skew, and the Date header knows whole seconds only
        assert re.search(rf"this machine is (89|9[0-2]) s {'behind' if skew_s > 0 else 'ahead of'} its server", told)
        assert "timedatectl set-ntp true" in told


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("html-200", "HTML"),
        ("redirect-other-host", "a redirect to elsewhere.example → Redirects are never followed"),
        ("gateway-504", "answered 504"),
    ],
)
async def test_an_upstream_that_is_another_than_it_should_be(shop: Bench, fault: str, told: str) -> None:
    shop.sandbox.faults.add(fault, api="cyclis")
    assert told in (await check(shop.config_file())).failed("source lease")


# --- Secrets and files ------------------------------------------------------------------------------------------------


async def test_every_missing_secret_is_named_with_its_place(shop: Bench, tmp_path: Path) -> None:
    open_file = tmp_path / "key"
    open_file.write_text("sandbox-ghs-key-b02e\n")
    open_file.chmod(0o644)
    path = edited(
        shop,
        lambda text: (
            text.replace('"sandbox-cyclis-token-3f9a"', '{ env = "LEASE_TOKEN" }')
            .replace('"sandbox-autengo-key-77c1"', '{ credential = "cars_key" }')
            .replace('"sandbox-ghs-key-b02e"', f'{{ file = "{open_file}" }}')
            .replace('"ghs-pass-öü"', f'{{ file = "{tmp_path}/nowhere" }}')
        ),
    )
    found = await syncd("check", "--json", "--config", path)
    assert found.code == 2
    told = {entry["detail"].partition(": ")[0]: entry["detail"] for entry in found.json if entry["what"] == "secret"}
    assert "LEASE_TOKEN is not set" in told["sources.lease.api_token"]
    assert "LoadCredential=cars_key" in told["sources.cars.api_key"]
    assert f"may be read by others (mode 0644): chmod 600 {open_file}" in told["sources.parts.api_key"]
    assert "cannot be read: No such file" in told["sources.parts.password"]
    assert "sandbox-ghs-key" not in found.out + found.err
    assert any(entry["detail"] == "not asked, because secrets are missing" for entry in found.json)


async def test_secrets_from_environment_file_and_credential_log_in(shop: Bench, tmp_path: Path) -> None:
    for name, text in (("ghs", "sandbox-ghs-key-b02e\n"), ("cars_key", "sandbox-autengo-key-77c1")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    path = edited(
        shop,
        lambda text: (
            text.replace('"sandbox-cyclis-token-3f9a"', '{ env = "LEASE_TOKEN" }')
            .replace('"sandbox-autengo-key-77c1"', '{ credential = "cars_key" }')
            .replace('"sandbox-ghs-key-b02e"', '{ file = "ghs" }')
        ),
    )
    found = await check(path, {"LEASE_TOKEN": "sandbox-cyclis-token-3f9a", "CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert found.ended.code == 0, found.ended
    sources = [found.by_name[f"source {name}"]["state"] for name in ("shop", "lease", "cars", "parts")]
    assert sources == ["ok"] * 4


async def test_a_configuration_with_secrets_that_others_can_read_is_warned_of(shop: Bench) -> None:
    path = shop.config_file('[notify]\nurls = ["json://localhost", "nonsense://token-1234567890"]\n')
    path.chmod(0o640)
    found = await check(path)
    assert found.ended.code == 0
    assert "urls 2: it is no address that Apprise knows" in found.warned("notify")
    assert "token-1234567890" not in found.ended.out + found.ended.err
    told = found.warned(str(path))
    assert "sources.shop.password" in told
    assert "notify.urls (2)" in told
    assert "a part" not in told
    assert f"(mode 0640) → chmod 600 {path}" in told


# --- The database -----------------------------------------------------------------------------------------------------


async def test_a_role_without_rights_and_one_that_may_only_read(shop: Bench, server: embedded.Server) -> None:
    role = "stranger_of_" + (await shop.fetch("SELECT current_database() AS name"))[0]["name"]
    await shop.fetch(f"CREATE ROLE {role} LOGIN")
    await shop.fetch(f"GRANT {role} TO current_user")
    url = shop.db_url.replace("postgresql://syncd@", f"postgresql://{role}@")
    path = edited(shop, lambda text: text.replace(shop.db_url, url))
    try:
        nothing = await check(path)
        for schema in ("syncd", "cyclesoftware", "cyclis", "autengo", "ghs"):
            await shop.fetch(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
            await shop.fetch(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}")
        reading = await check(path)
        path.write_text(
            path.read_text().replace(url, database_url(server, "postgres").replace("syncd@", f"{role}@", 1))
        )
        empty = await check(path)
    finally:
        await shop.fetch(f"DROP OWNED BY {role}")
        await shop.fetch(f"DROP ROLE {role}")
    for found in (nothing, reading):
        assert found.ended.code == 3
        assert re.search(rf"{role} may not read and write syncd\.\w+ and \d+ more → Connect as", found.failed("rights"))
        assert found.by_name["source shop"]["state"] == "ok"
    assert f"{role} may not create schemas, as that must → Connect as" in empty.failed("rights")
    assert "Run: syncd migrate" in empty.failed("migrations")


async def test_a_wrong_password_of_the_database(shop: Bench, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 110)  # too long for a socket: this server listens on loopback, and asks for a password
    try:
        strict = await embedded.ensure(folder)
        wrong = strict.url.replace(str(strict.password), "wr0ng-password")
        found = await check(edited(shop, lambda text: text.replace(shop.db_url, wrong)))
    finally:
        await embedded.stop(folder)
    assert found.ended.code == 3
    told = found.failed("database")
    assert "password authentication failed" in told
    assert "Check user and password in database.url" in told
    assert "wr0ng-password" not in found.ended.out + found.ended.err


async def test_a_database_that_cannot_be_reached_that_is_not_there_or_not_migrated(
    shop: Bench, server: embedded.Server
) -> None:
    cases = {
        "postgresql://u@127.0.0.1:9/d": ("database", "cannot be reached", "Is the server running"),
        "postgresql://u@no-such-host.invalid/d": ("database", "cannot be reached", "is database.url right"),
        database_url(server, "nowhere"): ("database", 'database "nowhere" does not exist', "createdb"),
        database_url(server, "postgres"): ("migrations", "is at revision none", "Run: syncd migrate"),
    }
    for url, (what, detail, hint) in cases.items():
        found = await check(edited(shop, lambda text, url=url: text.replace(shop.db_url, url)))  # type: ignore[misc]
        assert found.ended.code == 3, url
        assert detail in found.failed(what)
        assert hint in found.failed(what)
        assert found.by_name["source shop"]["state"] == "ok"


# --- The whole --------------------------------------------------------------------------------------------------------


async def test_check_says_all_well_and_writes_no_row(shop: Bench) -> None:
    ended = await syncd("check", "--config", shop.config_file())
    assert ended.code == 0, ended
    assert "ok      source shop: " in ended.out
    assert "all well" in ended.out
    assert not await shop.fetch("SELECT FROM syncd.runs")
    assert await shop.fetch("SELECT FROM syncd.budgets WHERE source = 'shop' AND day_used_live > 0")


async def test_check_tells_of_lookup_streams_without_keys(shop: Bench) -> None:
    path = shop.config_file()
    path.write_text(re.sub(r"^uuids = .*$", "", path.read_text(), flags=re.MULTILINE))
    ended = await syncd("check", "--config", path)
    assert ended.code == 0, ended
    assert "shop.leads: is off: it has no keys to look up" in ended.out


async def test_check_of_a_database_that_is_not_migrated_still_asks_the_upstreams(
    shop: Bench, server: embedded.Server
) -> None:
    path = shop.config_file()
    path.write_text(path.read_text().replace(shop.db_url, database_url(server, "postgres")))
    ended = await syncd("check", "--config", path)
    assert ended.code == 3
    assert "failed  migrations:" in ended.out
    assert "→ Run: syncd migrate" in ended.out
    assert "ok      source parts: " in ended.out


async def test_check_warns_of_history_without_an_end(shop: Bench) -> None:
    plain = shop.config_file()
    assert "history" not in (await check(plain)).by_name
    text = plain.read_text().replace(
        'type = "cyclesoftware"\n', 'type = "cyclesoftware"\nstreams.customers.history = true\n', 1
    )
    plain.write_text(text)
    told = (await check(plain)).warned("history")
    assert "kept for ever of shop.customers" in told
    assert 'history = "730d"' in told
    plain.write_text(text + '\n[retention]\nhistory = "730d"\n')
    assert "history" not in (await check(plain)).by_name


# --- Where accounts come from -----------------------------------------------------------------------------------------


async def test_accounts_of_other_files_and_of_a_query_are_told_with_their_origin(shop: Bench) -> None:
    await shop.fetch("CREATE TABLE accounts (name text, type text, options jsonb, api_key text, username text)")
    options = json.dumps({"base_url": shop.address.base_url("ghs"), "password": {"env": "GONE"}})
    await shop.fetch("INSERT INTO accounts VALUES ('wrong', 'ghs', $1, 'plain-hunter', 'u')", options)
    await shop.fetch("INSERT INTO accounts VALUES ('late', 'ghs', $1, 'env:API_KEY', 'u')", options)
    path = edited(shop, lambda text: text + '[sources_from]\nquery = "SELECT * FROM accounts"\n')
    main, fragment = path.read_text(), path.parent / "more.toml"

    found = await check(path, env={"API_KEY": "k"})
    assert found.ended.code == 2
    told = f"the query gives 2 rows, run as {embedded.READER} and only to read; 1 are accounts"
    assert found.by_name["sources_from"]["detail"] == told
    assert "api_key: a secret does not stand in a table" in found.failed("source wrong")
    assert "password: the environment variable GONE is not set" in found.failed("source late")
    assert found.by_name["source parts"]["state"] == "ok"

    fragment.write_text(
        '[sources.more]\ntype = "ghs"\napi_key = "k-hunter"\nusername = "u"\npassword = { env = "GONE" }\n'
    )
    fragment.chmod(0o640)
    path.write_text('include = "more.toml"\n' + main)
    shown = await syncd("config", "show", "--config", path, "--json")
    origins = {one["key"]: one["origin"] for one in shown.json if one["key"].endswith(".username")}
    assert origins == {
        "sources.shop.username": str(path), "sources.parts.username": str(path),
        "sources.more.username": str(fragment), "sources.late.username": "sources_from",
    }  # fmt: skip

    path.write_text('include = "more.toml"\n' + main.replace("FROM accounts", "FROM nowhere"))
    found = await check(path)
    assert 'sources_from.query failed: relation "nowhere" does not exist' in found.failed("sources_from")
    assert "holds secrets (sources.more.api_key) and may be read by others (mode 0640)" in found.warned(str(fragment))
    assert found.failed("secret").startswith("sources.more.password: the environment variable GONE is not set")
    assert "hunter" not in found.ended.out + shown.out
