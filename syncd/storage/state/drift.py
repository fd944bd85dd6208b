"""The table `syncd.drift`: fields that appeared, vanished or changed type.

Names come from the upstream, which may use anything as a name: of one that may hold a person's data only its shape is
kept. A stream has a bounded number of rows.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import asyncpg

from syncd.records.rows import Note

FIELDS_MAX: Final = 500
"""Rows that a stream may have; what drifts beyond is counted in the row OTHERS of its change. Our choice."""
OTHERS: Final = "(other fields)"
"""Stands for all fields for which there was no row left."""
FIELD_CHARS: Final = 200
"""Longest name of a drifted field that is stored: names come from the upstream and may be of any length."""
_AT_ONCE: Final = 10 * FIELDS_MAX
"""Names of one page that are compared with those stored; the others of the page are counted under OTHERS."""

_PLAIN: Final = re.compile(r"[@$#]?[^\W\d][\w$:-]*(?:\[\])?")
_DIGITS_MAX: Final = 6
"""Digits in the name of a field; more of them are a number of somebody or something. Our choice."""
_HEX: Final = re.compile(r"(?<![^\W_])(?=\w*\d)[0-9a-fA-F]{8,}(?![^\W_])")
_WORD: Final = re.compile(r"[^\W_]+")

_SAVE: Final = """
WITH known AS (
  SELECT field, change FROM syncd.drift WHERE source = $1 AND stream = $2
), given AS (
  SELECT d.*, k.field IS NOT NULL AS is_known,
         row_number() OVER (PARTITION BY k.field IS NULL ORDER BY d.field, d.change) AS place
  FROM unnest($4::text[], $5::text[], $6::bigint[], $7::text[]) AS d(field, change, occurrences, sample)
  LEFT JOIN known k ON k.field = d.field AND k.change = d.change
), kept AS (
  SELECT *, is_known OR place <= $8 - (SELECT count(*) FROM known) OR field = $9 AS has_row FROM given
)
INSERT INTO syncd.drift (source, stream, field, change, first_seen_at, last_seen_at, occurrences, sample)
SELECT $1, $2, CASE WHEN has_row THEN field ELSE $9 END AS named, change, $3, $3, sum(occurrences),
       min(sample) FILTER (WHERE has_row)
FROM kept GROUP BY named, change ORDER BY named, change
ON CONFLICT (source, stream, field, change) DO UPDATE
SET last_seen_at = excluded.last_seen_at, occurrences = drift.occurrences + excluded.occurrences
"""


async def save_drift(
    conn: asyncpg.Connection, source: str, stream: str, notes: Sequence[Note], *, now: datetime
) -> None:
    """Count fields that appeared, vanished or changed type, inside the caller's transaction."""
    counted: dict[tuple[str, str], int] = {}
    samples: dict[tuple[str, str], str] = {}
    for note in notes:
        pair: tuple[str, str] = (note.field, note.change)
        counted[pair] = counted.get(pair, 0) + 1
        samples.setdefault(pair, note.sample)
    stored: dict[tuple[str, str], tuple[int, str | None]] = {}
    for place, (pair, count) in enumerate(counted.items()):
        name = shape(pair[0]) if place < _AT_ONCE else OTHERS
        before, sample = stored.get((name, pair[1]), (0, _text(samples[pair]) if name != OTHERS else None))
        stored[name, pair[1]] = before + count, sample
    if stored:
        fields, changes = zip(*stored, strict=True)
        counts, shapes = zip(*stored.values(), strict=True)
        await conn.execute(_SAVE, source, stream, now, fields, changes, counts, shapes, FIELDS_MAX, OTHERS)


def shape(field: str) -> str:
    """Return the name of a field as it may be stored: of one that may hold a person's data only its shape.

    Names that begin with a letter, hold no blank and few digits are those of an API. Of any other one, such as an
    e-mail address, a telephone number or a UUID, letters become `a` and digits `9`.
    """
    name = _text(field)
    is_plain = all(map(_PLAIN.fullmatch, name.split("."))) and sum(map(str.isdigit, name)) <= _DIGITS_MAX
    return (name if is_plain and not _HEX.search(name) else _WORD.sub(_shape_of_word, name))[:FIELD_CHARS]


def _shape_of_word(word: re.Match[str]) -> str:
    return ("a" if not word[0].isdigit() else "") + ("9" if any(map(str.isdigit, word[0])) else "")


async def forget_names(conn: asyncpg.Connection, source: str, texts: Sequence[str]) -> str:
    """Delete the fields of a source whose name holds one of these texts as a word; return PostgreSQL's status."""
    rows = await conn.fetch("SELECT DISTINCT field FROM syncd.drift WHERE source = $1", source)
    words = [" ".join(_WORD.findall(text.lower())) for text in texts]
    gone = [row[0] for row in rows if any(word and f" {word} " in _words(row[0]) for word in words)]
    return str(await conn.execute("DELETE FROM syncd.drift WHERE source = $1 AND field = ANY($2)", source, gone))


def _words(field: str) -> str:
    return f" {' '.join(_WORD.findall(field.lower()))} "


def _text(text: str) -> str:
    """Return a text as PostgreSQL can store it: NUL is written as its JSON escape."""
    return text.replace("\0", "\\u0000")
