"""The registry of the APIs that syncd knows: the packages here, and plugins. Each gives a `SOURCE`.

A new package, or a plugin that was installed, is found without any other change. Everybody else gets sources from this
registry. A package is imported when its type is first asked for.
"""

from collections.abc import Mapping
from functools import cache, partial
from typing import TYPE_CHECKING

from syncd.config import BudgetConfig, SourceSpec, StreamSpec, by_name
from syncd.contract import Source
from syncd.records.privacy import may_withhold
from syncd.sources import entry_points
from syncd.sources.by_type import ByType
from syncd.sources.entry_points import Declared, Found, Refused

if TYPE_CHECKING:
    from syncd.cookbook import Shelf

__all__ = ["Refused", "found", "plugins", "refused", "refused_plugins", "registry", "reports", "spec_of", "specs"]


@cache
def _declared() -> Mapping[str, list[Declared]]:
    """Return what is declared for each type; it is looked for once in the life of a process."""
    declared: dict[str, list[Declared]] = {}
    for each in entry_points.installed():
        declared.setdefault(each.point.name, []).append(each)
    return declared


@cache
def _found(type_: str) -> Found:
    """Import and judge the sources that are declared for one type."""
    return entry_points.load(_declared()[type_], spec_of)


def found() -> Found:
    """Import every source, and return those that can be used and those that were refused."""
    each = [_found(type_) for type_ in _declared()]
    return Found(
        sources=dict(registry()),
        plugins={type_: name for one in each for type_, name in one.plugins.items()},
        refused=[refused for one in each for refused in one.refused],
    )


def refused_plugins() -> list[Refused]:
    """Return the plugins that cannot be used. Of the types that only come with syncd nothing is imported."""
    by_others = [type_ for type_, each in _declared().items() if not all(one.is_own for one in each)]
    return [refused for type_ in by_others for refused in _found(type_).refused]


@cache
def registry() -> Mapping[str, Source]:
    """Return every source by its type."""
    return ByType(_declared(), lambda type_: _found(type_).sources.get(type_))


def plugins() -> dict[str, Source]:
    """Return the sources that do not come with syncd, by their types."""
    return {type_: registry()[type_] for type_ in found().plugins}


@cache
def refused() -> Mapping[str, str]:
    """Return why types of sources that are installed cannot be used, as sentences.

    A type that is served all the same, because another distribution has it too, is not among them.
    """
    return ByType(_declared(), _why_refused)


def _why_refused(type_: str) -> str | None:
    found = _found(type_)
    return found.refused[-1].words if found.refused and type_ not in found.sources else None


def reports() -> "Shelf":
    """Return the questions of `syncd report`: syncd's own, and those that installed sources bring."""
    from syncd import cookbook  # most commands ask no questions

    return cookbook.collect({type_: each.reports for type_, each in registry().items() if each.reports is not None})


@cache
def specs() -> Mapping[str, SourceSpec]:
    """Return what the configuration may say about each type of source; the same objects in the life of a process."""
    return ByType(_declared(), _spec)


@cache
def _spec(type_: str) -> SourceSpec | None:
    source = registry().get(type_)
    return spec_of(source) if source else None


def spec_of(source: Source) -> SourceSpec:
    """Return what the configuration may say about a source."""
    return SourceSpec(
        type=source.type,
        base_url=source.base_url,
        example_name=source.example_name or source.type,
        options=by_name(source.options),
        timeouts=source.timeouts,
        budget=BudgetConfig(per_minute=source.per_minute, per_day=source.per_day),
        streams={
            stream.name: StreamSpec(
                name=stream.name,
                every_s=None if stream.is_pushed else stream.every_s,
                sweep_s=stream.sweep_s,
                is_on=stream.is_on,
                is_pushed=stream.is_pushed,
                lookup=stream.lookup,
                is_fed=stream.feed is not None,
                options=by_name(stream.options),
                may_withhold=partial(may_withhold, stream.table),
            )
            for stream in source.streams
        },
    )
