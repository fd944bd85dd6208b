"""The registry of the APIs that syncd knows: the packages here, and plugins. Each gives a `SOURCE`.

A new package, or a plugin that was installed, is found without any other change. Everybody else gets sources from this
registry.
"""

from collections.abc import Mapping
from functools import cache, partial

from syncd import cookbook
from syncd.config import BudgetConfig, SourceSpec, StreamSpec, by_name
from syncd.contract import Source
from syncd.records.privacy import may_withhold
from syncd.sources import entry_points
from syncd.sources.entry_points import Found, Refused

__all__ = ["Refused", "found", "plugins", "refused", "registry", "reports", "spec_of", "specs"]


@cache
def found() -> Found:
    """Return what is installed; it is looked for once in the life of a process."""
    return entry_points.load(entry_points.installed(), spec_of)


def registry() -> dict[str, Source]:
    """Return every source by its type."""
    return found().sources


def plugins() -> dict[str, Source]:
    """Return the sources that do not come with syncd, by their types."""
    return {type_: source for type_, source in registry().items() if type_ in found().plugins}


def refused() -> dict[str, str]:
    """Return why types of sources that are installed cannot be used, as sentences.

    A type that is served all the same, because another distribution has it too, is not among them.
    """
    return {each.type: each.words for each in found().refused if each.type not in registry()}


def reports() -> cookbook.Shelf:
    """Return the questions of `syncd report`: syncd's own, and those that installed sources bring."""
    return cookbook.collect({type_: each.reports for type_, each in registry().items() if each.reports is not None})


@cache
def specs() -> Mapping[str, SourceSpec]:
    """Return what the configuration may say about each type of source; the same objects in the life of a process."""
    return {source.type: spec_of(source) for source in registry().values()}


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
