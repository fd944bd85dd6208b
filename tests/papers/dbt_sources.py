"""Writes deploy/dbt/sources.yml, the mirror's tables as sources of dbt, from the declared tables and their comments.

`python -m tests.papers.dbt_sources`; with `--check` it only says whether the file is current.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Table

from syncd.sources import registry
from syncd.storage.mirror.tables import metadata

FILE = Path(__file__).parents[2] / "deploy" / "dbt" / "sources.yml"
HEAD = """\
# Written by python -m tests.papers.dbt_sources. Do not edit it: describe more in a file of your own.
version: 2

sources:
"""


def text() -> str:
    """Return the file as it should be."""
    tables = metadata(registry().values(), history="history").tables.values()
    lines = [
        line
        for kind in registry().values()
        for line in _schema(kind.type, kind.schema_comment, [table for table in tables if table.schema == kind.type])
    ]
    return HEAD + "\n".join(lines) + "\n"


def _schema(name: str, comment: str, tables: list[Table]) -> Iterator[str]:
    yield f"  - name: {name}"
    yield f"    description: {_said(comment)}"
    yield "    tables:"
    for table in tables:
        yield f"      - name: {table.name}"
        yield f"        description: {_said(table.comment)}"
        yield "        columns:"
        for column in table.columns:
            yield f"          - name: {column.name}"
            yield f"            description: {_said(column.comment)}"


def _said(words: str | None) -> str:
    return json.dumps(words or "", ensure_ascii=False)


if __name__ == "__main__":
    if "--check" not in sys.argv:
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(text())
    elif FILE.read_text() != text():
        sys.exit("deploy/dbt/sources.yml is not current: python -m tests.papers.dbt_sources")
