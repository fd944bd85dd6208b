"""Writes what the views of `reporting` promise, each column with its type: tests/papers/views_1.json.

    python -m tests.papers.view_columns

Within one major version it may only grow.
"""

import asyncio
import json
from pathlib import Path

from tests.papers import schema

PLACE = Path(__file__).parent / "views_1.json"


def columns(told: schema.Dictionary) -> dict[str, dict[str, str]]:
    """Return the columns of each view in their order, with their types."""
    return {place.name: {column.name: column.type for column in place.columns} for place in told.of("reporting")}


if __name__ == "__main__":
    PLACE.write_text(json.dumps(columns(asyncio.run(schema.dictionary())), indent=1) + "\n", "utf-8")
