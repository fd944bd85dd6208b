"""The tables of schema `syncd` as SQLAlchemy metadata: one function per table.

Migrations are frozen copies of this; a test compares the two. No statement is ever executed here.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

_TEXT = sa.Text()
_NUMBER = sa.BigInteger()
_TIME = sa.DateTime(timezone=True)


def add_state_tables(meta: sa.MetaData) -> None:
    """Add the tables of schema `syncd`."""
    _cursors(meta)
    _runs(meta)
    _rejects(meta)
    _drift(meta)
    _budgets(meta)
    _changes(meta)
    _callbacks(meta)
    _webhooks(meta)
    _sources(meta)
    _forgotten(meta)
    _seen(meta)
    _compatibility(meta)
    _losses(meta)
    _lock_salt(meta)
    _notifications(meta)
    _workers(meta)
    _scale(meta)
    _kept_secrets(meta)
    _operators(meta)
    _backfills(meta)


def _counter(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(name, _NUMBER, nullable=False, server_default=sa.text("0"), comment=comment)


def _cursors(meta: sa.MetaData) -> None:
    sa.Table(
        "cursors",
        meta,
        sa.Column("source", _TEXT, primary_key=True, comment="Configured name of the source"),
        sa.Column("stream", _TEXT, primary_key=True, comment="Name of the stream"),
        sa.Column("kind", _TEXT, primary_key=True, comment="live, sweep, or backfill with its range"),
        sa.Column("cursor", pg.JSONB(), nullable=False, comment="Where to resume; `pass` holds an unfinished pass"),
        sa.Column("updated_at", _TIME, nullable=False, comment="When the cursor last moved"),
        schema="syncd",
        comment="Where each stream resumes; written in the transaction of the page that it follows",
    )


def _runs(meta: sa.MetaData) -> None:
    sa.Table(
        "runs",
        meta,
        sa.Column("run_id", _NUMBER, sa.Identity(always=True), primary_key=True, comment="Number of the run"),
        sa.Column("source", _TEXT, nullable=False, comment="Configured name of the source"),
        sa.Column("stream", _TEXT, nullable=False, comment="Name of the stream"),
        sa.Column("kind", _TEXT, nullable=False, comment="live, sweep, backfill, verify or callback"),
        sa.Column("lane", _TEXT, nullable=False, comment="Budget lane: live or backfill"),
        sa.Column("started_at", _TIME, nullable=False, comment="When the run began"),
        sa.Column("finished_at", _TIME, comment="When it ended; null while it is running"),
        sa.Column("outcome", _TEXT, nullable=False, comment="running, ok, throttled, failed or aborted"),
        sa.Column("error", _TEXT, comment="What went wrong, in a sentence, and what to do"),
        sa.Column("error_kind", _TEXT, comment="Class of the error, e.g. ScopeMissing, Throttled, SweepRefused"),
        _counter("requests", "Requests sent, each try counted"),
        _counter("pages", "Pages committed"),
        _counter("rows_seen", "Records received"),
        _counter("rows_inserted", "Rows new to the mirror"),
        _counter("rows_updated", "Rows whose content changed, or that returned"),
        _counter("rows_unchanged", "Records equal to what was stored"),
        _counter("rows_deleted", "Rows buried"),
        _counter("rows_rejected", "Records that could not become a row"),
        sa.Column("rows_expected", _NUMBER, comment="Length of the list, if the upstream says so"),
        sa.Column("budget_wait_s", sa.Double(), nullable=False, server_default=sa.text("0"), comment="Seconds waited"),
        sa.Column("notes", pg.JSONB(), comment="What happened on the way: retries, faults, doubts"),
        sa.Column("host", _TEXT, comment="Host of the process"),
        sa.Column("pid", _NUMBER, comment="Process id"),
        sa.CheckConstraint("outcome IN ('running', 'ok', 'throttled', 'failed', 'aborted')", name="runs_outcome"),
        sa.Index("runs_by_stream", "source", "stream", "kind", sa.text("run_id DESC")),
        sa.Index("runs_by_time", "started_at"),
        sa.Index("runs_running", "source", "stream", postgresql_where=sa.text("outcome = 'running'")),
        schema="syncd",
        comment="Every run of every stream, with its outcome and counts",
    )


def _rejects(meta: sa.MetaData) -> None:
    sa.Table(
        "rejects",
        meta,
        sa.Column("reject_id", _NUMBER, sa.Identity(always=True), primary_key=True, comment="Number of the reject"),
        sa.Column("source", _TEXT, nullable=False, comment="Configured name of the source"),
        sa.Column("stream", _TEXT, nullable=False, comment="Name of the stream"),
        sa.Column("reason", _TEXT, nullable=False, comment="Why the record could not become a row"),
        sa.Column("record", _TEXT, nullable=False, comment="The record as sent (secrets digested)"),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False, comment="Fingerprint of the record"),
        sa.Column("run_id", _NUMBER, nullable=False, comment="The run that last met it"),
        sa.Column("first_seen_at", _TIME, nullable=False, comment="When it was first met"),
        sa.Column("last_seen_at", _TIME, nullable=False, comment="When it was last met"),
        _counter("occurrences", "How often it was met"),
        sa.UniqueConstraint("source", "stream", "fingerprint", name="rejects_once"),
        schema="syncd",
        comment="Records that could not become a row, kept until they can (`syncd rejects replay`)",
    )


def _drift(meta: sa.MetaData) -> None:
    sa.Table(
        "drift",
        meta,
        sa.Column("source", _TEXT, primary_key=True, comment="Configured name of the source"),
        sa.Column("stream", _TEXT, primary_key=True, comment="Name of the stream"),
        sa.Column("field", _TEXT, primary_key=True, comment="Upstream name of the field, dotted where nested"),
        sa.Column("change", _TEXT, primary_key=True, comment="appeared, vanished or type_changed"),
        sa.Column("first_seen_at", _TIME, nullable=False, comment="When it was first met"),
        sa.Column("last_seen_at", _TIME, nullable=False, comment="When it was last met"),
        _counter("occurrences", "In how many parsed records"),
        sa.Column("sample", _TEXT, comment="Shape of one value: letters as x, digits as 9"),
        schema="syncd",
        comment="Fields that appeared, vanished or changed type against the vendor's documents",
    )


def _budgets(meta: sa.MetaData) -> None:
    sa.Table(
        "budgets",
        meta,
        sa.Column("source", _TEXT, primary_key=True, comment="Configured name of the source"),
        sa.Column("version", _NUMBER, nullable=False, comment="Counts the writes, so that processes never overwrite"),
        sa.Column("state", pg.JSONB(), nullable=False, comment="The windows, as syncd.budget keeps them"),
        sa.Column("minute_limit", _NUMBER, comment="Requests allowed in a moving minute; null if unknown"),
        sa.Column("minute_remaining", _NUMBER, comment="Of these, left at updated_at"),
        sa.Column("day_limit", _NUMBER, comment="Requests allowed in the day; null if unknown"),
        sa.Column("day_remaining", _NUMBER, comment="Of these, left at updated_at"),
        sa.Column("day_reset_at", _TIME, comment="When the day's window begins anew"),
        sa.Column("closed_until", _TIME, comment="No request before this (429); null if open"),
        _counter("day_used_live", "Requests sent today in lane live"),
        _counter("day_used_backfill", "Requests sent today in lane backfill"),
        sa.Column("updated_at", _TIME, nullable=False, comment="When a request was last charged or an answer heeded"),
        schema="syncd",
        comment="What each source may still request; shared by all processes",
    )


def _changes(meta: sa.MetaData) -> None:
    sa.Table(
        "changes",
        meta,
        sa.Column(
            "id",
            _NUMBER,
            primary_key=True,
            autoincrement=False,
            comment="Number of the change: 1, 2, 3, … without a gap, in the order in which they were committed",
        ),
        sa.Column("source", _TEXT, nullable=False, comment="Configured name of the source"),
        sa.Column("stream", _TEXT, nullable=False, comment="Name of the stream"),
        sa.Column(
            "table_name",
            _TEXT,
            nullable=False,
            comment="Table of the row, with its schema; a child row bears that of its own table",
        ),
        sa.Column("key", pg.JSONB(), nullable=False, comment="Key of the row by column, without source"),
        sa.Column(
            "operation",
            _TEXT,
            nullable=False,
            comment="insert: the row is there (again); update: it changed; delete: it was found gone upstream",
        ),
        sa.Column(
            "changed",
            pg.ARRAY(_TEXT),
            comment="Names of the columns that an update changed, _extra among them; empty if only child rows did;"
            " null for insert and delete",
        ),
        sa.Column("changed_at", _TIME, nullable=False, comment="When the row was written; its _changed_at"),
        sa.Column("run_id", _NUMBER, comment="The run that wrote it; null for what a command mended"),
        sa.CheckConstraint("operation IN ('insert', 'update', 'delete')", name="changes_operation"),
        schema="syncd",
        comment="Every change of a row, of streams with changes = true, in the order of the commits: follow it with"
        " syncd.changes_since",
    )


def _callbacks(meta: sa.MetaData) -> None:
    sa.Table(
        "callbacks",
        meta,
        sa.Column("source", _TEXT, primary_key=True, comment="Configured name of the source"),
        sa.Column("digest", sa.LargeBinary(), primary_key=True, comment="SHA-256 of the secret part of the address"),
        sa.Column("made_at", _TIME, nullable=False, comment="When syncd made it up"),
        sa.Column("registered_at", _TIME, comment="When the upstream took it; null while that is not known"),
        sa.Column("heard_at", _TIME, comment="When the last callback came here"),
        sa.Column("heard", _TEXT, comment="What became of it, e.g. accepted, repeated, refused: too large"),
        schema="syncd",
        comment="Addresses at which callbacks of a source are accepted, known by a digest only",
    )


def _webhooks(meta: sa.MetaData) -> None:
    sa.Table(
        "webhooks",
        meta,
        sa.Column("source", _TEXT, primary_key=True, comment="Configured name of the source"),
        sa.Column("delivery", _TEXT, primary_key=True, comment="Number that the vendor gave the webhook"),
        sa.Column("taken_at", _TIME, nullable=False, comment="When it was taken"),
        sa.Index("webhooks_by_time", "taken_at"),
        schema="syncd",
        comment="Webhooks that were taken in the last seven days, so that a repeated one is known",
    )
    sa.Table(
        "callback_counts",
        meta,
        sa.Column("source", _TEXT, primary_key=True, comment="Configured name of the source"),
        sa.Column("day", sa.Date(), primary_key=True, comment="Day in UTC"),
        sa.Column("result", _TEXT, primary_key=True, comment="What became of the calls, e.g. accepted, repeated"),
        sa.Column("count", _NUMBER, nullable=False, comment="Calls of which that became"),
        sa.Column("last_at", _TIME, nullable=False, comment="When the last of them came"),
        schema="syncd",
        comment="Callbacks and webhooks by day and what became of them",
    )


def _sources(meta: sa.MetaData) -> None:
    sa.Table(
        "sources",
        meta,
        sa.Column("source", _TEXT, primary_key=True, comment="Configured name of the source"),
        sa.Column("type", _TEXT, nullable=False, comment="Type of the source: which API it is"),
        sa.Column("address", _TEXT, nullable=False, comment="base_url in its normal form"),
        sa.Column(
            "account",
            pg.JSONB(),
            nullable=False,
            comment="The options that name the account there; of a secret one only its SHA-256",
        ),
        sa.Column(
            "known_since", _TIME, nullable=False, comment="When this was stored, or last accepted by an operator"
        ),
        schema="syncd",
        comment="Whose data the rows of each source are; a run for another account is refused",
    )


def _forgotten(meta: sa.MetaData) -> None:
    sa.Table(
        "forgotten",
        meta,
        sa.Column("marker_id", _NUMBER, sa.Identity(always=True), primary_key=True, comment="Number of the marker"),
        sa.Column("source", _TEXT, nullable=False, comment="Configured name of the source"),
        sa.Column("stream", _TEXT, nullable=False, comment="Stream whose row the person was"),
        sa.Column("salt", sa.LargeBinary(), nullable=False, comment="Random; the same for all markers of a source"),
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="BLAKE2b of stream and key, keyed by the salt"),
        sa.Column("forgotten_at", _TIME, nullable=False, comment="When syncd forget was asked to"),
        sa.UniqueConstraint("source", "stream", "digest", name="forgotten_once"),
        schema="syncd",
        comment="Persons whom no sync may bring back; holds no key of theirs, but one that is known can be looked up",
    )


def _seen(meta: sa.MetaData) -> None:
    sa.Table(
        "seen",
        meta,
        sa.Column("source", _TEXT, nullable=False, comment="Configured name of the source"),
        sa.Column("stream", _TEXT, nullable=False, comment="Name of the stream"),
        sa.Column("seen_at", _TIME, nullable=False, comment="When the page was requested"),
        sa.Column("keys", pg.ARRAY(sa.BigInteger()), nullable=False, comment="hashtextextended of each key, seed 0"),
        sa.Column("seen_id", _NUMBER, sa.Identity(always=True), primary_key=True, comment="Number of the row"),
        sa.Index("seen_by_stream", "source", "stream"),
        schema="syncd",
        comment="Keys that an unfinished full listing has seen, one row a page; emptied when the pass ends",
    )


def _compatibility(meta: sa.MetaData) -> None:
    sa.Table(
        "compatibility",
        meta,
        sa.Column("revision", _TEXT, primary_key=True, comment="Number of the migration"),
        sa.Column(
            "oldest_program",
            _TEXT,
            nullable=False,
            comment="Number of the newest migration that this program has",
        ),
        schema="syncd",
        comment="For each migration applied, the oldest program that may work on the database as it is then",
    )


def _losses(meta: sa.MetaData) -> None:
    sa.Table(
        "losses",
        meta,
        sa.Column("loss_id", _NUMBER, sa.Identity(always=True), primary_key=True, comment="Number of the entry"),
        sa.Column("source", _TEXT, nullable=False, comment="Configured name of the source whose rows they were"),
        sa.Column("table_name", _TEXT, nullable=False, comment="Table of the mirror, with its schema"),
        sa.Column("rows_lost", _NUMBER, nullable=False, comment="Rows deleted, tombstones included"),
        sa.Column("lost_at", _TIME, nullable=False, comment="When they were deleted"),
        sa.Column("by_role", _TEXT, nullable=False, comment="Role of the session that deleted them"),
        schema="syncd",
        comment="Rows of the mirror that somebody else deleted; kept until a run has brought them back",
    )


def _lock_salt(meta: sa.MetaData) -> None:
    sa.Table(
        "lock_salt",
        meta,
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=False, comment="Always 1"),
        sa.Column("salt", sa.LargeBinary(), nullable=False, comment="Random"),
        schema="syncd",
        comment="Secret of this database that the numbers of its advisory locks are made with; only for its owner",
    )


def _kept_secrets(meta: sa.MetaData) -> None:
    sa.Table(
        "kept_secrets",
        meta,
        sa.Column("source", _TEXT, primary_key=True, comment="Configured name of the source"),
        sa.Column(
            "sealed",
            sa.LargeBinary(),
            nullable=False,
            comment="The secret, encrypted with the one in the configuration; nobody can read it without that",
        ),
        sa.Column("kept_at", _TIME, nullable=False, comment="When it was stored"),
        schema="syncd",
        comment="The newest secret that an upstream handed out in exchange for the configured one, such as a refresh"
        " token that rotates; only for its owner",
    )


def _notifications(meta: sa.MetaData) -> None:
    sa.Table(
        "notifications",
        meta,
        sa.Column("cause", _TEXT, primary_key=True, comment="What needed a look: source and kind of trouble"),
        sa.Column("began_at", _TIME, primary_key=True, comment="When it was first seen"),
        sa.Column("headline", _TEXT, nullable=False, comment="The cause in words, as it was told"),
        sa.Column("details", _TEXT, nullable=False, comment="The streams that it concerns, and the next step"),
        sa.Column("scope", _TEXT, nullable=False, comment="Host of the only daemon that sees it; empty: every daemon"),
        sa.Column("is_event", sa.Boolean(), nullable=False, comment="Whether it happened once and has no end"),
        sa.Column("told_at", _TIME, comment="When somebody was told; null: not yet, or never"),
        sa.Column("ended_at", _TIME, comment="When it was over; null while it stands"),
        sa.Column("over_told_at", _TIME, comment="When somebody was told that it is over"),
        sa.Index("notifications_open", "cause", unique=True, postgresql_where=sa.text("ended_at IS NULL")),
        schema="syncd",
        comment="What needed a look and who was told, so that a restart repeats nothing",
    )


def _workers(meta: sa.MetaData) -> None:
    sa.Table(
        "workers",
        meta,
        sa.Column("worker_id", pg.UUID(), primary_key=True, comment="Made anew for each life of a process"),
        sa.Column("host", _TEXT, nullable=False, comment="Machine that it runs on"),
        sa.Column("pid", _NUMBER, nullable=False, comment="Its process there"),
        sa.Column("version", _TEXT, nullable=False, comment="Version of syncd that it runs"),
        sa.Column("config_digest", _TEXT, nullable=False, comment="Digest of its configuration, secrets left out"),
        sa.Column("http_address", _TEXT, comment="Address of its status page; null: it has none"),
        sa.Column(
            "lease_s", sa.Double(), nullable=False, comment="Seconds without a beat after which it counts as lost"
        ),
        sa.Column("started_at", _TIME, nullable=False, comment="When it joined"),
        sa.Column(
            "beat_at", _TIME, nullable=False, comment="When it last said that it lives, by the clock of the database"
        ),
        sa.Column("is_leaving", sa.Boolean(), nullable=False, comment="Whether it ends, and takes nothing any more"),
        sa.Column("lost_at", _TIME, comment="When another worker declared it lost: from then on it commits nothing"),
        sa.Column(
            "shards", pg.ARRAY(sa.Integer()), nullable=False, comment="Numbers of the shards whose accounts it runs"
        ),
        sa.Column(
            "reloads_followed",
            _NUMBER,
            nullable=False,
            comment="Number of the last reload of all workers that it followed",
        ),
        sa.Column("refused", _TEXT, comment="Why it refused the configuration of that reload; null: it took it"),
        schema="syncd",
        comment="The processes of syncd worker; one that ended in order is not in it",
    )


def _scale(meta: sa.MetaData) -> None:
    sa.Table(
        "scale",
        meta,
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=False, comment="Always 1"),
        sa.Column("shards", _NUMBER, nullable=False, comment="Into how many shards the accounts are divided"),
        sa.Column(
            "reloads",
            _NUMBER,
            nullable=False,
            comment="How often all workers were told to read their configuration again",
        ),
        schema="syncd",
        comment="What all workers agree on; one row, written by the first worker",
    )


def _operators(meta: sa.MetaData) -> None:
    sa.Table(
        "acknowledgements",
        meta,
        sa.Column("cause", _TEXT, primary_key=True, comment="What needs a look: source and kind of trouble"),
        sa.Column("acknowledged_at", _TIME, nullable=False, comment="When somebody said so"),
        sa.Column("muted_until", _TIME, comment="Until when nobody is told of it; null: until it is over"),
        sa.Column("actor", _TEXT, nullable=False, comment="Who said so, as the proxy names them; else operator"),
        schema="syncd",
        comment="What needs a look and somebody knows of; a row goes when the cause or its time is over",
    )
    sa.Table(
        "pauses",
        meta,
        sa.Column("source", _TEXT, primary_key=True, comment="Configured name of the source"),
        sa.Column("stream", _TEXT, primary_key=True, comment="Name of the stream"),
        sa.Column("paused_at", _TIME, nullable=False, comment="Since when"),
        sa.Column("actor", _TEXT, nullable=False, comment="Who paused it, as the proxy names them; else operator"),
        schema="syncd",
        comment="Streams that an operator paused: no daemon starts a run of them",
    )
    sa.Table(
        "audit",
        meta,
        sa.Column("audit_id", _NUMBER, sa.Identity(always=True), primary_key=True, comment="Number of the entry"),
        sa.Column("at", _TIME, nullable=False, comment="When it was done"),
        sa.Column("actor", _TEXT, nullable=False, comment="Who did it, as the proxy names them; else operator"),
        sa.Column("action", _TEXT, nullable=False, comment="acknowledge, mute, withdraw, sync, pause or resume"),
        sa.Column("subject", _TEXT, nullable=False, comment="The cause, source or stream"),
        sa.Column("details", _TEXT, nullable=False, comment="What became of it, in words"),
        schema="syncd",
        comment="What operators did on the status page; nothing is ever deleted here",
    )


def _backfills(meta: sa.MetaData) -> None:
    table = sa.Table(
        "backfills",
        meta,
        sa.Column("part_id", _NUMBER, sa.Identity(always=True), primary_key=True, comment="Number of the part"),
        sa.Column("source", _TEXT, nullable=False, comment="Configured name of the source"),
        sa.Column("stream", _TEXT, nullable=False, comment="Name of the stream"),
        sa.Column("since", _TIME, nullable=False, comment="Begin of the range"),
        sa.Column("until", _TIME, comment="End of the range; null: up to when it is walked"),
        sa.Column("asked_at", _TIME, nullable=False, comment="When it was asked for, or asked for again"),
        sa.Column("finished_at", _TIME, comment="When it ended; null: not yet"),
        sa.Column("outcome", _TEXT, comment="How it ended: ok, failed or throttled"),
        sa.Column("error", _TEXT, comment="Why, if it did not end well"),
        sa.Index("backfills_open", "source", "stream", "since", postgresql_where=sa.text("finished_at IS NULL")),
        schema="syncd",
        comment="Parts of backfills that the service was asked for; whoever has the account walks them",
    )
    sa.Index(
        "backfills_once", table.c.source, table.c.stream, table.c.since, sa.text("coalesce(until, 'infinity')"),
        unique=True,
    )  # fmt: skip
