"""The configuration of a running service: read again when somebody asks, and its accounts when their query is due.

Owns which configuration counts, and what is told of a new one or of one that is refused. What a new one changes in the
running service is done by the daemon, through `apply`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from syncd import config as configuration
from syncd import log
from syncd.config import Config
from syncd.errors import Defect, SyncdError
from syncd.service import accounts
from syncd.service.callbacks import receiver
from syncd.service.notices import Notices, tell_left_out
from syncd.service.process import memory
from syncd.service.process.background import Background
from syncd.service.process.systemd import Notifier
from syncd.sources import registry

UNASKED_S: Final = 60.0
"""How often is looked whether a reload brought a query for accounts; our choice."""
LATE: Final = ("database", "http", "callback_listen", "scale")
"""Parts of the configuration that only count after a restart."""

_log = log.get(__name__)


class Reload:
    """The configuration that counts, and how another one takes its place.

    `apply` makes the service go on under a new configuration. `changed` is called when the status is another one.
    """

    def __init__(
        self, config: Config, load: Callable[[], Config], *, logs: bool, background: Background, notices: Notices,
        notifier: Notifier, apply: Callable[[Config], Awaitable[None]], changed: Callable[[], None],
    ) -> None:  # fmt: skip
        self.config = config
        self.refusal: SyncdError | None = None
        """Why the last reload was refused; None once one was taken."""
        self._load, self._logs = load, logs
        self._background, self._notices, self._notifier = background, notices, notifier
        self._apply, self._changed = apply, changed
        self._listens = bool(receiver.sources(config, registry()))
        self._begun = self._again = self._ask_again = False

    def begin(self) -> None:
        """Take configurations from now on, also the one that was asked for before."""
        self._begun = True
        self._background.spawn("accounts", self._follow_accounts)
        if self._again:
            self.soon()

    def soon(self) -> None:
        """Read the configuration again, once more if it is just being read."""
        self._again = True
        self._work()

    async def now(self) -> SyncdError | None:
        """Read the configuration again, and return why it was refused."""
        self.soon()
        await self._background.ended("reload")
        return self.refusal

    def _work(self) -> None:
        if self._begun and "reload" not in self._background:
            self._background.spawn("reload", self._reload)

    async def _follow_accounts(self) -> None:
        """Ask the query for accounts again and again, until the end; the files are read again by a reload only."""
        while True:
            asked = self.config.sources_from
            await asyncio.sleep(asked.every_s if asked else UNASKED_S)
            if asked and self.config.sources_from and "database" not in self._background:
                self._ask_again = True
                self._work()

    async def _reload(self) -> None:
        """Take the configuration if it is good; keep the old one if it is not."""
        while self._again or self._ask_again:
            is_whole, self._again, self._ask_again = self._again, False, False
            if is_whole:
                self._notifier.reloading()
            before = self.config
            load = self._load if is_whole else partial(accounts.with_accounts, before)
            refuse = self._refuse if is_whole else self._refuse_accounts
            try:
                config = await asyncio.wrap_future(accounts.beside(partial(accounts.digested, load, before)))
            except SyncdError as error:
                refuse(error)
                continue
            except Exception as error:  # noqa: BLE001  a bug of ours must not leave the reload under way for ever
                refuse(Defect(error))
                continue
            if config is not before:
                await self._take(config, told={} if is_whole else before.left_out)
                await asyncio.to_thread(memory.give_back)
            self._notices.settle("accounts_refused")
            if is_whole:
                self.refusal = None
                self._notices.settle("config_refused")
                self._notifier.send("READY=1", "STATUS=configuration reloaded")

    def _refuse_accounts(self, error: SyncdError) -> None:
        """Keep the accounts before, and say so until the query gives some; it is logged once."""
        if not any(notice.what == "accounts_refused" for notice in self._notices.all()):
            _log.error("accounts_refused", error=str(error), hint=error.hint, kept="the accounts before")
        self._notices.put(
            "accounts_refused", SyncdError(f"the accounts could not be asked for: {error}", hint=error.hint)
        )
        self._changed()

    def _refuse(self, error: SyncdError) -> None:
        """Keep the configuration before, and say so until a good one is taken."""
        self.refusal = error
        self._notices.put("config_refused", SyncdError(f"the configuration was refused: {error}", hint=error.hint))
        self._changed()
        _log.error("config_refused", error=str(error), hint=error.hint, kept="the configuration before")
        self._notifier.send("READY=1", f"STATUS=the configuration was refused, the one before is kept: {error}")

    async def _take(self, new: Config, *, told: Mapping[str, str]) -> None:
        """Go on under a new configuration; what is left out for the reason in `told` is not told again."""
        old = self.config
        await self._apply(new)
        self.config = new
        if self._logs and new.log != old.log:
            log.configure(new.log.format, new.log.level)
        tell_left_out(new, told)
        for key in self._late(old, new):
            _log.warning("config_needs_restart", key=key, hint="This part of the change counts after a restart.")
        self._changed()
        added, removed, changed, streams = await asyncio.to_thread(_compared, old, new)
        _log.info("config_reloaded", added=added, removed=removed, changed=changed, streams=streams)

    def _late(self, old: Config, new: Config) -> list[str]:
        """Return the keys whose change only counts after a restart."""
        late = [key for key in LATE if getattr(new, key) != getattr(old, key)]
        return [*late, "callbacks"] if receiver.sources(new, registry()) and not self._listens else late


def _compared(old: Config, new: Config) -> tuple[list[str], list[str], list[str], int]:
    """Return the sources that came, went and changed, and how many streams are on; 50,000 accounts take a while."""
    return (
        sorted(new.sources.keys() - old.sources.keys()),
        sorted(old.sources.keys() - new.sources.keys()),
        sorted(name for name in new.sources.keys() & old.sources.keys() if new.sources[name] != old.sources[name]),
        configuration.count_on(new),
    )
