"""What README and docs say is true: links, commands, exit codes, the configuration and the queries."""

import re
from pathlib import Path

import pytest

from syncd import cli, config
from syncd.sources import specs
from syncd.storage.postgres.database import Database

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAPERS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/*.md")])


def blocks(language: str) -> list[str]:
    """Return the README's blocks of code in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_every_file_that_a_paper_links_to_exists(paper: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", paper.read_text())
    assert [target for target in targets if not (paper.parent / target).exists()] == []


def test_the_readme_names_every_command_and_no_other() -> None:
    named = re.findall(r"^\| `syncd ([a-z-]+)", README, flags=re.MULTILINE)
    assert sorted(named) == sorted(cli.COMMANDS)


def test_the_readme_starts_with_the_two_commands() -> None:
    assert [line.split()[:2] for line in blocks("sh")[0].splitlines()] == [["make", "demo"], ["make", "test"]]


def test_the_smallest_configuration_of_the_readme_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "p")
    path = tmp_path / "config.toml"
    path.write_text(blocks("toml")[0])
    path.chmod(0o600)
    assert list(config.load(path, specs()).sources) == ["shop"]


async def test_every_query_of_the_readme_runs(db: Database) -> None:
    queries = [query for block in blocks("sql") for query in block.split(";\n") if query.strip()]
    assert len(queries) >= 3
    async with db.connection() as conn:
        for query in queries:
            await conn.fetch(query)
