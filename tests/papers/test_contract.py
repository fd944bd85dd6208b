"""The contract for plugins only grows within a major version, and its page knows the version."""

import inspect
import json
import re
from importlib import import_module
from pathlib import Path

from syncd import contract
from tests.papers.contract_names import PLACE, promised

PAGE = (Path(__file__).parents[2] / "docs/contract.md").read_text()


def lost(before: dict[str, dict[str, dict[str, bool] | None]]) -> list[str]:
    """Return what a plugin may have built on that is gone, and what it would have to give anew."""
    now, found = promised(), list[str]()
    for module, names in before.items():
        for name, parameters in names.items():
            there = now.get(module, {})
            if name not in there:
                found.append(f"{module}.{name} is gone")
                continue
            given = there[name] or {}
            found += [f"{module}.{name} takes no {each} any more" for each in parameters or {} if each not in given]
            new = given.keys() - (parameters or {}).keys() if parameters is not None else set()
            found += [f"{module}.{name} needs {each} now" for each in sorted(new) if given[each]]
    return found


def test_nothing_that_was_promised_is_gone() -> None:
    before = json.loads(PLACE.read_text())
    assert len(before["syncd.contract"]) > 30
    assert lost(before) == [], (
        "plugins break: give the name back, or raise the major number of syncd.contract.VERSION"
        " (before its release: python -m tests.papers.contract_names)"
    )


def test_what_is_gone_is_seen() -> None:
    before = json.loads(PLACE.read_text())
    names = before["syncd.contract"]
    names["Gone"] = None
    names["Page"]["old"] = False
    del names["Page"]["records"]
    assert lost(before) == [
        "syncd.contract.Page takes no old any more",
        "syncd.contract.Page needs records now",
        "syncd.contract.Gone is gone",
    ]


def test_the_page_knows_the_version() -> None:
    assert contract.VERSION in re.findall(r"^\| (\d+\.\d+) \|", PAGE, re.MULTILINE)


def test_every_promised_class_and_function_says_what_it_is() -> None:
    silent = [
        f"{module}.{name}"
        for module, names in promised().items()
        for name in names
        if (inspect.isclass(value := getattr(import_module(module), name)) or inspect.isfunction(value))
        and not (value.__doc__ or "").strip()
    ]
    assert silent == []
