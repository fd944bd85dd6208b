"""What an operator may do from the status page, and the audit of it. Knows no page and no token.

Each action writes its row of `syncd.audit` in the transaction of what it does. A run is started after its row is
written, so that nothing is done that the audit does not know.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import asyncpg

from syncd import config as configuration
from syncd import log
from syncd.clock import Clock
from syncd.config import Config
from syncd.config.duration import spoken
from syncd.errors import UsageError
from syncd.status import Pair
from syncd.storage.postgres.database import Database
from syncd.storage.state import operators
from syncd.storage.state.operators import Acknowledgement, Deed

Action = Literal["acknowledge", "mute", "withdraw", "sync", "pause", "resume"]
ACTIONS: Final[tuple[Action, ...]] = ("acknowledge", "mute", "withdraw", "sync", "pause", "resume")
MUTE_MAX_S: Final = 30 * 86_400.0
"""Nothing is muted for longer: what nobody wants to hear of for a month should be mended or turned off."""
SUBJECT_CHARS: Final = 200
ACTOR_CHARS: Final = 100
OPERATOR: Final = "operator"
"""Who acted, where no proxy names them."""

_log = log.get(__name__)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an operator asks for; `subject` is the key of a cause, or a source or stream; `for_s` is for `mute`."""

    action: Action
    subject: str
    actor: str = OPERATOR
    for_s: float | None = None


class Operations:
    """Does what operators ask for.

    `run_now` hears which streams to run, and raises DatabaseUnavailable while there is no timetable yet. `follow` hears
    which streams are paused in all, `changed` that the status is another now.
    """

    def __init__(
        self,
        *,
        config: Callable[[], Config],
        database: Callable[[], Database],
        clock: Clock,
        run_now: Callable[[Collection[Pair]], None],
        follow: Callable[[Collection[Pair]], None] = lambda _pairs: None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._database = database
        self._clock = clock
        self._run_now = run_now
        self._follow = follow
        self._changed = changed

    async def act(self, asked: Asked) -> str:
        """Do it, and return what was done in words. Raises UsageError for what makes no sense, and DatabaseError."""
        now = self._clock()
        if asked.action in ("acknowledge", "mute", "withdraw"):
            words = await self._judge(asked, now)
        else:
            words = await self._steer(asked, now)
        self._changed()
        _log.info("operator_acted", action=asked.action, subject=asked.subject, actor=asked.actor, result=words)
        return words

    async def paused(self) -> Collection[Pair]:
        """Return the streams that are paused. Raises DatabaseError."""
        async with self._database().connection() as conn:
            return (await operators.pauses(conn)).keys()

    async def follow(self) -> None:
        """Hand over which streams are paused, also by another daemon's page. Raises DatabaseError."""
        self._follow(await self.paused())

    async def _judge(self, asked: Asked, now: datetime) -> str:
        """Acknowledge or mute a cause, or withdraw that."""
        if not 0 < len(asked.subject) <= SUBJECT_CHARS:
            raise UsageError("expected the name of what needs a look", hint="the status page shows its buttons")
        until = None
        if asked.action == "mute":
            if asked.for_s is None or not 0 < asked.for_s <= MUTE_MAX_S:
                raise UsageError(f"expected how long to mute it, {spoken(MUTE_MAX_S)} at most, such as for=8h")
            until = now + timedelta(seconds=asked.for_s)
        words = {
            "acknowledge": "acknowledged until it is over",
            "mute": f"muted for {spoken(asked.for_s or 0)}",
            "withdraw": "told again",
        }[asked.action]
        async with self._database().transaction() as conn:
            if asked.action == "withdraw":
                await operators.withdraw(conn, asked.subject)
            else:
                await operators.acknowledge(
                    conn,
                    Acknowledgement(
                        cause=asked.subject, acknowledged_at=now, muted_until=until, actor=asked.actor
                    ),
                )  # fmt: skip
            await self._note(conn, asked, now, words)
        return f"{asked.subject}: {words}"

    async def _steer(self, asked: Asked, now: datetime) -> str:
        """Run, pause or resume streams."""
        if not re.fullmatch(r"[\w.-]+", asked.subject):  # no pattern: whoever acts names what they act on
            raise UsageError("expected the name of a source or stream, such as shop or shop.customers")
        pairs = configuration.select(self._config(), [asked.subject])
        if asked.action == "sync":
            return await self._sync(asked, pairs, now)
        words = "paused" if asked.action == "pause" else "resumed"
        async with self._database().transaction() as conn:
            if asked.action == "pause":
                await operators.pause(conn, pairs, now, asked.actor)
            else:
                await operators.resume(conn, pairs)
            await self._note(conn, asked, now, words)
        await self.follow()
        return f"{asked.subject}: {words}"

    async def _sync(self, asked: Asked, pairs: Sequence[Pair], now: datetime) -> str:
        self._run_now(())  # raises where nothing can run yet, before anything is noted
        async with self._database().transaction() as conn:
            paused = await operators.pauses(conn)
            free = [pair for pair in pairs if pair not in paused]
            if not free:
                raise UsageError(f"{asked.subject} is paused", hint="Resume it first.")
            words = "runs now" if len(pairs) == 1 else f"{len(free)} streams run now"
            await self._note(conn, asked, now, words)
        self._run_now(free)
        return f"{asked.subject}: {words}"

    @staticmethod
    async def _note(conn: asyncpg.Connection, asked: Asked, now: datetime, words: str) -> None:
        deed = Deed(at=now, actor=asked.actor, action=asked.action, subject=asked.subject, details=words)
        await operators.note(conn, deed)
