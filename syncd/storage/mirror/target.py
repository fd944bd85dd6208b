"""Where the records of a stream go: the intake that reads them, and the table with the statements that write it."""

from functools import lru_cache
from typing import Final

from syncd.contract import Table
from syncd.frozen import dataclass
from syncd.records.page import Intake
from syncd.records.parser import Parser
from syncd.records.privacy import Guard
from syncd.storage.mirror.history import Kept
from syncd.storage.mirror.layout import TableLayout, layout_of
from syncd.storage.mirror.statements import Statements, statements_of

KEEPS_NOTHING = Kept()
WRITTEN: Final = 512
"""Tables whose statements are kept, one for each way to keep changes; our choice."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One table of the mirror with all that is needed to write it, and the targets of its child tables."""

    layout: TableLayout
    intake: Intake
    kept: Kept
    statements: Statements
    children: tuple["Target", ...] = ()

    @property
    def table(self) -> Table:
        """The table as its source declares it."""
        return self.layout.table

    @property
    def name(self) -> str:
        """The quoted name of the table, with its schema."""
        return self.layout.name


def make_target(table: Table, parser: Parser, kept: Kept = KEEPS_NOTHING, guard: Guard | None = None) -> Target:
    """Return the target of a table, its child tables included; its records pass the guard before anything else."""
    children = (
        _target(child.table, Intake(parser=parser.child(at)), kept, parents=len(table.key))
        for at, child in enumerate(table.children)
    )
    return _target(table, Intake(parser=parser, guard=guard), kept, tuple(children))


def _target(table: Table, intake: Intake, kept: Kept, children: tuple[Target, ...] = (), *, parents: int = 0) -> Target:
    layout, statements = _written(table, kept, parents)
    return Target(layout=layout, intake=intake, kept=kept, statements=statements, children=children)


@lru_cache(maxsize=WRITTEN)
def _written(table: Table, kept: Kept, parents: int) -> tuple[TableLayout, Statements]:
    """Return how a table is written; all accounts share it."""
    layout = layout_of(table)
    return layout, statements_of(layout, kept, parents=parents)
