"""Finds the sources that are installed: syncd's own packages, and plugins that declare an entry point.

Both are entry points of one shape (`lightspeed = "syncd_lightspeed:SOURCE"`) and are judged by the same rules. Those of
syncd itself are made from the packages in this folder, and not from its distribution's metadata: a checkout, or a
metadata folder that was left out of a container's image, has the same sources as an installed wheel.

One that cannot be used is refused in a sentence. It costs the other sources nothing.
"""

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import msgspec

from syncd.contract import Source, Table
from syncd.contract.version import misfit

GROUP: Final = "syncd.sources"
"""The group of entry points in which a plugin declares its source."""
OWN: Final = "syncd"
"""The distribution of the sources that come with syncd."""
TYPE: Final = re.compile(r"[a-z][a-z0-9_]{0,23}")
"""A type is the name of a schema, and begins the plugin's revisions, of which the table of versions holds 32 signs."""
TAKEN: Final = frozenset({"syncd", "syncd_queue", "history", "reporting", "public", "information_schema"})
"""Schemas that are of no source."""
TOLD_CHARS: Final = 300
"""Longest text of a plugin's own error that is passed on; our choice."""

T = TypeVar("T")

if TYPE_CHECKING:  # brings in email, csv and zipfile, which costs a command 20 ms: imported where a plugin may be
    from importlib.metadata import EntryPoint


class Point(Protocol):
    """An entry point: a name, and where its object is found."""

    @property
    def name(self) -> str:
        """The name, which is the type of the source."""
        ...

    @property
    def value(self) -> str:
        """Module and object: `syncd_lightspeed:SOURCE`."""
        ...

    @property
    def group(self) -> str:
        """What it is an entry point of."""
        ...

    def load(self) -> Any:
        """Import the module and return the object."""
        ...


class OwnPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The entry point of a package in this folder."""

    name: str
    group: str = GROUP

    @property
    def value(self) -> str:
        """Module and object, as the metadata of a distribution would have them."""
        return f"{__package__}.{self.name}:SOURCE"

    def load(self) -> Any:
        """Import the package and return its source."""
        return importlib.import_module(f"{__package__}.{self.name}").SOURCE


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """An entry point, and the distribution that declares it, with its version."""

    point: Point
    distribution: str

    @property
    def is_own(self) -> bool:
        """Whether it comes with syncd."""
        return self.distribution == OWN


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A source that is installed and cannot be used: `why` ends a sentence that begins with it."""

    type: str
    distribution: str
    why: str

    @property
    def words(self) -> str:
        """The whole sentence."""
        return f"the source type {self.type} (of {self.distribution}) cannot be used: {self.why}"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The sources of this installation by their types, and those that were refused.

    `plugins` names the distribution of each source that does not come with syncd.
    """

    sources: dict[str, Source] = msgspec.field(default_factory=dict)
    plugins: dict[str, str] = msgspec.field(default_factory=dict)
    refused: list[Refused] = msgspec.field(default_factory=list)


def installed() -> list[Declared]:
    """Return what is declared: syncd's own sources first, then those of plugins, by distribution and name."""
    names = sorted(init.parent.name for init in Path(__file__).parent.glob("*/__init__.py"))
    own = [Declared(point=OwnPoint(name=name), distribution=OWN) for name in names]
    return own + (_of_plugins() if _may_hold_plugins(sys.path) else [])


def _of_plugins() -> list[Declared]:
    """Return what other distributions declare, by distribution and name."""
    from importlib import metadata

    plugins = [Declared(point=point, distribution=_distribution(point)) for point in metadata.entry_points(group=GROUP)]
    return sorted(plugins, key=lambda declared: (declared.distribution, declared.point.name))


def _may_hold_plugins(path: Iterable[str]) -> bool:
    """Return False if no folder of the path holds metadata that names our group: most installations have no plugin.

    What is no folder or cannot be read, and a finder of distributions beside Python's own, is left to `metadata`.
    """
    if any(hasattr(finder, "find_distributions") for finder in sys.meta_path if finder is not PathFinder):
        return True
    try:
        return any(map(_names_group, filter(Path.exists, map(Path, path))))
    except OSError:
        return True


def _names_group(folder: Path) -> bool:
    """Return whether the metadata of a distribution in this folder names our group. Raises OSError."""
    with os.scandir(folder) as found:
        kept = [Path(each, "entry_points.txt") for each in found if each.name.endswith((".dist-info", ".egg-info"))]
    return folder.suffix == ".egg" or any(GROUP.encode() in each.read_bytes() for each in kept if each.is_file())


def _distribution(point: "EntryPoint") -> str:
    found = point.dist
    return f"{found.metadata['Name']} {found.version}" if found else "a distribution without a name"


def load(declared: Iterable[Declared], usable: Callable[[Source], object]) -> Found:
    """Import and judge what is declared, in order; the first of two with one type is taken.

    `usable` raises whatever it likes for a source that declares nonsense.
    """
    found = Found()
    for each in declared:
        source = _attempt(each.point.load)
        why = source if isinstance(source, _Failed) else _unfit(each, source, found)
        if why is None and isinstance(source, Source):
            judged = _attempt(lambda source=source: usable(source))  # type: ignore[misc]
            why = judged if isinstance(judged, _Failed) else None
        if why is not None or not isinstance(source, Source):
            found.refused.append(Refused(type=each.point.name, distribution=each.distribution, why=str(why)))
            continue
        found.sources[source.type] = source
        if not each.is_own:
            found.plugins[source.type] = each.distribution
    return found


class _Failed(str):
    """Why something raised."""

    __slots__ = ()


def _attempt(work: Callable[[], T]) -> "T | _Failed":
    """Do what runs a plugin's own lines, which may raise anything, and even exit."""
    try:
        return work()
    except (Exception, SystemExit) as error:  # noqa: BLE001
        told = " ".join(f"{type(error).__name__}: {error}".split())
        return _Failed(f"it failed when it was loaded, with {told[:TOLD_CHARS]}")


def _unfit(declared: Declared, source: object, found: Found) -> str | None:
    """Return why what was loaded cannot be used; None if nothing speaks against it."""
    if not isinstance(source, Source):
        return f"{declared.point.value} is of type {type(source).__name__}, and a syncd.contract.Source is expected"
    if why := misfit(source.contract):
        return why
    name = declared.point.name
    if source.type != name:
        return f"its entry point is called {name} and its source says type={source.type!r}; both must be the same"
    if not TYPE.fullmatch(name) or name in TAKEN or name.startswith("pg_"):
        return "a type is a name of at most 24 small letters, digits and _ that is no schema of syncd or PostgreSQL"
    if name in found.sources:
        return f"the type is taken by {found.plugins.get(name, OWN)}"
    if foreign := [table for table in tables_of(source) if table.schema != name]:
        return f"its table {foreign[0].name} lies in the schema {foreign[0].schema}, and its own schema is {name}"
    if not declared.is_own:
        return _without_migrations(source)
    return None


def _without_migrations(source: Source) -> str | None:
    """Return what is wrong with a plugin's folder of migrations; None if it holds what it should."""
    if source.migrations is None or not source.migrations.is_dir():
        return f"its migrations are no folder: {source.migrations}"
    if not any(source.migrations.glob("*.py")):
        return f"its folder of migrations is empty: {source.migrations}"
    return None


def tables_of(source: Source) -> Sequence[Table]:
    """Return every table of a source, child tables too."""
    tables = [stream.table for stream in source.streams]
    return [*tables, *(child.table for table in tables for child in table.children)]


__all__ = ["Declared", "Found", "Refused", "installed", "load", "tables_of"]
