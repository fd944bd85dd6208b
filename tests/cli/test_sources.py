"""`syncd sources`, and what the other commands say when an account or its name changes."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from syncd.storage.state.runs import stream_lock
from tests.support.bench import Bench, MakeBench
from tests.support.command import WallClock, syncd

KEPT = "[sources.shop.streams.customers]\nhistory = true\nchanges = true\n"
ELSEWHERE = "localhost"  # the sandbox answers under this host, too


@pytest.fixture
async def shop(make_bench: MakeBench) -> Bench:
    """A mirror of a shop's customers with all that can be stored of them, and of a lessor's companies."""
    bench = await make_bench(time=WallClock(), customers=30, page_size=10, extra=KEPT)
    assert (await bench.sync("shop.customers")).outcome == "ok"
    bench.sandbox.world.change("cyclesoftware", "customers", 1006)
    assert (await bench.sync("shop.customers")).outcome == "ok"
    assert (await bench.sync("lease.companies")).outcome == "ok"
    bench.sandbox.requests.clear()
    return bench


def written(bench: Bench, edit: Callable[[str], str]) -> Path:
    path = bench.config_file(KEPT)
    path.write_text(edit(path.read_text()))
    return path


def moved(text: str) -> str:
    """Give the shop another address."""
    head, shop = text.split("[sources.shop]\n", 1)
    return f"{head}[sources.shop]\n{shop.replace('127.0.0.1', ELSEWHERE, 1)}"


def renamed(text: str) -> str:
    return text.replace("[sources.shop", "[sources.store")


async def tables(bench: Bench, source: str) -> dict[str, int]:
    """Return how many rows every table with a column `source` holds of a source."""
    names = await bench.fetch(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_attribute a ON a.attrelid = c.oid WHERE a.attname = 'source' AND c.relkind = 'r'"
    )
    counts = {}
    for (name,) in names:
        ((rows,),) = await bench.fetch(f"SELECT count(*) FROM {name} WHERE source = $1", source)
        if rows:
            counts[name] = rows
    return counts


# --- Another account --------------------------------------------------------------------------------------------------


async def test_every_way_to_run_is_refused_and_check_says_the_same_words(shop: Bench) -> None:
    path = written(shop, moved)
    before = await tables(shop, "shop")
    cursors = await shop.fetch("SELECT * FROM syncd.cursors ORDER BY 1, 2, 3")
    for words in (
        ("sync", "shop.customers"),
        ("sync", "shop.customers", "--full"),
        ("backfill", "shop.customers", "--since", "2020-01-01", "--dry-run"),
        ("verify", "shop.customers"),
        ("verify", "shop.customers", "--repair"),
        ("check",),
    ):
        ended = await syncd(*words, "--config", path)
        assert ended.code == 1, (words, ended)
        told = " ".join((ended.out + ended.err).split())
        assert "another account" in told, words
        assert f"http://{ELSEWHERE}:" in told, words
        assert "http://127.0.0.1:" in told, words
        assert "syncd sources adopt shop" in told, words
    assert not [entry for entry in shop.sandbox.requests if entry.api == "cyclesoftware"]
    assert (await shop.fetch("SELECT * FROM syncd.cursors ORDER BY 1, 2, 3")) == cursors
    assert (await tables(shop, "shop"))["cyclesoftware.customers"] == before["cyclesoftware.customers"]


async def test_a_cursor_that_is_reset_is_no_way_around(shop: Bench) -> None:
    path = written(shop, moved)
    assert (await syncd("cursor", "reset", "shop.customers", "--config", path)).code == 0
    assert (await syncd("sync", "shop.customers", "--config", path)).code == 1
    assert not shop.sandbox.requests


async def test_another_account_of_one_source_stops_no_other(shop: Bench) -> None:
    ended = await syncd("sync", "*.companies", "shop.customers", "--json", "--config", written(shop, moved))
    assert {run["source"]: run["outcome"] for run in ended.json} == {"shop": "failed", "lease": "ok"}


async def test_status_and_list_tell_of_another_account(shop: Bench) -> None:
    path = written(shop, moved)
    status = await syncd("status", "--json", "--config", path)
    refused = {source["source"]: source["refused"] for source in status.json["sources"]}
    assert "another account" in refused.pop("shop")
    assert set(refused.values()) == {None}
    assert "another account" in " ".join((await syncd("status", "--config", path)).out.split())
    listed = (await syncd("sources", "list", "--json", "--config", path)).json
    states = {owner["source"]: (owner["state"], owner["rows"], owner["configured"]) for owner in listed}
    assert states["shop"] == ("another account", 30, True)
    assert states["lease"][0] == "ours"
    assert states["cars"] == ("empty", 0, True)


async def test_adopting_accepts_the_account_and_lists_anew(shop: Bench) -> None:
    path = written(shop, moved)
    adopted = await syncd("sources", "adopt", "shop", "--config", path)
    assert adopted.code == 0, adopted
    assert not await shop.fetch("SELECT FROM syncd.cursors WHERE source = 'shop'")
    again = await syncd("sync", "shop.customers", "--json", "--config", path)
    assert again.code == 0, again
    assert again.json[0]["rows_seen"] >= 30  # with a row of each page before
    assert again.json[0]["rows_inserted"] == 0
    assert "nothing was changed" in (await syncd("sources", "adopt", "shop", "--config", path)).out
    assert (await shop.sync("shop.customers")).outcome == "failed"  # the one before is another account now


# --- Renamed and removed sources --------------------------------------------------------------------------------------


async def test_orphans_are_named_by_check_status_and_list(shop: Bench) -> None:
    path = written(shop, renamed)
    checked = await syncd("check", "--json", "--config", path)
    finding = next(finding for finding in checked.json if finding["what"] == "source shop")
    assert (checked.code, finding["state"]) == (0, "warning")
    assert "30 rows" in finding["detail"]
    assert "syncd sources rename shop store" in finding["hint"]
    assert "syncd sources drop shop" in finding["hint"]
    (orphan,) = (await syncd("status", "--json", "--config", path)).json["orphans"]
    assert (orphan["source"], orphan["type"], orphan["rows"]) == ("shop", "cyclesoftware", 30)
    assert "syncd sources drop shop" in " ".join((await syncd("status", "--config", path)).out.split())
    listed = {owner["source"]: owner for owner in (await syncd("sources", "list", "--json", "--config", path)).json}
    assert (listed["shop"]["state"], listed["shop"]["configured"]) == ("orphan", False)


async def test_an_orphan_of_an_older_version_is_known_by_its_rows(shop: Bench) -> None:
    await shop.fetch("DELETE FROM syncd.sources")
    await shop.fetch("DELETE FROM syncd.cursors WHERE source = 'shop'")
    (orphan,) = (await syncd("status", "--json", "--config", written(shop, renamed))).json["orphans"]
    assert (orphan["source"], orphan["type"], orphan["rows"]) == ("shop", "cyclesoftware", 30)


async def test_renaming_moves_everything_and_the_next_run_goes_on(shop: Bench) -> None:
    forgotten = await syncd("forget", "shop.customers", "30001", "--yes", "--config", shop.config_file(KEPT))
    assert forgotten.code == 0, forgotten
    path = written(shop, renamed)
    before = await tables(shop, "shop")
    assert {"syncd.forgotten", "syncd.sources", "syncd.cursors", "history.cyclesoftware_customers"} <= before.keys()
    ended = await syncd("sources", "rename", "shop", "store", "--config", path)
    assert ended.code == 0, ended
    assert await tables(shop, "shop") == {}
    assert await tables(shop, "store") == before
    went_on = await syncd("sync", "store.customers", "--full", "--json", "--config", path)
    assert went_on.code == 0, went_on
    assert went_on.json[0]["rows_inserted"] == 0
    ((alive,),) = await shop.fetch("SELECT count(*) FROM cyclesoftware.customers WHERE customer_id = 30001")
    assert alive == 0  # the marker is valid under the new name


async def test_renaming_is_refused_where_data_would_mix_or_a_run_is_under_way(shop: Bench) -> None:
    path = shop.config_file(KEPT)
    mixed = await syncd("sources", "rename", "shop", "lease", "--config", path)
    assert (mixed.code, "data lie under the name lease" in mixed.err) == (2, True), mixed
    unknown = await syncd("sources", "rename", "shopp", "store", "--config", path)
    assert (unknown.code, "nothing is stored under the name shopp" in unknown.err) == (2, True), unknown
    odd = await syncd("sources", "rename", "shop", "a.b", "--config", path)
    assert odd.code == 2, odd
    run = await shop.db.try_lock(stream_lock("shop", "customers", "live"))
    assert run is not None
    for words in (("rename", "shop", "store"), ("drop", "shop", "--yes")):
        held = await syncd("sources", *words, "--config", path)
        assert (held.code, "a run is under way" in held.err) == (1, True), held
    assert (await tables(shop, "shop"))["cyclesoftware.customers"] == 30


async def test_dropping_deletes_everything_and_the_feed_tells(shop: Bench) -> None:
    path = written(shop, renamed)
    before = await tables(shop, "shop")
    rehearsed = await syncd("sources", "drop", "shop", "--dry-run", "--json", "--config", path)
    assert rehearsed.json == {"done": False, "rows": {k: v for k, v in before.items() if k != "syncd.changes"}}
    assert await tables(shop, "shop") == before
    unasked = await syncd("sources", "drop", "shop", "--config", path)
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    dropped = await syncd("sources", "drop", "shop", "--yes", "--config", path)
    assert dropped.code == 0, dropped
    assert list(await tables(shop, "shop")) == ["syncd.changes"]
    told = await shop.fetch("SELECT id, operation, key FROM syncd.changes ORDER BY id")
    assert [row["id"] for row in told] == list(range(1, len(told) + 1))
    gone = {msgspec.json.decode(row["key"])["customer_id"] for row in told if row["operation"] == "delete"}
    assert len(gone) == 30
    assert "lease" in {row["source"] for row in await shop.fetch("SELECT source FROM syncd.sources")}
    assert (await syncd("status", "--json", "--config", path)).json["orphans"] == []


async def test_a_person_of_an_orphan_can_be_forgotten(shop: Bench) -> None:
    path = written(shop, renamed)
    ended = await syncd("forget", "shop", "30001", "--yes", "--json", "--config", path)
    assert ended.code == 0, ended
    assert ended.json["rows"]["cyclesoftware.customers"] == 1
    ((left,),) = await shop.fetch("SELECT count(*) FROM cyclesoftware.customers WHERE customer_id = 30001")
    assert left == 0
    ((markers,),) = await shop.fetch("SELECT count(*) FROM syncd.forgotten WHERE source = 'shop'")
    assert markers == 1


async def test_a_person_of_an_orphan_of_an_older_version_can_be_forgotten(shop: Bench) -> None:
    await shop.fetch("DELETE FROM syncd.sources")
    ended = await syncd("forget", "shop.customers", "30001", "--yes", "--json", "--config", written(shop, renamed))
    assert ended.code == 0, ended
    assert ended.json["rows"]["cyclesoftware.customers"] == 1


async def test_migrate_stores_whose_the_rows_of_an_older_version_are(shop: Bench) -> None:
    await shop.fetch("DELETE FROM syncd.sources")
    assert (await syncd("migrate", "--config", shop.config_file(KEPT))).code == 0
    held = await shop.fetch("SELECT source FROM syncd.sources ORDER BY 1")
    assert [row["source"] for row in held] == ["lease", "shop"]
    assert (await syncd("sync", "shop.customers", "--config", written(shop, moved))).code == 1


async def test_check_warns_of_one_account_under_two_names(shop: Bench) -> None:
    path = shop.config_file(KEPT)
    text = path.read_text()
    lease = next(part for part in text.split("\n\n") if part.startswith("[sources.lease]"))
    path.write_text(f"{text}\n\n{lease.partition('[sources.lease.')[0].replace('[sources.lease]', '[sources.other]')}")
    warned = [finding for finding in (await syncd("check", "--json", "--config", path)).json if finding["hint"]]
    (told,) = [finding for finding in warned if finding["what"] == "source other"]
    assert (told["state"], "the same account as lease" in told["detail"]) == ("warning", True)
