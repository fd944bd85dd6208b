"""The example of a plugin passes its own tests, among them the whole kit."""

import shutil
from pathlib import Path

import pytest

from tests.support.plugged import plug_in, run_tests

EXAMPLE = Path(__file__).parents[2] / "examples/syncd-shopify"


@pytest.mark.acceptance  # a minute or two: every fault strikes both of its streams
@pytest.mark.timeout(900)
async def test_the_example_passes(tmp_path: Path) -> None:
    folder = tmp_path / "plugin"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    plug_in(folder, "shopify")
    code, told = await run_tests(folder)
    assert code == 0, told[-3000:]
