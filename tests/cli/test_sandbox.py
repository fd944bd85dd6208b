"""`syncd sandbox`: its configuration, and files of others."""

from pathlib import Path

from tests.support.bench import Bench
from tests.support.command import assert_refused, started, syncd, until


async def test_sandbox_prints_a_configuration_that_works_and_ends_at_ctrl_c(shop: Bench, tmp_path: Path) -> None:
    path = tmp_path / "sandbox.toml"
    async with started("sandbox", "--port", "0", "--config", path) as running:
        await until(lambda: path.exists() and bool(path.read_text()))
        path.write_text(f'[database]\nurl = "{shop.db_url}"\n{path.read_text()}')
        assert (await syncd("check", "--config", path)).code == 0
        running.interrupt()
        assert (await running.ended()).code == 0


async def test_sandbox_overwrites_no_configuration_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("# mine\n")
    assert_refused("", await syncd("sandbox", "--port", "0", "--config", path), 2, "not of our making")
    assert path.read_text() == "# mine\n"
