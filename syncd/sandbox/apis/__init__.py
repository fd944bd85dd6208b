"""The APIs that the sandbox plays: each is a package here, or a module that a plugin declares as an entry point.

    [project.entry-points."syncd.sandbox"]
    lightspeed = "syncd_lightspeed.sandbox"

It exports `PREFIX` (of all paths), `CREDENTIALS` (of its one account), `ZONE` (of the API's zone-less times),
`FAMILIES` (its streams) and `open_api`, which returns its endpoints over a world. An API whose records refer to
another's stands after that one in `SEEDED_FIRST`.
"""

import importlib
import importlib.metadata
import pkgutil
import warnings
from functools import cache
from types import ModuleType

SEEDED_FIRST = ("cyclesoftware", "cyclis", "autengo", "ghs")  # the order decides which records a seed gives
GROUP = "syncd.sandbox"  # of the entry points of plugins
EXPORTS = ("PREFIX", "CREDENTIALS", "ZONE", "FAMILIES", "open_api")


@cache
def packages() -> dict[str, ModuleType]:
    """Return every API's module by its name; those that are not in `SEEDED_FIRST` follow by name, plugins at the end.

    A plugin's that cannot be used is left out with a warning.
    """
    found = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    names = [name for name in SEEDED_FIRST if name in found] + [name for name in found if name not in SEEDED_FIRST]
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: point.name):
        if point.name in modules:
            _warn(point.name, "the name is taken")
            continue
        try:
            module = point.load()
            lacking = [name for name in EXPORTS if not hasattr(module, name)]
        except Exception as error:  # noqa: BLE001  (a plugin's module may raise anything)
            _warn(point.name, f"{type(error).__name__}: {error}")
            continue
        if lacking:
            _warn(point.name, f"{point.value} does not export {', '.join(lacking)}")
        else:
            modules[point.name] = module
    return modules


def _warn(name: str, why: str) -> None:
    warnings.warn(f"the sandbox leaves out the API {name} of a plugin: {why}", RuntimeWarning, stacklevel=3)
