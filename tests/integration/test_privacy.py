"""What is excluded is never stored, what is hashed only as a keyed hash, by whichever way a record comes."""

import copy
import hashlib
import hmac
import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncd import config as configuration
from syncd import cookbook
from syncd.cli.commands import forget as command
from syncd.cli.commands import rejects, verify
from syncd.contract import Kind, Table
from syncd.records.parser import Parser
from syncd.records.privacy import Guard, place
from syncd.sources import registry, specs
from syncd.storage.mirror import writer
from syncd.storage.mirror.target import make_target
from syncd.storage.postgres.database import Database
from tests.papers import privacy_page
from tests.support import truth
from tests.support.bench import Bench, MakeBench
from tests.support.checked import check
from tests.support.command import WallClock, syncd
from tests.support.forgetting import canary, leaks
from tests.support.search import examples, sampled, search, trial
from tests.support.stored import everything_stored
from tests.support.strategies import NOW, TABLES, ZONE, anything, keyed, sent_as, target_of, values_of

HASH_KEY = "a-key-that-nobody-guesses"
KEY_LINE = f'[privacy]\nhash_key = "{HASH_KEY}"\n'
SHOP = "shop.customers"
RULES = (
    '[sources.shop.streams.customers]\nexclude = ["name", "phone_numbers.phone_number", "phone_numbers.name", "street",'
    ' "pasfoto"]\nhash = ["email", "nickname"]\n'
)
KEPT = "history = true\nchanges = true\n"
CANARIES = ("Zzyzxkanarie", "zzyzx@kanarie.example", "Kanariestraat", "0612345987", "zzyzx-vrij-veld", "zzyzx-foto")


def hashed(text: str) -> str:
    return f"hmac:{hmac.new(HASH_KEY.encode(), text.strip().lower().encode(), hashlib.sha256).hexdigest()}"


def marked(bench: Bench, number: int) -> dict[str, Any]:
    """Return a customer with canaries in all that is excluded or hashed, at unexpected places too."""
    return canary(bench, 900_000 + number) | {"pasfoto": {"zzyzx-foto": 1}, "more": [{"pasfoto": "zzyzx-foto"}]}


async def test_no_way_of_writing_lets_an_excluded_value_in(make_bench: MakeBench) -> None:
    bench = await make_bench(extra=RULES + KEPT + KEY_LINE, customers=12, page_size=5)
    path = bench.config_file(RULES + KEPT + KEY_LINE)
    for number in range(3):
        bench.sandbox.put("cyclesoftware", "customers", marked(bench, number))
    faults = ("null-key", "missing-key", "wrong-type", "unknown-field", "nul-in-text", "lone-surrogate", "null-record",
              "missing-field", "duplicate-key-on-page")  # fmt: skip
    for fault in faults:
        for kind in ("live", "sweep", "backfill"):
            bench.time.pass_by(hours=1)
            for number in range(3):
                record = marked(bench, number) | {"discount_percentage": len(fault), "house_number": kind}
                bench.sandbox.put("cyclesoftware", "customers", record)
            bench.sandbox.faults.clear()
            bench.sandbox.faults.add(fault, api="cyclesoftware", stream="customers", times=2)
            order: dict[str, Any] = {"since": bench.time.now().replace(year=2020)} if kind == "backfill" else {}
            await bench.sync(SHOP, kind, **order)
    bench.sandbox.faults.clear()
    assert await bench.fetch("SELECT FROM syncd.rejects")
    assert await bench.fetch("SELECT FROM syncd.drift")
    assert await bench.fetch("SELECT FROM history.cyclesoftware_customers")
    await rejects.replay_rejects(path, [], as_json=True)
    async with bench.db.connection() as conn:
        await conn.execute("UPDATE cyclesoftware.customers SET house_number = 'anders', _changed_at = '2020-01-01'")
    assert await verify.verify_streams(path, [SHOP], pages=0, repair=True, as_json=True) == 0
    assert await leaks(bench, *CANARIES) == []
    assert await bench.rows("cyclesoftware.customers", "house_number = 'anders'") == []

    assert (await bench.sync(SHOP, "sweep")).outcome == "ok"
    row = (await bench.rows("cyclesoftware.customers", "customer_id = 900001"))[0]
    assert (row["name"], row["street"], row["email"]) == (None, None, hashed(" Zzyzx@KANARIE.example "))
    assert json.loads(row["_extra"]) == {"nickname": hashed("zzyzx-vrij-veld"), "more": [{}]}
    (number_row,) = await bench.rows("cyclesoftware.customer_phone_numbers", "customer_id = 900001")
    assert (number_row["phone_number"], number_row["name"], number_row["_extra"]) == (None, None, None)
    for field in ("name", "pasfoto", "phone_numbers[].name"):
        assert not await bench.fetch("SELECT FROM syncd.drift WHERE field = $1 AND sample <> ''", field)


async def test_a_record_that_is_no_object_is_not_kept(make_bench: MakeBench) -> None:
    bench = await make_bench(extra=RULES + KEY_LINE)
    target = bench.syncer.target("shop", "customers")
    sent = [b'"Zzyzxkanarie"', b'["Zzyzxkanarie"]', b"{'Zzyzxkanarie'", b'{"name": "Zzyzxkanarie"', b"\xff"]
    read = target.intake.read(sent)
    assert len(read.sent.rejects) == len(sent)
    for reject, _ in read.sent.rejects:
        assert "kanarie" not in reject.record.lower()
        assert "no object" in reject.record
        assert reject.reason


async def test_a_field_that_was_not_sent_does_not_keep_a_value_that_is_excluded_now(make_bench: MakeBench) -> None:
    bench = await make_bench(customers=5)
    assert (await bench.sync(SHOP)).outcome == "ok"
    assert await bench.rows("cyclesoftware.customers", "name IS NOT NULL")
    target = make_target(
        TABLES["cyclesoftware.customers"], Parser(TABLES["cyclesoftware.customers"], ZONE),
        guard=Guard(TABLES["cyclesoftware.customers"], "customers", exclude=["name"]),
    )  # fmt: skip
    records = [
        sent_as({k: v for k, v in r.items() if k != "name"}) for r in bench.sandbox.truth("cyclesoftware", "customers")
    ]
    async with bench.db.transaction() as conn:
        await writer.write_page(conn, target, "shop", target.intake.read(records), now=NOW)
    assert await bench.rows("cyclesoftware.customers", "name IS NOT NULL") == []
    assert await bench.rows("cyclesoftware.customers", "street IS NOT NULL")


async def test_hashed_addresses_still_join(make_bench: MakeBench) -> None:
    email = '[sources.shop.streams.customers]\nhash = ["email"]\n[sources.lease.streams.cyclists]\nhash = ["email"]\n'
    bench = await make_bench(extra=email + KEY_LINE)
    cyclist = bench.sandbox.truth("cyclis", "cyclists")[0]
    cyclist["attributes"]["email"] = " Zzyzx@Kanarie.EXAMPLE"
    bench.sandbox.put("cyclis", "cyclists", cyclist)
    bench.sandbox.put("cyclesoftware", "customers", canary(bench))
    for selector in ("lease.companies", "lease.cyclists", SHOP):
        assert (await bench.sync(selector)).outcome == "ok"
    found = await bench.fetch("SELECT * FROM reporting.customer_cyclists WHERE customer_id = $1", 987_654_321)
    assert [str(row["cyclist_id"]) for row in found] == [cyclist["id"]]
    assert found[0]["email"] == hashed("zzyzx@kanarie.example")
    emails = await bench.fetch(
        "SELECT email FROM cyclesoftware.customers WHERE email <> '' UNION SELECT email FROM cyclis.cyclists"
    )
    assert len(emails) > 10
    assert not [row["email"] for row in emails if row["email"] and "@" in row["email"]]
    plain = {r["email"] for r in bench.sandbox.truth("cyclesoftware", "customers") if not r["email"]}
    kept = await bench.fetch("SELECT DISTINCT email FROM cyclesoftware.customers WHERE email IS NULL OR email = ''")
    assert {row["email"] for row in kept} == plain, "null and empty stay what they are"


async def test_a_hash_is_not_hashed_again(make_bench: MakeBench) -> None:
    bench = await make_bench(extra=RULES + KEY_LINE, customers=5)
    sent = json.dumps(marked(bench, 1) | {"email": hashed("zzyzx@kanarie.example")})
    async with bench.db.connection() as conn:
        await conn.execute(
            "INSERT INTO syncd.rejects (source, stream, reason, record, fingerprint, run_id, first_seen_at,"
            " last_seen_at, occurrences) VALUES ('shop', 'customers', 'why', $1, 'x', 1, now(), now(), 1)", sent,
        )  # fmt: skip
    await rejects.replay_rejects(bench.config_file(RULES + KEY_LINE), [], as_json=True)
    (row,) = await bench.rows("cyclesoftware.customers")
    assert row["email"] == hashed("zzyzx@kanarie.example")
    assert await bench.fetch("SELECT FROM syncd.rejects") == []


async def test_the_same_key_gives_the_same_rows_and_another_one_others(make_bench: MakeBench) -> None:
    bench = await make_bench(extra=RULES + KEY_LINE, customers=15)
    assert (await bench.sync(SHOP)).counts.inserted == 15
    again = await bench.sync(SHOP, "sweep")
    assert (again.counts.updated, again.counts.unchanged) == (0, 15)
    path = bench.config_file(RULES + KEY_LINE.replace("nobody", "somebody"))
    bench.syncer.reconfigure(configuration.load(path, specs()))
    bench.time.pass_by(hours=1)
    assert (await bench.sync(SHOP, "sweep")).counts.updated >= 10, "a new key is taken with the configuration"


async def test_what_was_stored_before_is_told_of_and_stripped(make_bench: MakeBench) -> None:
    plain = f"[sources.shop.streams.customers]\n{KEPT}"
    bench = await make_bench(extra=plain, time=WallClock(), customers=25, page_size=10)
    for number in range(3):
        bench.sandbox.put("cyclesoftware", "customers", marked(bench, number))
    assert (await bench.sync(SHOP)).outcome == "ok"
    for number in range(3):
        bench.sandbox.put("cyclesoftware", "customers", marked(bench, number) | {"city": "Anders"})
    bench.sandbox.faults.add("null-key", api="cyclesoftware", stream="customers", times=1)
    for _ in range(2):
        assert (await bench.sync(SHOP, "sweep", accept_deletions=True)).outcome == "ok"
    async with bench.db.connection() as conn:
        await conn.execute(
            "INSERT INTO syncd.rejects (source, stream, reason, record, fingerprint, run_id, first_seen_at,"
            " last_seen_at, occurrences) VALUES ('shop', 'customers', 'why', $1, 'x', 1, now(), now(), 1)",
            json.dumps(marked(bench, 9)),
        )  # fmt: skip
    assert sorted(await leaks(bench, *CANARIES)) == sorted(CANARIES)
    others = await bench.fetch("SELECT customer_id, city, _changed_at FROM cyclesoftware.customers ORDER BY 1")

    path = bench.config_file(RULES + KEPT + KEY_LINE)
    told = (await check(path)).warned(SHOP)
    assert "28 in cyclesoftware.customers" in told
    assert "in history.cyclesoftware_customers" in told
    assert f"syncd forget {SHOP} --excluded" in told
    rehearsed = await syncd("forget", SHOP, "--excluded", "--dry-run", "--json", "--config", path)
    assert json.loads(rehearsed.out)["rows"]["cyclesoftware.customers"] == 28
    assert sorted(await leaks(bench, *CANARIES)) == sorted(CANARIES)
    assert (await syncd("forget", SHOP, "--excluded", "--yes", "--config", path)).code == 0
    assert await leaks(bench, *CANARIES) == []
    assert SHOP not in (await check(path)).by_name
    assert others == await bench.fetch("SELECT customer_id, city, _changed_at FROM cyclesoftware.customers ORDER BY 1")
    again = await syncd("forget", SHOP, "--excluded", "--yes", "--json", "--config", path)
    assert json.loads(again.out) == {"done": True, "rows": {}}
    ended = await syncd("sync", SHOP, "--full", "--json", "--config", path)
    assert json.loads(ended.out)[0]["rows_updated"] == 0, "the rows are as the next pass would have them"


async def test_a_whole_list_can_be_left_out(make_bench: MakeBench) -> None:
    bench = await make_bench(customers=10)
    assert (await bench.sync(SHOP)).outcome == "ok"
    assert await bench.rows("cyclesoftware.customer_phone_numbers")
    extra = '[sources.shop.streams.customers]\nexclude = ["phone_numbers"]\n'
    path = bench.config_file(extra)
    options: dict[str, Any] = {"excluded": True, "undo": False, "dry_run": False, "yes": True, "as_json": True}
    assert await command.erase(path, SHOP, [], **options) == 0
    assert await bench.fetch("SELECT FROM cyclesoftware.customer_phone_numbers") == []
    bench.syncer.reconfigure(configuration.load(path, specs()))
    bench.time.pass_by(hours=1)
    assert (await bench.sync(SHOP, "sweep")).outcome == "ok"
    assert await bench.fetch("SELECT FROM cyclesoftware.customer_phone_numbers") == []
    assert len(await bench.rows("cyclesoftware.customers", "_extra IS NULL")) == 10


async def test_a_mistyped_field_is_told_with_the_nearest(make_bench: MakeBench) -> None:
    bench = await make_bench(time=WallClock(), customers=5)
    told = (await check(bench.config_file('[sources.shop.streams.customers]\nexclude = ["e-mail"]\n'))).warned(SHOP)
    assert '"e-mail", which is no column' in told
    assert "email" in told.partition("nearest")[2]


@trial
async def test_the_views_work_without_anything_personal(make_bench: MakeBench) -> None:
    """Half of what is personal excluded, the other half hashed where it is text: views and reports still answer."""
    names = {"cyclesoftware": "shop", "cyclis": "lease", "autengo": "cars", "ghs": "parts"}
    bench = await make_bench(customers=60, stock_items=30, sales_orders=40, products=20, contacts=6, articles=20)
    path = bench.folder / "bench.toml"
    text = path.read_text()
    for kind, source in registry().items():
        for stream in source.streams:
            texts, all_ = choosable(stream.table, text=True), choosable(stream.table, text=False)
            hashes = [name for name in stream.table.personal if name in texts][::2]
            excluded = [name for name in stream.table.personal if name in all_ and name not in hashes]
            header = f"[sources.{names[kind]}.streams.{stream.name}]\n"
            lines = f"exclude = {excluded}\nhash = {hashes}\n"
            text = text.replace(header, header + lines) if header in text else text + header + lines
    path.write_text(text + KEY_LINE)
    bench.syncer.reconfigure(configuration.load(path, specs()))
    for name, kind in ((source, kind) for kind, source in names.items()):
        for stream in registry()[kind].streams:
            assert (await bench.sync(f"{name}.{stream.name}")).outcome == "ok"
    assert not await bench.fetch("SELECT FROM cyclesoftware.customers WHERE email LIKE '%@%' OR name NOT LIKE 'hmac:%'")
    views = await bench.fetch("SELECT table_name FROM information_schema.views WHERE table_schema = 'reporting'")
    filled = [view[0] for view in views if await bench.fetch(f"SELECT * FROM reporting.{view[0]} LIMIT 5")]
    assert {"customers", "cyclists", "leads", "lease_orders", "sales_orders"} <= set(filled)
    for question in cookbook.questions().values():
        await bench.fetch(question.query)


# --- Whatever is sent -------------------------------------------------------------------------------------------------

SECRET = "kanarie-4711"
canaries = st.one_of(
    st.just(SECRET), st.just([SECRET]), st.just({"a": {"b": SECRET}}), st.just(f"  {SECRET.upper()} {SECRET} "),
    st.just([[{"x": SECRET}], None]),
)  # fmt: skip


def choosable(table: Table, *, text: bool) -> list[str]:
    """Return the columns that may be left out, or hashed."""
    fixed = {*table.key, *table.needed, *table.refers, table.deleted}
    return [c.name for c in table.columns if c.name not in fixed and (c.kind is Kind.TEXT or not text)]


def put(record: dict[str, Any], path: tuple[str | int, ...], value: Any) -> None:
    """Set a value where a column stands, whatever stands in the way; a pair of coordinates as a whole."""
    node = record
    for step in path[:-1]:
        if isinstance(path[-1], int) and step == path[-2]:
            node[str(step)] = [value if at == path[-1] else 1.5 for at in (0, 1)]
            return
        node[str(step)] = node.get(str(step)) if isinstance(node.get(str(step)), dict) else {}
        node = node[str(step)]
    node[str(path[-1])] = value


def mentions(value: Any, names: set[str]) -> bool:
    match value:
        case dict():
            return any(name in names or mentions(inner, names) for name, inner in value.items())
        case list():
            return any(mentions(inner, names) for inner in value)
    return False


@search
@pytest.mark.parametrize("name", sampled(TABLES, every=3))
@settings(max_examples=examples(15, part=3), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
async def test_an_excluded_value_is_nowhere_and_all_else_is_kept(db: Database, name: str, data: st.DataObject) -> None:
    table = TABLES[name]
    if not choosable(table, text=False):
        return  # nothing but the key
    texts = choosable(table, text=True)
    excluded = data.draw(st.lists(st.sampled_from(choosable(table, text=False)), min_size=1, max_size=2, unique=True))
    hashes = data.draw(st.lists(st.sampled_from(texts), max_size=1)) if texts else []
    hashes = [column for column in hashes if column not in excluded]
    some = data.draw(st.lists(st.sampled_from(table.columns), max_size=8, unique=True))
    record = keyed(table, data.draw(values_of(tuple(some), 0)))
    clean = copy.deepcopy(record)
    paths = [
        place(table, column).path
        for column in (
            *excluded,
            *hashes,
        )
    ]
    for path in paths:
        put(record, path, data.draw(canaries))
    field = data.draw(st.sampled_from(["geheim", "x.y.geheim"]))
    record |= {"geheim": data.draw(canaries), "onbekend": [{str(paths[0][-1]): SECRET, "blijft": 1}]}
    others = [c for c in table.columns if c.name not in (*table.key, *excluded, *hashes) and len(c.path) == 1]
    odd = {str(data.draw(st.sampled_from(others)).path[0])} if others else set()
    record |= {field: [{str(paths[0][-1]): SECRET}] for field in odd}
    record["x"] = {"y": {"geheim": data.draw(canaries)}}
    guard = Guard(table, "s", exclude=[*excluded, "geheim", field], hashed=hashes, hash_key=HASH_KEY.encode())
    target = make_target(table, Parser(table, ZONE), guard=guard)
    plain = target_of(name)
    async with db.transaction() as conn:
        for whole in (False, True):
            read = target.intake.read([sent_as(record), b'["kanarie-4711"'], whole=whole)
            written = await writer.write_page(conn, target, "s", read, now=NOW)
        assert len(written.rejects) == 1, [reject.reason for reject, _ in written.rejects]
        held = [str(tuple(note)) for note in written.notes] + [reject.record for reject, _ in written.rejects]
        rows = await conn.fetch(target.statements.select_rows, "s", *([part] for part in written.keys[0]))
        held += [str(dict(rows[0]))]
        await writer.write_page(conn, plain, "plain", plain.intake.read([sent_as(clean)]), now=NOW)
        others = await conn.fetch(plain.statements.select_rows, "plain", *([part] for part in written.keys[0]))
    assert SECRET not in "\n".join(held).lower()
    names = {*excluded, *hashes, "geheim", *(str(path[-1]) for path in paths)}
    touched = {str(path[0]) for path in paths} | {"x", "onbekend"} | odd
    kept, sent = truth._rebuilt(rows[0], table), truth._rebuilt(others[0], table)
    same = {n for n, v in clean.items() if n not in touched and n not in names and not mentions({n: v}, names)}
    assert {n: v for n, v in kept.items() if n in same} == {n: v for n, v in sent.items() if n in same}
    for column in hashes:
        value = rows[0][column]
        assert value is None or value.startswith("hmac:") or not value.strip()


def test_the_page_on_privacy_says_what_the_definitions_say() -> None:
    text = privacy_page.PAGE.read_text()
    assert "`customer_id`: customers" in text
    assert privacy_page.page(text) == text, "write it anew: python -m tests.papers.privacy_page"


def test_a_guard_without_rules_lets_records_through_untouched() -> None:
    for table in TABLES.values():
        guard = Guard(table, "s")
        records = [b"{}", b"x"]
        entered = guard.enter(records, read_keys=lambda _records: pytest.fail("keys were read"))
        assert entered.records is records


@settings(max_examples=200, deadline=None, derandomize=True)
@given(value=anything)
def test_a_hash_is_stable_and_tells_nothing(value: Any) -> None:
    guard = Guard(TABLES["cyclesoftware.customers"], "s", hash_key=HASH_KEY.encode())
    raw = sent_as({"v": value})[6:-1].strip()
    once = guard.digest(raw)
    assert guard.digest(once) == once
    if value is None or (isinstance(value, str) and not value.strip()):
        assert once == raw
    else:
        assert msgspec.json.decode(once, type=str).startswith("hmac:")


async def test_the_dump_of_this_test_is_of_the_whole_database(bench: Bench) -> None:
    """The grep of these tests would find what any table holds."""
    assert (await bench.sync(SHOP)).outcome == "ok"
    (row,) = (await bench.rows("cyclesoftware.customers", "email <> ''"))[:1]
    stored = await everything_stored(bench)
    assert row["email"] in stored
