"""Places in a list that the upstream no longer knows: a token of a run that broke off, asked for again too late."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote_plus

from syncd.sandbox.answer import Ask
from syncd.testing.rig import Rig, require

SHORTEST: Final = 6
"""Characters of the shortest text that is taken for a token; our choice."""
HINT: Final = "give the place up and begin the pass again after such an answer, as syncd.contract.links.walk_links does"


async def given_up(rig: Rig, stream: str) -> bool:
    """Break a first run off, have the upstream refuse the tokens that it left, and judge how the next runs go on.

    Returns False where nothing is proven: the list has one page, or the walk goes on by no token.
    """
    first: list[set[str]] = []

    def hear(ask: Ask) -> None:
        if ask.stream == stream:
            first.append(set(_texts(dict(ask.query))))

    rig.heard.append(hear)
    rig.sandbox.faults.add("error-500", api=rig.source.type, stream=stream, after=1)
    await rig.run(stream)
    rig.sandbox.faults.clear()
    rig.heard.remove(hear)
    tokens = await _tokens(rig, stream)
    if not tokens:
        return False
    refused = 0
    begins_again = False

    def refuse(ask: Ask) -> bool:
        nonlocal refused, begins_again
        if ask.stream != stream:
            return False
        own = set(_texts(dict(ask.query))) - first[0]  # what the first page was asked with is no token
        bears = any(_alike(token, value) for value in own for token in tokens)
        begins_again |= not bears
        refused += bears and not begins_again
        return bears and not begins_again

    rig.refuses.append(refuse)
    for _ in range(3):
        rig.time.pass_by(minutes=20)
        result = await rig.run(stream)
        if result.outcome == "ok":
            break
    rig.refuses.remove(refuse)
    require(
        result.outcome == "ok",
        f"the API no longer knows the place at which a run broke off, and the third run after it is {result.outcome}:"
        f" {result.error!r}; {HINT}",
    )
    await rig.require_equal(stream, "after the place at which a run broke off was refused")
    return refused > 0


async def _tokens(rig: Rig, stream: str) -> set[str]:
    """Return the texts of the unfinished pass that are no time, no number and no key: these may be tokens."""
    found = await rig.fetch("SELECT cursor ->> 'pass' AS going FROM syncd.cursors WHERE stream = $1", stream)
    keys = {str(part) for key in rig.keys(stream) for part in (key if isinstance(key, tuple) else (key,))}
    going = [json.loads(row["going"]) for row in found if row["going"]]
    return {text for text in _texts(going) if text not in keys}


def _alike(token: str, value: str) -> bool:
    """Say whether one holds the other, however signs are written in a query."""
    token, value = (unquote_plus(text).replace("+", " ") for text in (token, value))
    return token in value or value in token


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a value that could be a token."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
    elif isinstance(value, str) and len(value) >= SHORTEST and not value.isdigit() and not _is_time(value):
        yield value


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
