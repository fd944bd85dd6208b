"""Writes the names that the contract promises to plugins, with their parameters: tests/papers/contract_1.json.

    python -m tests.papers.contract_names

Within one major version it may only grow; until that version is released, a name may still be replaced.
"""

import inspect
import json
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

PLACE = Path(__file__).parent / "contract_1.json"
MODULES = (
    "", "auth", "errors", "links", "lookups", "options", "paging", "schema", "second_ways", "toolkit", "webhooks",
    "windows",
)  # fmt: skip
READERS = "syncd.records.readers"


def promised() -> dict[str, dict[str, Any]]:
    """Return each name, by its module, with its parameters and whether one must be given."""
    modules = [import_module(f"syncd.contract.{name}".rstrip(".")) for name in MODULES] + [import_module(READERS)]
    return {module.__name__: _names(module) for module in modules}


def _names(module: ModuleType) -> dict[str, Any]:
    listed = getattr(module, "__all__", None)
    names = listed or [name for name, value in vars(module).items() if _is_own(module, name, value)]
    return {name: _parameters(getattr(module, name)) for name in sorted(names)}


def _is_own(module: ModuleType, name: str, value: Any) -> bool:
    is_here = getattr(value, "__module__", module.__name__) == module.__name__ and not inspect.ismodule(value)
    return is_here and not name.startswith("_") and (callable(value) or name.isupper())


def _parameters(value: Any) -> dict[str, bool] | None:
    """Return whether each parameter of a class or function must be given; None for a value."""
    if is_dataclass(value):
        return {
            field.name: field.default is MISSING and field.default_factory is MISSING
            for field in fields(value)
            if field.init
        }
    if inspect.isfunction(value):
        return {name: each.default is each.empty for name, each in inspect.signature(value).parameters.items()}
    return None


if __name__ == "__main__":
    PLACE.write_text(json.dumps(promised(), indent=1, sort_keys=True) + "\n", "utf-8")
