"""What comes of writing rows: what was written, and what PostgreSQL refuses. No I/O."""

from dataclasses import dataclass, field

import asyncpg

from syncd.records.rows import Key, Note, Reject
from syncd.storage.postgres import driver
from syncd.storage.state.runs import Counts


@dataclass(slots=True)
class Written:
    """What came of writing one page: counts, the keys it held, its rejects and its drift.

    `as_stored` says that the page holds exactly what is stored between its first and its last key.
    """

    counts: Counts
    keys: list[Key] = field(default_factory=list)
    rejects: list[tuple[Reject, bytes]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    as_stored: bool = False


class RowKeptOut(Exception):
    """PostgreSQL took fewer rows than it was given, and said nothing: a trigger of somebody leaves rows out."""


ROW_FAULTS = (
    asyncpg.DataError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.WithCheckOptionViolationError,
    asyncpg.TriggeredActionError,
    asyncpg.TriggeredDataChangeViolationError,
    asyncpg.PLPGSQLError,
    asyncpg.UnknownPostgresError,  # a code that a trigger made up
    RowKeptOut,
    ValueError,
    OverflowError,
)
"""What PostgreSQL or the driver raise when one row is to blame: a value, or what a constraint or trigger demands."""


def reason_of(fault: BaseException) -> str:
    """Return in words why a row was refused."""
    if isinstance(fault, RowKeptOut):
        return "PostgreSQL leaves the row as it was: a trigger on its table, which is not of syncd, returns no row"
    return driver.row_reason(fault)


def require_all(status: str, count: int) -> None:
    """Raise RowKeptOut unless a COPY stored as many rows as it was given."""
    if int(status.rpartition(" ")[2]) != count:
        raise RowKeptOut
