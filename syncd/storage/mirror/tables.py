"""The tables of the database as SQLAlchemy metadata, made from what the sources declare: the one place that knows DDL.

Migrations are frozen copies of this; a test compares the two. No statement is ever executed here.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.types import TypeEngine

from syncd.contract import Column, Kind, Source, Table
from syncd.storage.mirror.history import SCHEMA as HISTORY
from syncd.storage.mirror.history import table_name as history_name

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


def metadata(sources: Iterable[Source]) -> sa.MetaData:
    """Return the metadata of the schemas `syncd` and `history` and of every source's schema."""
    meta = sa.MetaData()
    _state(meta)
    for source in sources:
        for stream in source.streams:
            for table in (stream.table, *(child.table for child in stream.table.children)):
                add_mirror_table(meta, table)
                add_history_table(meta, table)
    return meta


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


def add_history_table(meta: sa.MetaData, table: Table) -> sa.Table:
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
        schema=HISTORY,
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


def _state(meta: sa.MetaData) -> None:
    """Add the tables of schema `syncd`."""
    text, number, time = sa.Text(), sa.BigInteger(), sa.DateTime(timezone=True)

    def counter(name: str, comment: str) -> sa.Column[int]:
        return sa.Column(name, number, nullable=False, server_default=sa.text("0"), comment=comment)

    sa.Table(
        "cursors",
        meta,
        sa.Column("source", text, primary_key=True, comment="Configured name of the source"),
        sa.Column("stream", text, primary_key=True, comment="Name of the stream"),
        sa.Column("kind", text, primary_key=True, comment="live, sweep, or backfill with its range"),
        sa.Column("cursor", pg.JSONB(), nullable=False, comment="Where to resume; `pass` holds an unfinished pass"),
        sa.Column("updated_at", time, nullable=False, comment="When the cursor last moved"),
        schema="syncd",
        comment="Where each stream resumes; written in the transaction of the page that it follows",
    )
    sa.Table(
        "runs",
        meta,
        sa.Column("run_id", number, sa.Identity(always=True), primary_key=True, comment="Number of the run"),
        sa.Column("source", text, nullable=False, comment="Configured name of the source"),
        sa.Column("stream", text, nullable=False, comment="Name of the stream"),
        sa.Column("kind", text, nullable=False, comment="live, sweep, backfill, verify or callback"),
        sa.Column("lane", text, nullable=False, comment="Budget lane: live or backfill"),
        sa.Column("started_at", time, nullable=False, comment="When the run began"),
        sa.Column("finished_at", time, comment="When it ended; null while it is running"),
        sa.Column("outcome", text, nullable=False, comment="running, ok, throttled, failed or aborted"),
        sa.Column("error", text, comment="What went wrong, in a sentence, and what to do"),
        sa.Column("error_kind", text, comment="Class of the error, e.g. ScopeMissing, Throttled, SweepRefused"),
        counter("requests", "Requests sent, each try counted"),
        counter("pages", "Pages committed"),
        counter("rows_seen", "Records received"),
        counter("rows_inserted", "Rows new to the mirror"),
        counter("rows_updated", "Rows whose content changed, or that returned"),
        counter("rows_unchanged", "Records equal to what was stored"),
        counter("rows_deleted", "Rows buried"),
        counter("rows_rejected", "Records that could not become a row"),
        sa.Column("rows_expected", number, comment="Length of the list, if the upstream says so"),
        sa.Column("budget_wait_s", sa.Double(), nullable=False, server_default=sa.text("0"), comment="Seconds waited"),
        sa.Column("notes", pg.JSONB(), comment="What happened on the way: retries, faults, doubts"),
        sa.Column("host", text, comment="Host of the process"),
        sa.Column("pid", number, comment="Process id"),
        sa.CheckConstraint("outcome IN ('running', 'ok', 'throttled', 'failed', 'aborted')", name="runs_outcome"),
        sa.Index("runs_by_stream", "source", "stream", "kind", sa.text("run_id DESC")),
        sa.Index("runs_by_time", "started_at"),
        schema="syncd",
        comment="Every run of every stream, with its outcome and counts",
    )
    sa.Table(
        "rejects",
        meta,
        sa.Column("reject_id", number, sa.Identity(always=True), primary_key=True, comment="Number of the reject"),
        sa.Column("source", text, nullable=False, comment="Configured name of the source"),
        sa.Column("stream", text, nullable=False, comment="Name of the stream"),
        sa.Column("reason", text, nullable=False, comment="Why the record could not become a row"),
        sa.Column("record", text, nullable=False, comment="The record as sent (secrets digested)"),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False, comment="Fingerprint of the record"),
        sa.Column("run_id", number, nullable=False, comment="The run that last met it"),
        sa.Column("first_seen_at", time, nullable=False, comment="When it was first met"),
        sa.Column("last_seen_at", time, nullable=False, comment="When it was last met"),
        counter("occurrences", "How often it was met"),
        sa.UniqueConstraint("source", "stream", "fingerprint", name="rejects_once"),
        schema="syncd",
        comment="Records that could not become a row, kept until they can (`syncd rejects replay`)",
    )
    sa.Table(
        "drift",
        meta,
        sa.Column("source", text, primary_key=True, comment="Configured name of the source"),
        sa.Column("stream", text, primary_key=True, comment="Name of the stream"),
        sa.Column("field", text, primary_key=True, comment="Upstream name of the field, dotted where nested"),
        sa.Column("change", text, primary_key=True, comment="appeared, vanished or type_changed"),
        sa.Column("first_seen_at", time, nullable=False, comment="When it was first met"),
        sa.Column("last_seen_at", time, nullable=False, comment="When it was last met"),
        counter("occurrences", "In how many parsed records"),
        sa.Column("sample", text, comment="Shape of one value: letters as x, digits as 9"),
        schema="syncd",
        comment="Fields that appeared, vanished or changed type against the vendor's documents",
    )
    sa.Table(
        "budgets",
        meta,
        sa.Column("source", text, primary_key=True, comment="Configured name of the source"),
        sa.Column("version", number, nullable=False, comment="Counts the writes, so that processes never overwrite"),
        sa.Column("state", pg.JSONB(), nullable=False, comment="The windows, as syncd.budget keeps them"),
        sa.Column("minute_limit", number, comment="Requests allowed in a moving minute; null if unknown"),
        sa.Column("minute_remaining", number, comment="Of these, left at updated_at"),
        sa.Column("day_limit", number, comment="Requests allowed in the day; null if unknown"),
        sa.Column("day_remaining", number, comment="Of these, left at updated_at"),
        sa.Column("day_reset_at", time, comment="When the day's window begins anew"),
        sa.Column("closed_until", time, comment="No request before this (429); null if open"),
        counter("day_used_live", "Requests sent today in lane live"),
        counter("day_used_backfill", "Requests sent today in lane backfill"),
        sa.Column("updated_at", time, nullable=False, comment="When a request was last charged or an answer heeded"),
        schema="syncd",
        comment="What each source may still request; shared by all processes",
    )
    sa.Table(
        "changes",
        meta,
        sa.Column(
            "id",
            number,
            primary_key=True,
            autoincrement=False,
            comment="Number of the change: 1, 2, 3, … without a gap, in the order in which they were committed",
        ),
        sa.Column("source", text, nullable=False, comment="Configured name of the source"),
        sa.Column("stream", text, nullable=False, comment="Name of the stream"),
        sa.Column(
            "table_name",
            text,
            nullable=False,
            comment="Table of the row, with its schema; a child row bears that of its own table",
        ),
        sa.Column("key", pg.JSONB(), nullable=False, comment="Key of the row by column, without source"),
        sa.Column(
            "operation",
            text,
            nullable=False,
            comment="insert: the row is there (again); update: it changed; delete: it was found gone upstream",
        ),
        sa.Column(
            "changed",
            pg.ARRAY(text),
            comment="Names of the columns that an update changed, _extra among them; empty if only child rows did;"
            " null for insert and delete",
        ),
        sa.Column("changed_at", time, nullable=False, comment="When the row was written; its _changed_at"),
        sa.Column("run_id", number, comment="The run that wrote it; null for what a command mended"),
        sa.CheckConstraint("operation IN ('insert', 'update', 'delete')", name="changes_operation"),
        schema="syncd",
        comment="Every change of a row, of streams with changes = true, in the order of the commits: follow it with"
        " syncd.changes_since",
    )
    sa.Table(
        "callbacks",
        meta,
        sa.Column("source", text, primary_key=True, comment="Configured name of the source"),
        sa.Column("digest", sa.LargeBinary(), primary_key=True, comment="SHA-256 of the secret part of the address"),
        sa.Column("made_at", time, nullable=False, comment="When syncd made it up"),
        sa.Column("registered_at", time, comment="When the upstream took it; null while that is not known"),
        sa.Column("heard_at", time, comment="When the last callback came here"),
        sa.Column("heard", text, comment="What became of it, e.g. accepted, repeated, refused: too large"),
        schema="syncd",
        comment="Addresses at which callbacks of a source are accepted, known by a digest only",
    )
    sa.Table(
        "forgotten",
        meta,
        sa.Column("marker_id", number, sa.Identity(always=True), primary_key=True, comment="Number of the marker"),
        sa.Column("source", text, nullable=False, comment="Configured name of the source"),
        sa.Column("stream", text, nullable=False, comment="Stream whose row the person was"),
        sa.Column("salt", sa.LargeBinary(), nullable=False, comment="Random; the same for all markers of a source"),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="BLAKE2b of stream and key, keyed by the salt"),
        sa.Column("forgotten_at", time, nullable=False, comment="When syncd forget was asked to"),
        sa.UniqueConstraint("source", "stream", "digest", name="forgotten_once"),
        schema="syncd",
        comment="Persons whom no sync may bring back; holds no key of theirs, but one that is known can be looked up",
    )
    sa.Table(
        "seen",
        meta,
        sa.Column("source", text, nullable=False, comment="Configured name of the source"),
        sa.Column("stream", text, nullable=False, comment="Name of the stream"),
        sa.Column("seen_at", time, nullable=False, comment="When the page was requested"),
        sa.Column("keys", pg.ARRAY(sa.BigInteger()), nullable=False, comment="hashtextextended of each key, seed 0"),
        sa.Index("seen_by_stream", "source", "stream"),
        schema="syncd",
        comment="Keys that an unfinished full listing has seen, one row a page; emptied when the pass ends",
    )
