"""What is wrong with the service itself and lasts: told once in the log, and shown until it is mended."""

from collections.abc import Mapping
from datetime import datetime

from syncd import log
from syncd.clock import utc_now
from syncd.config import Config
from syncd.errors import SyncdError
from syncd.sources import refused_plugins
from syncd.status import Notice

_log = log.get(__name__)


class Notices:
    """The notices of one life of the service, by the event that told of each."""

    def __init__(self) -> None:
        self._standing: dict[str, Notice] = {}

    def put(self, what: str, error: SyncdError, *, at: datetime | None = None) -> None:
        """Show what is wrong, in the place of an earlier notice of the same kind."""
        text, hint = log.mask(str(error)), log.mask(error.hint)
        self._standing[what] = Notice(at=at or utc_now(), what=what, text=text, hint=hint)

    def settle(self, what: str) -> None:
        """Show it no longer; harmless if it was not shown."""
        self._standing.pop(what, None)

    def all(self) -> list[Notice]:
        """Return what stands, oldest first."""
        return list(self._standing.values())


def tell_left_out(config: Config, before: Mapping[str, str] = {}) -> None:
    """Log which plugins cannot be used, and which sources are left out, but those that were for the same reason."""
    plugins = refused_plugins()
    for each in plugins:
        sources = [name for name, why in config.left_out.items() if why == each.words]
        _log.warning(
            "plugin_refused", type=each.type, distribution=each.distribution, error=each.words, sources=sources
        )
    told = {each.words for each in plugins}
    for name, why in config.left_out.items():
        if why not in told and before.get(name) != why:
            _log.warning("source_left_out", source=name, error=why)
