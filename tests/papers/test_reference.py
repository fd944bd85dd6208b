"""The generated pages of the reference say what the code says."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from syncd import cli
from syncd.service.web import metrics
from syncd.sources import specs
from tests.papers import commands_page, config_page, man_pages, metrics_page


@pytest.mark.parametrize("generator", [commands_page, config_page, metrics_page], ids=lambda one: one.__name__)
def test_a_generated_page_is_current(generator: object) -> None:
    page, path = generator.page, generator.PAGE  # type: ignore[attr-defined]
    assert page() == path.read_text(), f"write it anew: python -m {generator.__name__}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", man_pages.PAGES)
def test_a_manual_page_is_current_and_well_formed(name: str) -> None:
    path = man_pages.FOLDER / name
    assert man_pages.PAGES[name]() == path.read_text(), "write it anew: python -m tests.papers.man_pages"
    if groff := shutil.which("groff"):
        shown = subprocess.run(  # noqa: S603
            [groff, "-man", "-P-cbou", "-Tutf8", "-ww", path], capture_output=True, text=True, check=True
        )
        assert shown.stderr == ""
        assert {"syncd.1": "--wait-fresh", "syncd-config.5": "live_reserve"}[name] in shown.stdout


def test_the_page_of_commands_names_every_command() -> None:
    named = re.findall(r"^## syncd ([\w-]+)", commands_page.PAGE.read_text(), re.MULTILINE)
    assert list(dict.fromkeys(named)) == list(commands_page.children(cli.cli))


def test_the_page_of_metrics_names_every_metric_that_the_code_names() -> None:
    said = set(re.findall(r'"(syncd_[a-z_]+)"', Path(metrics.__file__).read_text()))
    listed = {metric.name for metric in metrics_page.declared()}
    assert len(said) > 15
    assert said <= listed
    assert len(listed) == len(metrics_page.declared()), "a metric is listed twice"


def test_the_page_of_the_configuration_names_every_source_stream_and_option() -> None:
    page = config_page.PAGE.read_text()
    for spec in specs().values():
        [section] = re.findall(rf'^## type = "{spec.type}"\n(.*?)(?=^## |\Z)', page, re.MULTILINE | re.DOTALL)
        for name in (*spec.options, *spec.streams):
            assert f"`{name}`" in section
        for stream in spec.streams.values():
            for key in (*stream.lookup, *(f"{stream.name}.{option}" for option in stream.options)):
                assert f"`{key}`" in section
