"""The kit catches what it is for: a plugin that is right but for one mistake fails the test that names the mistake.

The plugin is the one that `syncd new-source` writes, and as written it passes. All mutants run in one process of their
own, in which it is installed; each runs the test that must catch it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from syncd.cli.commands.new_source import write
from tests.support.plugged import plug_in, run_tests
from tests.support.search import trial

NAME = "tills"


@dataclass(frozen=True)
class Mutant:
    """One mistake: in which file, what stands there, what the careless wrote instead; which test must say what."""

    mistake: str
    test: str
    says: str
    before: str
    after: str
    file: str = "__init__.py"

    @property
    def package(self) -> str:
        return self.mistake.replace(" ", "_").replace(",", "")


WALK_ASKS = '        answer = await walk.upstream.request("GET", "/things", params=params)\n'
DONE = '        done = {"since": max(began_at, since or began_at).isoformat()}\n'
ENDS_EMPTY = (
    "            yield Page(records=[], cursor={}, requested_at=walk.now(), scope=Scope(), whole_walk=True)\n"
    "            return\n"
)
GOES_AROUND = """
        def around() -> None:
            import urllib.request

            key = {"X-Api-Key": API_KEY.of(walk.options).reveal()}
            urllib.request.urlopen(urllib.request.Request(walk.base_url + "/things?after=0", headers=key)).read()

        await __import__("asyncio").to_thread(around)
"""
MUTANTS = (
    Mutant("skips the overlap", "test_a_change_that_comes_late_is_seen", "became visible 30 s late",
           "since - overlap_of(walk)", "since"),
    Mutant("trusts the newest time of the data", "test_a_record_from_the_future_hides_nothing", "from the future",
           DONE,
           '        times = [str(scalar(members(record).get("updated_at")) or "") for record in records]\n'
           '        done = {"since": max([cursor.get("since", ""), *times]) or began_at.isoformat()}\n'),
    Mutant("buries on a partial listing", "test_a_run_that_is_cut_short_is_made_good", "rows were buried",
           WALK_ASKS,
           "        try:\n    " + WALK_ASKS + "        except Exception:\n" + ENDS_EMPTY),
    Mutant("takes a 404 for an empty list", "test_no_fault_loses_a_row", "not-found-list, live: the run says ok and",
           WALK_ASKS,
           "        try:\n    " + WALK_ASKS
           + "        except __import__('syncd.contract.errors').contract.errors.NotFound:\n"
           '            yield Page(records=[], cursor={"since": walk.now().isoformat()}, requested_at=walk.now())\n'
           "            return\n"),
    Mutant("leaks the key into the address", "test_no_secret_is_told", "URL of a request",
           '("after", str(after)), ', '("after", str(after)), ("key", API_KEY.of(walk.options).reveal()), '),
    Mutant("loses an unknown field", "test_odd_values_and_unknown_fields_are_kept", "unheard_of",
           DONE,
           DONE + "        import json\n"
           '        known = ("id", "name", "price", "updated_at")\n'
           "        records = [json.dumps({n: json.loads(r).get(n) for n in known}).encode() for r in records]\n"),
    Mutant("rounds a price", "test_odd_values_and_unknown_fields_are_kept|test_a_first_run_mirrors_everything", "price",
           DONE,
           DONE + "        import json\n"
           '        whole = [json.loads(r) for r in records]\n'
           '        records = [json.dumps({**r, "price": round(r["price"])}).encode() for r in whole]\n'),
    Mutant("goes on a page too far", "test_a_run_that_is_cut_short_is_made_good", "cut at request",
           'so_far = {"after": following,', 'so_far = {"after": following and following + 4,'),
    Mutant("goes on with the question of another run", "test_a_run_that_is_cut_short_is_made_good", "cut at request",
           '"began_at": began_at.isoformat()}', '"began_at": walk.now().replace(year=2099).isoformat()}'),
    Mutant("goes around the budget", "test_the_budget_is_kept", "and the upstream got",
           WALK_ASKS, GOES_AROUND + WALK_ASKS),
    Mutant("counts rows that it has seen", "test_a_shifting_list_loses_no_row", "missed while the list moved",
           WALK_ASKS + "        records, following = _page_of(answer, after)\n",
           WALK_ASKS.replace("params=params", 'params=[("offset", str(after)), *params[1:]]')
           + "        records, following = _page_of(answer, -1)\n"
           "        following = following and after + len(records)\n"),
    Mutant("expects a field that is not sent", "test_a_first_run_mirrors_everything", "that the sandbox never sends",
           'column("name", TEXT, "Name"),', 'column("name", TEXT, "Name", "title"),'),
    Mutant("imports what may change", "test_it_imports_the_contract_only", "imports syncd.config",
           "from typing import Any\n", "from typing import Any\n\nfrom syncd.config import Secret  # noqa: F401\n"),
    Mutant("says a column is personal that is not there", "test_what_it_declares_is_sound", "no column nickname",
           'key=("thing_id",),', 'key=("thing_id",),\n    personal=("nickname",),'),
    Mutant("makes a column of another type", "test_its_migrations_make_what_it_declares", "price",
           "price NUMERIC,", "price BIGINT,", file="migrations/0001_tills.py"),
    Mutant("asks for a column that is not there", "test_its_reports_are_answered", 'column "cost" does not exist',
           "ORDER BY price", "ORDER BY cost", file="reports/tills_dearest.sql"),
    Mutant("asks a question that has no title", "test_its_reports_are_answered", "must begin with `-- about",
           "-- question: ", "-- ", file="reports/tills_dearest.sql"),
    Mutant("leaves old versions behind", "test_its_migrations_make_what_it_declares", "leaves history.tills_things",
           '        execute(f"DROP TABLE history.tills_{table}")', "        pass", file="migrations/0001_tills.py"),
)  # fmt: skip


def planted(folder: Path, mutant: Mutant) -> None:
    """Write a mutant as a package of its own."""
    package = folder / mutant.package
    original = folder / f"syncd_{NAME}"
    for path in (path for path in original.rglob("*.*") if path.suffix in (".py", ".sql")):
        text = path.read_text("utf-8")
        place = path.relative_to(original).as_posix()
        if place == mutant.file:
            assert text.count(mutant.before) == 1, f"{mutant.mistake}: {text.count(mutant.before)} places to mutate"
            text = text.replace(mutant.before, mutant.after)
        target = package / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The folder that `syncd new-source` writes, as if its plugin were installed."""
    folder = tmp_path / "plugin"
    write(folder, NAME)
    plug_in(folder, NAME)
    return folder


@trial
async def test_what_is_written_passes_at_once(plugin: Path) -> None:
    code, told = await run_tests(plugin, "-k", "not no_fault")
    assert code == 0, told[-3000:]
    assert re.search(r"\b(1[6-9]|20) passed", told), told[-300:]


@pytest.mark.acceptance  # a minute or two: each mutant walks until its test has caught it
@pytest.mark.timeout(900)
async def test_what_is_written_outlives_every_fault(plugin: Path) -> None:
    code, told = await run_tests(plugin, "-k", "no_fault")
    assert code == 0, told[-3000:]


@pytest.mark.acceptance
@pytest.mark.timeout(900)
async def test_every_mutant_is_killed_by_the_test_that_names_its_mistake(plugin: Path) -> None:
    sandbox = plugin / f"syncd_{NAME}/sandbox.py"
    by_offset = 'rest = sorted(keys)[ask.number("offset", 0) :] if "offset" in ask.query else sorted('
    sandbox.write_text(sandbox.read_text().replace("rest = sorted(", by_offset, 1))
    lines = ["from importlib import import_module", "from syncd.testing import Kit"]
    chosen = []
    for number, mutant in enumerate(MUTANTS):
        planted(plugin, mutant)
        lines += [f"class Test{number}(Kit):", f"    source = import_module({mutant.package!r}).SOURCE"]
        chosen += [f"tests/test_mutants.py::Test{number}::{test}" for test in mutant.test.split("|")]
    (plugin / "tests/test_mutants.py").write_text("\n".join(lines) + "\n")
    _, told = await run_tests(plugin, *chosen)
    alive = []
    for number, mutant in enumerate(MUTANTS):
        parts = re.split(rf"_+ Test{number}\.test_\w+(?:\[[^\]]*\])? _+\n", told)[1:]
        texts = [re.split(r"\n_{5,} |\n=+ ", part)[0] for part in parts]
        if not any(re.search(mutant.says, text) for text in texts):
            alive.append(f"{mutant.mistake}: {[text[-300:] for text in texts]}")
    assert not alive, "\n".join([*alive, told[-3000:]])
