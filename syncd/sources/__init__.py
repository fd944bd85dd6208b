"""The registry of the APIs that syncd knows: each is a package here that exports `SOURCE`.

A new package is found without any other change. Everybody else gets sources from this registry.
"""

import importlib
import pkgutil
from functools import cache, partial

from syncd.config import SourceSpec, StreamSpec, by_name
from syncd.contract import Source
from syncd.records.privacy import may_withhold


@cache
def registry() -> dict[str, Source]:
    """Return every source by its type."""
    packages = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    found = [importlib.import_module(f"{__name__}.{name}").SOURCE for name in packages]
    return {source.type: source for source in found}


def specs() -> dict[str, SourceSpec]:
    """Return what the configuration may say about each type of source."""
    return {
        source.type: SourceSpec(
            type=source.type,
            base_url=source.base_url,
            example_name=source.example_name or source.type,
            options=by_name(source.options),
            streams={
                stream.name: StreamSpec(
                    name=stream.name,
                    every_s=stream.every_s,
                    sweep_s=stream.sweep_s,
                    is_on=stream.is_on,
                    lookup=stream.lookup,
                    options=by_name(stream.options),
                    may_withhold=partial(may_withhold, stream.table),
                )
                for stream in source.streams
            },
        )
        for source in registry().values()
    }
