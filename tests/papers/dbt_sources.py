"""Writes deploy/dbt/models/sources.yml: the mirror's tables and the views of `reporting` as sources of dbt.

`python -m tests.papers.dbt_sources`; with `--check` it only says whether the file is current. What is said of a column
comes from the comments of a migrated database, what is tested from keys and relations.
"""

import asyncio
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from syncd.contract import Stream
from syncd.engine.schedule import GRACE_S
from syncd.sources import registry
from tests.papers import schema
from tests.papers.relations import Relation, relations
from tests.papers.schema import Dictionary, Place

FILE: Path = Path(__file__).parents[2] / "deploy" / "dbt" / "models" / "sources.yml"
HEAD = """\
# Written by python -m tests.papers.dbt_sources. Do not edit it: describe more in a file of your own.
version: 2

sources:
"""
WARN_INTERVALS, ERROR_INTERVALS = 2, 6
"""Intervals of a stream after which dbt warns, as syncd does, and after which it fails; the latter is our choice."""
REPORTING = "{{ var('reporting_schema', 'reporting') }}"
FRESHNESS = (
    "select case when count(*) = 0 then now() else min(coalesce(as_of, timestamptz '2000-01-01')) end"
    f" from {REPORTING}.freshness join syncd.sources using (source) where type = '%s' and stream = '%s'"
)
"""What is mirrored of a stream, of its stalest source; one that no source runs is fresh."""


def text(told: Dictionary) -> str:
    """Return the file as it should be."""
    lines = [HEAD.rstrip("\n")]
    streams = {place: stream for kind in registry().values() for stream in kind.streams for place in _places(stream)}
    for name in schema.ORDER:
        if name == "syncd":
            continue
        lines += [f"  - name: {name}", f"    description: {_said(told.schemas[name])}"]
        if name == "reporting":
            lines.append(f'    schema: "{REPORTING}"')
        lines.append("    tables:")
        for place in told.of(name):
            lines += _table(place, streams.get(place.full_name))
    return "\n".join(lines) + "\n"


def _places(stream: Stream) -> list[str]:
    return [f"{one.schema}.{one.name}" for one in (stream.table, *(child.table for child in stream.table.children))]


def _table(place: Place, stream: Stream | None) -> Iterator[str]:
    yield f"      - name: {place.name}"
    yield f"        description: {_said(place.comment)}"
    if stream and not stream.is_pushed:
        yield "        config:"
        yield f'          loaded_at_query: "{FRESHNESS % (place.schema, stream.name)}"'
        yield "          freshness:"
        yield f"            warn_after: {_after(stream, WARN_INTERVALS)}"
        yield f"            error_after: {_after(stream, ERROR_INTERVALS)}"
    key = [column.name for column in place.columns if column.is_key]
    if key:
        yield "        data_tests:"
        name = f"unique_{place.schema}_{place.name}"
        yield f"          - unique: {{ name: {name}, arguments: {{ column_name: {_json(key)} }} }}"
        for each in relations():
            if each.table == place.full_name:
                types = {column.name: column.type for column in place.columns}
                yield from _relationship(each, types)
    yield "        columns:"
    for column in place.columns:
        yield f"          - name: {column.name}"
        yield f"            description: {_said(column.comment)}"
        if column.is_key and column.name != "source":
            name = f"not_null_{place.schema}_{place.name}_{column.name}"
            yield f"            data_tests: [{{ not_null: {{ name: {name} }} }}]"


def _relationship(each: Relation, types: Mapping[str, str]) -> Iterator[str]:
    """Warn of rows that lead nowhere, and do not fail: nothing is enforced, for upstreams send such rows."""
    some = f"{each.named} <> 0" if types[each.named] == "bigint" else f"{each.named} is not null"
    schema_name, to = each.to.split(".")
    yield "          - relationships:"
    yield f"              name: relationships_{each.table.replace('.', '_')}_{each.named}"
    yield "              arguments:"
    yield f"                column_name: {_json(each.columns)}"
    yield f"                to: source('{schema_name}', '{to}')"
    yield f"                field: {_json(each.keys)}"
    yield f'              config: {{ severity: warn, where: "_deleted_at is null and {some}" }}'


def _json(columns: Sequence[str]) -> str:
    """Return a key of several columns as one value that two different keys never share."""
    return f'"jsonb_build_array({", ".join(columns)})"'


def _after(stream: Stream, intervals: int) -> str:
    minutes = math.ceil((stream.every_s * intervals + GRACE_S) / 60)
    if minutes % 60 == 0 or minutes > 60 * 24:
        return f"{{ count: {math.ceil(minutes / 60)}, period: hour }}"
    return f"{{ count: {minutes}, period: minute }}"


def _said(words: str | None) -> str:
    return json.dumps(words or "", ensure_ascii=False)


if __name__ == "__main__":
    made = text(asyncio.run(schema.dictionary()))
    if "--check" not in sys.argv:
        FILE.write_text(made)
    elif FILE.read_text() != made:
        sys.exit("deploy/dbt/models/sources.yml is not current: python -m tests.papers.dbt_sources")
