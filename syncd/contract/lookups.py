"""Walks a lookup key by key, within caps: keys that the configuration names, or those that the mirror itself gives.

Some keys are asked for at once; their pages come in order. Where one run ends the next goes on, so that no key waits
for ever. Knows nothing of any API: a source gives `ask`,
which asks for one key, and may declare a Feed.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from syncd.contract.early import in_order
from syncd.contract.errors import BadPayload, BadRequest, UpstreamError
from syncd.contract.toolkit import cursor_time
from syncd.contract.walk import Cursor, Due, Page, Walk
from syncd.frozen import dataclass

IN_A_ROW: Final = 3
"""So many odd answers one after the other speak of the upstream, and not of the keys."""
ASIDE_MAX: Final = 100
"""Most keys of the mirror that are put aside because their answer was odd; our choice."""


@dataclass(frozen=True, kw_only=True)
class Feed:
    """Keys of a lookup stream that the mirror gives, where the configuration names none.

    option    the lookup option whose keys they are
    query     SQL that only reads; `$1` is the source, `$2` the instant. Gives a column `key`, and `at` unless `in_turn`
    reads     streams of the source whose tables the query reads
    in_turn   False: each key is asked for once for each `at`, the oldest first, and once more when everything there is
              was ordered (`Walk.whole`); True: all keys again and again, in turn
    per_day   most keys a day (UTC)
    """

    option: str
    query: str
    reads: tuple[str, ...]
    in_turn: bool
    per_day: int


Ask = Callable[[Walk, str, str], Awaitable[Page]]
"""Asks for the key of an option, and gives what is known of it as one page; its cursor does not matter.

A key that the upstream does not know gives a page that buries its rows. Raises BadRequest for a key that is refused.
"""


class Incomplete(BadPayload):
    """What was asked for a key is not all there is. The page that came counts, and the run fails."""

    def __init__(self, message: str, page: Page) -> None:
        super().__init__(message)
        self.page = page


@dataclass(frozen=True, kw_only=True)
class _Step:
    """One key to ask for, and the cursor that is valid after it."""

    option: str
    key: str
    cursor: Cursor
    is_fed: bool = False


def one_by_one(ask: Ask, *, per_run: int, feed: Feed | None = None) -> Callable[[Walk], AsyncIterator[Page]]:
    """Return the walk of a lookup that asks for at most `per_run` keys in a run.

    A key that is refused, or whose answer is odd, does not keep the others from being asked for; it is told at the end,
    and the run fails. An odd answer to a key of the mirror is asked for again in the next run. Several odd answers one
    after the other end the run at once.
    """

    async def pages(walk: Walk) -> AsyncIterator[Page]:
        named = [(option, str(key)) for option, keys in walk.lookup.items() for key in keys]
        steps = _in_turn(walk, named, per_run) if named or not feed else await _fed(walk, feed, per_run)
        aside = dict.fromkeys(str(key) for key in (walk.cursor or {}).get("aside", ()))
        failed: list[UpstreamError] = []
        odd_in_a_row = 0
        async for step, (page, error) in in_order(steps, partial(_asked, ask, walk), walk.early):
            if error:
                failed.append(error)
            if not isinstance(error, BadPayload):
                odd_in_a_row = odd_in_a_row if error else 0
                aside.pop(step.key, None)
            else:
                odd_in_a_row += 1
                if odd_in_a_row >= IN_A_ROW:
                    raise error
                if step.is_fed and len(aside) < ASIDE_MAX:
                    aside[step.key] = None
            cursor = {**step.cursor, "aside": list(aside)} if aside else step.cursor
            yield replace(page, cursor=cursor, total=len(steps))
        if not steps:
            yield Page(records=[], cursor=walk.cursor, requested_at=walk.now())
        if failed:
            told = f"{len(failed)} of {len(steps)} keys gave no record, the first: {failed[0]}"
            raise BadRequest(told, hint=failed[0].hint, status=failed[0].status)

    return pages


async def _asked(ask: Ask, walk: Walk, step: _Step) -> tuple[Page, BadRequest | BadPayload | None]:
    """Ask for one key; return its page, which is empty where the key was refused or the answer odd, and the error."""
    empty = Page(records=[], cursor=None, requested_at=walk.now())
    try:
        return await ask(walk, step.option, step.key), None
    except Incomplete as error:
        return error.page, error
    except (BadRequest, BadPayload) as error:
        return empty, error


def _in_turn(walk: Walk, named: Sequence[tuple[str, str]], per_run: int) -> list[_Step]:
    """Return the steps for keys of the configuration: those after the key that was asked for last, and round again."""
    after = tuple((walk.cursor or {}).get("after") or ())
    start = named.index(after) + 1 if after in named else 0
    turned = [*named[start:], *named[:start]]
    if len(named) > per_run:
        walk.note(f"{per_run} of {len(named)} keys are asked for in this run; the next runs ask for the others")
    return [_Step(option=option, key=key, cursor={"after": [option, key]}) for option, key in turned[:per_run]]


async def _fed(walk: Walk, feed: Feed, per_run: int) -> list[_Step]:
    """Return the steps for keys of the mirror, as far as the caps allow: first what is due, then what was put aside."""
    cursor = walk.cursor or {}
    today = walk.now().date().isoformat()
    asked = int(cursor.get("asked", 0)) if cursor.get("day") == today else 0
    room = min(per_run, feed.per_day - asked)
    if room <= 0:
        walk.note(f"{feed.per_day} keys were asked for today, which is the most; the others wait for tomorrow")
        return []
    place: Any = cursor.get("fed")
    last = _due_of(place)
    due = list(await walk.due(last, room))
    if last and (feed.in_turn or walk.whole):
        known = {each.key for each in due}
        due += [each for each in await walk.due(None, room - len(due)) if each.key not in known]
    steps: list[_Step] = []
    for each in due:
        place = {"key": each.key} if each.at is None else {"key": each.key, "at": each.at.isoformat()}
        at = {"fed": place, "day": today, "asked": asked + len(steps) + 1}
        steps.append(_Step(option=feed.option, key=each.key, cursor=at, is_fed=True))
    known = {each.key for each in due}
    for key in [str(key) for key in cursor.get("aside", ()) if str(key) not in known][: room - len(due)]:
        at = {**({"fed": place} if place else {}), "day": today, "asked": asked + len(steps) + 1}
        steps.append(_Step(option=feed.option, key=key, cursor=at, is_fed=True))
    return steps


def _due_of(place: Any) -> Due | None:
    """Read the place in the feed that a cursor holds."""
    if not place:
        return None
    return Due(key=str(place["key"]), at=cursor_time(place["at"]) if "at" in place else None)
