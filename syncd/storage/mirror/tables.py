"""The tables of the database as SQLAlchemy metadata, made from what the sources declare: the one place that knows DDL.

Migrations are frozen copies of this; a test compares the two. No statement is ever executed here.
"""

from collections.abc import Iterable
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.types import TypeEngine

from syncd.contract import Column, Kind, Source, Table
from syncd.storage.mirror.history import SCHEMA as HISTORY
from syncd.storage.mirror.history import table_name as history_name
from syncd.storage.state import declared
from syncd.storage.state.declared import StateTable
from syncd.storage.state.tables import STATE_TABLES

_TYPES: dict[Kind, TypeEngine[Any]] = {
    Kind.TEXT: sa.Text(),
    Kind.SHA256: sa.Text(),
    Kind.BIGINT: sa.BigInteger(),
    Kind.NUMERIC: sa.Numeric(),
    Kind.BOOLEAN: sa.Boolean(),
    Kind.DATE: sa.Date(),
    Kind.TIMESTAMP: sa.DateTime(timezone=True),
    Kind.UUID: pg.UUID(),
    Kind.JSON: pg.JSONB(),
}
_STATE_TYPES: Final[dict[str, TypeEngine[Any]]] = {
    declared.TEXT: sa.Text(),
    declared.NUMBER: sa.BigInteger(),
    declared.INSTANT: sa.DateTime(timezone=True),
    declared.JSON: pg.JSONB(),
    declared.BYTES: sa.LargeBinary(),
    declared.FLOAT: sa.Double(),
    declared.BOOLEAN: sa.Boolean(),
    declared.DATE: sa.Date(),
    declared.UUID: pg.UUID(),
    declared.TEXTS: pg.ARRAY(sa.Text()),
    declared.NUMBERS: pg.ARRAY(sa.BigInteger()),
    declared.INTEGERS: pg.ARRAY(sa.Integer()),
}


def metadata(sources: Iterable[Source], *, history: str = HISTORY) -> sa.MetaData:
    """Return the metadata of the schemas `syncd` and `history` and of every source's schema."""
    meta = sa.MetaData()
    for of_state in STATE_TABLES:
        add_state_table(meta, of_state)
    for source in sources:
        for stream in source.streams:
            for table in (stream.table, *(child.table for child in stream.table.children)):
                add_mirror_table(meta, table)
                add_history_table(meta, table, history)
    return meta


def add_state_table(meta: sa.MetaData, table: StateTable) -> sa.Table:
    """Add one table of schema `syncd`."""
    return sa.Table(
        table.name,
        meta,
        *(
            sa.Column(
                column.name,
                _STATE_TYPES[column.type],
                *([sa.Identity(always=True)] if column.is_numbered else []),
                primary_key=column.is_key,
                autoincrement=column.is_numbered,
                nullable=not column.is_required,
                server_default=sa.text("0") if column.is_counter else None,
                comment=column.comment,
            )
            for column in table.columns
        ),
        *(sa.CheckConstraint(condition, name=name) for name, condition in table.checks.items()),
        *(sa.UniqueConstraint(*columns, name=name) for name, columns in table.unique.items()),
        *(
            sa.Index(
                index.name,
                *map(sa.text, index.on),
                unique=index.is_unique,
                postgresql_where=None if index.where is None else sa.text(index.where),
            )
            for index in table.indexes
        ),
        schema="syncd",
        comment=table.comment,
    )


def add_mirror_table(meta: sa.MetaData, table: Table) -> sa.Table:
    """Add one table of the mirror: `source`, the upstream's fields, then the bookkeeping."""
    time = sa.DateTime(timezone=True)
    return sa.Table(
        table.name,
        meta,
        *_fields(table),
        sa.Column("_first_seen_at", time, nullable=False, comment="When syncd first saw this row"),
        sa.Column("_changed_at", time, nullable=False, comment="When the mirrored content last changed"),
        *_state_of_row(),
        sa.Column("_hash", sa.LargeBinary(), comment="Fingerprint of the content as sent; null forces a comparison"),
        *(
            sa.Index(
                index.name,
                *map(sa.text, index.on),
                postgresql_where=None if index.where is None else sa.text(index.where),
                postgresql_using=index.using,
            )
            for index in table.indexes
        ),
        schema=table.schema,
        comment=table.comment,
    )


def add_history_table(meta: sa.MetaData, table: Table, schema: str = HISTORY) -> sa.Table:
    """Add the table that holds the old versions of a mirror table's rows."""
    time = sa.DateTime(timezone=True)
    name = history_name(table)
    return sa.Table(
        name,
        meta,
        *_fields(table),
        *_state_of_row(),
        sa.Column(
            "valid_from",
            time,
            primary_key=True,
            comment="When syncd wrote this version to the mirror; the _changed_at that the row had",
        ),
        sa.Column("valid_to", time, nullable=False, comment="When it wrote the next one, or buried the row"),
        sa.Index(f"{name}_by_end", "valid_to"),
        schema=schema,
        comment=f"Old versions of the rows of {table.schema}.{table.name}",
    )


def _fields(table: Table) -> list[sa.Column[Any]]:
    """Return `source` and the upstream's fields, the key first."""
    fields = (
        sa.Column(
            column.name,
            _TYPES[column.kind],
            primary_key=column.name in table.key,
            autoincrement=False,
            nullable=column.name not in table.key,
            comment=column.comment,
        )
        for column in _key_first(table)
    )
    return [sa.Column("source", sa.Text(), primary_key=True, comment="Configured name of the source"), *fields]


def _state_of_row() -> list[sa.Column[Any]]:
    """Return what a row says of itself beside the upstream's fields."""
    return [
        sa.Column(
            "_deleted_at",
            sa.DateTime(timezone=True),
            comment="When the row was found gone upstream; null while it exists there",
        ),
        sa.Column(
            "_extra",
            pg.JSONB(),
            comment="Fields without a column and values that do not fit theirs, under their upstream names, as sent",
        ),
    ]


def _key_first(table: Table) -> list[Column]:
    keys = {name: place for place, name in enumerate(table.key)}
    return sorted(table.columns, key=lambda column: keys.get(column.name, len(keys)))
