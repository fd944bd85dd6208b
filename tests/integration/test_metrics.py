"""The metrics, and what is built on them: the alerts and the dashboard that are handed out."""

import asyncio
import gzip
import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from syncd.log import counters
from syncd.sandbox import CREDENTIALS
from syncd.service.web import family as metric_family
from syncd.service.web import metrics
from syncd.storage.postgres.locks import lock_number
from tests.support.bench import Bench, MakeBench
from tests.support.daemon import Now, count, load, until, write
from tests.support.daemon import serving as daemon_serving
from tests.support.search import trial
from tests.support.site import Site, reader_of, serving

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "prometheus-alerts.yaml"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
PROMTOOL = shutil.which("promtool")

Samples = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
async def bench(make_bench: MakeBench) -> Bench:
    return await make_bench(time=Now())


@pytest.fixture
async def site(bench: Bench) -> AsyncIterator[Site]:
    async with serving(reader_of(bench)) as served:
        yield served


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, tuple(sorted(labels.items()))), 0.0)


# --- What is counted --------------------------------------------------------------------------------------------------


async def test_answers_are_counted_by_status_and_so_are_those_that_never_came(bench: Bench, site: Site) -> None:
    before = await site.samples()
    bench.sandbox.faults.add("error-500", api="cyclesoftware", stream="customers", times=1)
    bench.sandbox.faults.add("reset", api="cyclesoftware", stream="stores", times=1)
    bench.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="platform_keys", times=1)
    requests = 0
    for stream in ("customers", "stores", "platform_keys"):
        requests += (await bench.sync(f"shop.{stream}")).spent.requests
    after = await site.samples()
    counted = Counter(
        {
            status: value(after, "syncd_responses_total", source="shop", status=status)
            - value(before, "syncd_responses_total", source="shop", status=status)
            for status in ("200", "500", "403", "none")
        }
    )
    assert (counted["500"], counted["403"], counted["none"]) == (1, 1, 1)
    assert counted.total() == requests
    assert counted["200"] == requests - 3


async def test_time_in_runs_and_waits_for_the_budget_are_counted(make_bench: MakeBench) -> None:
    bench = await make_bench(time=Now(), customers=40, page_size=20, latency_s=0.05)
    async with serving(reader_of(bench)) as site:
        await site.samples()
        await bench.sync("shop.customers")
        await bench.fetch("UPDATE syncd.runs SET budget_wait_s = 3 WHERE run_id = 1")  # as if the minute had been full
        found = await site.samples()
    (run,) = await bench.fetch("SELECT extract(epoch FROM finished_at - started_at)::float8 AS s FROM syncd.runs")
    assert value(found, "syncd_run_seconds_total", source="shop", stream="customers", kind="live") == run["s"] > 0
    assert value(found, "syncd_budget_wait_seconds_total", source="shop", stream="customers") == 3


async def test_waiting_for_another_writer_of_a_table_is_counted(bench: Bench, site: Site) -> None:
    before = value(await site.samples(), "syncd_lock_wait_seconds_total", source="shop")
    async with bench.db.transaction() as other:
        number = lock_number("table", "shop", bench.syncer.target("shop", "stores").name)
        await other.execute("SELECT pg_advisory_xact_lock(syncd.lock_key($1))", number)
        stuck = asyncio.create_task(bench.sync("shop.stores"))

        async def waits() -> bool:
            found = await bench.fetch(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
                " AND clock_timestamp() - query_start > interval '0.3 s'"
            )
            return bool(found)

        await until(waits)
    assert (await stuck).outcome == "ok"
    waited = value(await site.samples(), "syncd_lock_wait_seconds_total", source="shop") - before
    assert 0.3 <= waited < 10


async def test_the_queue_of_the_daemon_and_runs_left_to_others_are_shown(bench: Bench) -> None:
    streams = ("customers", "stores", "platform_keys", "stock_items", "sales_orders")
    bench.sandbox.faults.add("hang", api="cyclis")
    bench.sandbox.faults.add("hang", api="cyclesoftware")
    elsewhere = asyncio.create_task(bench.sync("lease.orders"))
    await until(lambda: count(bench, "syncd.runs WHERE outcome = 'running'"))
    before = counters.skipped["lease", "orders"]
    path = write(bench, {f"shop.{stream}": 'every = "1s"' for stream in streams} | {"lease.orders": 'every = "1s"'})
    async with daemon_serving(path) as url, aiohttp.ClientSession() as http:
        site = Site(url, http)

        async def queued() -> bool:
            found = await site.samples()
            seats = [value(found, f"syncd_runs_{where}", source="shop") for where in ("under_way", "waiting")]
            skipped = value(found, "syncd_runs_skipped_total", source="lease", stream="orders")
            return seats == [3, 2] and skipped > before

        await until(queued)
    elsewhere.cancel()
    await asyncio.gather(elsewhere, return_exceptions=True)
    async with serving(reader_of(bench)) as site:
        found = await site.samples()
    assert [value(found, f"syncd_runs_{where}", source="shop") for where in ("under_way", "waiting")] == [0, 0]


async def test_names_carry_their_units_and_labels_are_few(bench: Bench, site: Site) -> None:
    for selector in ("shop.customers", "lease.orders"):
        await bench.sync(selector)
    _, text, _ = await site.get("metrics")
    families = list(text_string_to_metric_families(text))
    assert len(families) > 20
    for family in families:
        assert re.fullmatch(r"(syncd|process)_[a-z_]+", family.name), family.name
        assert len(family.documentation) > 10, family.name
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        words = family.documentation.lower()
        if re.search(r"\b(seconds|age|when)\b", words):
            assert family.name.endswith("_seconds"), family.name
        if not family.name.endswith("_seconds"):
            assert "seconds" not in words, family.name
    series = sum(len(family.samples) for family in families)
    streams = len({sample.labels.get("stream") for family in families for sample in family.samples})
    assert series < 100 * streams


async def test_many_metrics_are_written_by_turns_with_others(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_family, "LINES_AT_ONCE", 100)
    measures = await reader_of(bench).measures()
    streams = [one._replace(source=f"{one.source}{number}") for number in range(30) for one in measures.streams]
    turns = 0

    async def go_on() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(go_on())
    text = (
        await metrics.text(replace(measures, streams=streams), metrics.Totals(since=measures.status.at), bench.config)
    ).decode()
    others.cancel()
    states = [line for line in text.splitlines() if line.startswith("syncd_stream_state{")]
    assert len(states) == 8 * len(streams) == len(set(states))
    assert turns > len(text.splitlines()) / 100 > 150


def test_a_status_that_nobody_defined_makes_no_label_of_its_own() -> None:
    for status in range(100, 1000):
        counters.answered("odd", status)
    assert len([pair for pair in counters.answers if pair[0] == "odd"]) < 80


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (apt-get install prometheus)")
async def test_promtool_finds_nothing_to_say(bench: Bench, site: Site) -> None:
    await bench.sync("shop.customers")
    _, text, _ = await site.get("metrics")
    done = await asyncio.to_thread(_promtool, "check", "metrics", stdin=text)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def _promtool(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(PROMTOOL), *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603


async def test_what_a_process_uses_and_since_when_streams_are_good_is_told(bench: Bench, site: Site) -> None:
    await bench.sync("shop.customers")
    await bench.sync("shop.customers", kind="sweep")
    bench.sandbox.faults.add("missing-list", api="cyclesoftware", stream="stores")
    await bench.sync("shop.stores", kind="sweep")
    samples = await site.samples()
    customers = {"source": "shop", "stream": "customers"}
    since = value(samples, "syncd_stream_last_success_timestamp_seconds", **customers)
    assert abs(bench.time.now().timestamp() - since) < 120
    assert 0 <= value(samples, "syncd_sweep_age_seconds", **customers) < 120
    assert value(samples, "syncd_sweep_failing", **customers) == 0
    assert value(samples, "syncd_sweep_failing", source="shop", stream="stores") == 1
    assert value(samples, "syncd_sweep_refused", source="shop", stream="stores") == 0
    assert 10 * 2**20 < value(samples, "process_resident_memory_bytes") < value(samples, "process_virtual_memory_bytes")
    assert 3 < value(samples, "process_open_fds") < value(samples, "process_max_fds")
    assert value(samples, "process_cpu_seconds_total") > 0
    assert 0 < bench.time.now().timestamp() - value(samples, "process_start_time_seconds") < 86_400
    digest = bench.config.digest
    assert re.fullmatch(r"[0-9a-f]{12}", digest)
    assert value(samples, "syncd_config_info", digest=digest) == 1
    assert value(samples, "syncd_config_last_reload_success_timestamp_seconds") == bench.config.read_at.timestamp()


def test_the_digest_of_a_configuration_knows_every_key_and_no_secret(bench: Bench) -> None:
    path = bench.config_file()
    digests = {"as it is": load(path).digest}
    text = path.read_text()
    for name, changed in {
        "with a comment": f"# hello\n{text}",
        "with another secret": text.replace(
            f'password = "{CREDENTIALS["cyclesoftware"]["password"]}"', 'password = "x"', 1
        ),
        "with another key": f'{text}\n[retention]\nruns = "10d"\n',
    }.items():
        path.write_text(changed)
        digests[name] = load(path).digest
    assert text != changed
    assert digests["as it is"] == digests["with a comment"] == digests["with another secret"]
    assert digests["with another key"] != digests["as it is"]


async def test_a_long_answer_is_compressed_for_whoever_takes_that(bench: Bench, site: Site) -> None:
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        async with http.get(f"{site.url}metrics", headers={"Accept-Encoding": "gzip"}) as answer:
            packed = await answer.read()
            assert answer.headers["Content-Encoding"] == "gzip"
            assert answer.headers["Vary"] == "Accept-Encoding"
        async with http.get(f"{site.url}metrics", headers={"Accept-Encoding": "identity"}) as answer:
            plain = await answer.read()
            assert "Content-Encoding" not in answer.headers
    assert len(packed) < len(plain) / 4
    assert gzip.decompress(packed).startswith(b"# HELP syncd_database_up ")


# --- Alerts -----------------------------------------------------------------------------------------------------------


def rules(kind: str = "alert") -> list[dict[str, Any]]:
    """Return the alerts, or what is recorded."""
    every = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    return [rule for rule in every if kind in rule]


async def known(bench: Bench, site: Site) -> dict[str, dict[str, set[str]]]:
    """Return the metrics that there are: name → label → values."""
    bench.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="platform_keys", times=1)
    for selector in ("shop.customers", "shop.platform_keys", "lease.orders"):
        await bench.sync(selector)
    found: dict[str, dict[str, set[str]]] = {"up": {"job": {"syncd"}}}
    for name, labels in await site.samples():
        values = found.setdefault(name, {})
        for label, one in labels:
            values.setdefault(label, set()).add(one)
    return found


def assert_known(expression: str, found: Mapping[str, Mapping[str, set[str]]]) -> None:
    """Every metric, label and value of an expression exists."""
    names = re.findall(r"\b(syncd_\w+|up)\b", expression)
    assert names, expression
    assert set(names) <= found.keys(), expression
    labels = {label for name in names for label in found[name]}
    for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression):
        assert {label.strip() for label in group.split(",")} <= labels, expression
    for name, matchers in re.findall(r"\b(syncd_\w+|up)\{([^}]*)\}", expression):
        for label, operator, words in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', matchers):
            assert label in found[name], expression
            if words != "$source":
                assert set(words.split("|") if operator == "=~" else [words]) <= found[name][label], expression


async def test_every_metric_label_and_value_of_the_alerts_exists(bench: Bench, site: Site) -> None:
    found = await known(bench, site)
    assert len(rules()) >= 6
    for rule in rules():
        assert_known(rule["expr"], found)
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"].keys() == {"summary", "description"}


async def test_what_is_recorded_is_named_by_level_metric_and_operation_and_tried(bench: Bench, site: Site) -> None:
    found, told = await known(bench, site), Path(__file__).with_name("alerts.yaml").read_text()
    assert len(rules("record")) >= 4
    for rule in rules("record"):
        assert re.fullmatch(r"[a-z_]+:syncd_[a-z_]+:[a-z0-9]+", rule["record"]), rule
        assert_known(rule["expr"], found)
        assert f"expr: {rule['record']}\n" in told, rule["record"]


@trial
@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (apt-get install prometheus)")
def test_every_alert_fires_when_it_should_and_not_before() -> None:
    checked = _promtool("check", "rules", ALERTS)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = _promtool("test", "rules", Path(__file__).with_name("alerts.yaml"))
    assert tested.returncode == 0, tested.stdout + tested.stderr
    told = (Path(__file__).with_name("alerts.yaml")).read_text()
    for rule in rules():
        assert re.search(rf'exp_samples:\n.*alertname="{rule["alert"]}"', told), rule["alert"]


def test_every_number_in_the_text_of_an_alert_is_whole_and_tested() -> None:
    """Prometheus extrapolates: one new record is 1.0434782608695652 new records to it."""
    told = Path(__file__).with_name("alerts.yaml").read_text()
    numbered = 0
    for rule in rules():
        for text in rule["annotations"].values():
            used = text.count("$value")
            numbered += used
            assert used == len(re.findall(r'\{\{ printf "%\.0f" \$value \}\}', text)), rule["alert"]
            assert not used or f"- alertname: {rule['alert']}\n" in told
    assert numbered >= 4


# --- The dashboard ----------------------------------------------------------------------------------------------------


def targets(kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Return title and query of every panel over that kind of data source."""
    found = []
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            assert target["datasource"] == panel["datasource"]
            if target["datasource"]["type"] == kind:
                found.append((panel["title"], target))
    return found


async def test_every_metric_of_the_dashboard_exists(bench: Bench, site: Site, tmp_path: Path) -> None:
    found = await known(bench, site)
    queries = [target["expr"] for _, target in targets("prometheus")]
    assert len(queries) > 10
    for query in queries:
        assert_known(query, found)
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$\{?([a-z]+)", json.dumps(DASHBOARD["panels"]))) == variables
    if PROMTOOL:
        numbered = enumerate(query.replace("$__rate_interval", "5m") for query in queries)
        rules = [{"record": f"r{number}", "expr": query} for number, query in numbered]
        file = tmp_path / "rules.json"
        file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
        checked = await asyncio.to_thread(_promtool, "check", "rules", file)
        assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(("title", "target"), targets("postgres"), ids=[title for title, _ in targets("postgres")])
async def test_every_query_of_the_dashboard_answers_to_a_reader(
    bench: Bench, title: str, target: dict[str, Any]
) -> None:
    bench.sandbox.faults.add("scope-revoked", api="cyclesoftware", stream="platform_keys", times=1)
    for selector in ("shop.customers", "shop.platform_keys"):
        await bench.sync(selector)
    query = target["rawSql"].replace("${source:sqlstring}", "'shop','lease'")
    query = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN now() - interval '1 day' AND now() + interval '1 h'", query)
    query = re.sub(r"\$__timeGroupAlias\((\w+), '1h'\)", r"floor(extract(epoch FROM \1) / 3600) * 3600 AS time", query)
    assert "$" not in query
    async with bench.db.connection() as conn, conn.transaction(readonly=True):
        rows = await conn.fetch(query)
    assert rows, title
    if target["format"] == "time_series":
        assert list(rows[0].keys())[:2] == ["time", "metric"]


def test_the_panels_of_the_dashboard_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in
                 range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
