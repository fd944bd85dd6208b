"""The APIs that the sandbox plays: each is a package here, found without any other change.

A package exports `PREFIX` (of all paths), `CREDENTIALS` (of its one account), `ZONE` (of the API's zone-less times),
`FAMILIES` (its streams) and `open_api`, which returns its endpoints over a world. An API whose records refer to
another's stands after that one in `SEEDED_FIRST`.
"""

import importlib
import pkgutil
from functools import cache
from types import ModuleType

SEEDED_FIRST = ("cyclesoftware", "cyclis", "autengo", "ghs")  # the order decides which records a seed gives


@cache
def packages() -> dict[str, ModuleType]:
    """Return every API's package by its name; those that are not in `SEEDED_FIRST` follow by name."""
    found = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    names = [name for name in SEEDED_FIRST if name in found] + [name for name in found if name not in SEEDED_FIRST]
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}
