"""Records of one source as the rows that they become."""

import json
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from syncd.contract import Source, Table
from syncd.records.parser import Parser
from syncd.records.rows import Row


@dataclass(frozen=True, kw_only=True)
class RowsOf:
    """Reads records of a source's streams; times without a zone are read in `zone`."""

    source: Source
    zone: ZoneInfo

    def table(self, stream: str) -> Table:
        return self.source.stream(stream).table

    def parsed(self, stream: str, record: str | bytes | dict[str, Any]) -> Row:
        """Return the row of a record, which must be one that becomes a row."""
        text = json.dumps(record) if isinstance(record, dict) else record
        row = Parser(self.table(stream), self.zone).parse(text.encode() if isinstance(text, str) else text)
        assert isinstance(row, Row), row
        return row

    def values(self, stream: str, row: Row) -> dict[str, Any]:
        """Return the values of a row by column."""
        return dict(zip((each.name for each in self.table(stream).columns), row.values, strict=True))
