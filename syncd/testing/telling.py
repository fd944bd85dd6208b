"""The search for secrets: in requests, the log, errors and the database, while the upstream echoes what it was sent."""

import io
import json
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import quote, quote_plus

from syncd.sandbox.answer import Ask
from syncd.testing.rig import Rig, listed, require

WINDOW_CHARS: Final = 10
"""So much of a secret in one piece is too much."""
STATUSES: Final = (200, 400, 401, 403, 404, 429, 500)
"""Under which the upstream echoes the request."""


async def search(rig: Rig, streams: Sequence[str], log: io.StringIO) -> None:
    """Run every stream cleanly and under each echo; raise AssertionError if a secret came out anywhere."""
    asked: list[str] = []

    def hear(ask: Ask) -> None:
        asked.append(f"{ask.method} {ask.path}?{'&'.join(f'{name}={value}' for name, value in ask.query.items())}")

    rig.heard.append(hear)
    said: list[str] = []
    for stream in streams:
        await rig.clean(stream)
    for status in STATUSES:
        rig.sandbox.faults.add("echo", api=rig.source.type, status=status)
        for stream in streams:
            rig.time.pass_by(hours=25)
            result = await rig.run(stream)
            said.append(f"{result.error!r} {getattr(result.error, 'hint', '')}")
        rig.sandbox.faults.clear()
    require(rig.sandbox.faults.hits("echo") > len(STATUSES), "the upstream never echoed: this test proves nothing")
    secrets = _secrets(rig)
    require(bool(secrets), "no secret signs the requests: this test proves nothing")
    places = {
        "the URL of a request": "\n".join(asked),
        "the log": log.getvalue(),
        "an error": "\n".join(said),
        "the database": "\n".join(await _stored(rig)),
    }
    names = " ".join((rig.source.type, rig.api.source_name, *rig.source.names, rig.api.prefix))
    leaked = {place: leaked_piece(text, secrets, names) for place, text in places.items()}
    found = [f"{place} holds {piece!r}, a piece of a secret" for place, piece in leaked.items() if piece]
    require(not found, f"a secret is told:{listed(found)}")


def _secrets(rig: Rig) -> set[str]:
    """Return what signs requests: secret options as the sandbox's account has them, and what headers held."""
    options = {option.name for option in rig.source.options if option.kind == "secret"}
    own = {str(value) for name, value in rig.api.credentials.items() if name in options}
    return {text for text in own | rig.sent if len(text) >= WINDOW_CHARS}


def leaked_piece(text: str, secrets: set[str], names: str) -> str | None:
    """Return a piece of a secret that a text holds; what is a part of a name that everybody sees is none."""
    pieces = (piece for secret in secrets for piece in _pieces(secret) if piece not in names)
    return next((piece for piece in pieces if piece in text), None)


def _pieces(secret: str) -> Iterator[str]:
    for form in {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}:
        yield from (form[at : at + WINDOW_CHARS] for at in range(max(1, len(form) - WINDOW_CHARS + 1)))


async def _stored(rig: Rig) -> list[str]:
    tables = await rig.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
        " WHERE schemaname IN ('syncd', 'history', $1)",
        rig.source.type,
    )
    return [
        row["text"]
        for table in tables
        for row in await rig.fetch(f"SELECT t::text AS text FROM {table['name']} t")  # noqa: S608  (names of ours)
    ]
