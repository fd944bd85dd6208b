"""State of syncd: cursors, runs, rejects, drift, budgets."""

from alembic import op

revision = "0001"
down_revision = None


STATEMENTS = (
    "CREATE SCHEMA IF NOT EXISTS syncd",
    "COMMENT ON SCHEMA syncd IS 'What syncd knows of its own work'",
    """
    CREATE TABLE syncd.budgets (
        source TEXT NOT NULL,
        version BIGINT NOT NULL,
        state JSONB NOT NULL,
        minute_limit BIGINT,
        minute_remaining BIGINT,
        day_limit BIGINT,
        day_remaining BIGINT,
        day_reset_at TIMESTAMP WITH TIME ZONE,
        closed_until TIMESTAMP WITH TIME ZONE,
        day_used_live BIGINT DEFAULT 0 NOT NULL,
        day_used_backfill BIGINT DEFAULT 0 NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (source)
    )
    """,
    "COMMENT ON TABLE syncd.migrations IS 'Revision of this database; one row, written by syncd migrate'",
    "COMMENT ON COLUMN syncd.migrations.version_num IS 'Number of the last migration applied'",
    "COMMENT ON TABLE syncd.budgets IS 'What each source may still request; shared by all processes'",
    "COMMENT ON COLUMN syncd.budgets.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN syncd.budgets.version IS 'Counts the writes, so that processes never overwrite'",
    "COMMENT ON COLUMN syncd.budgets.state IS 'The windows, as syncd.budget keeps them'",
    "COMMENT ON COLUMN syncd.budgets.minute_limit IS 'Requests allowed in a moving minute; null if unknown'",
    "COMMENT ON COLUMN syncd.budgets.minute_remaining IS 'Of these, left at updated_at'",
    "COMMENT ON COLUMN syncd.budgets.day_limit IS 'Requests allowed in the day; null if unknown'",
    "COMMENT ON COLUMN syncd.budgets.day_remaining IS 'Of these, left at updated_at'",
    "COMMENT ON COLUMN syncd.budgets.day_reset_at IS 'When the day''s window begins anew'",
    "COMMENT ON COLUMN syncd.budgets.closed_until IS 'No request before this (429); null if open'",
    "COMMENT ON COLUMN syncd.budgets.day_used_live IS 'Requests sent today in lane live'",
    "COMMENT ON COLUMN syncd.budgets.day_used_backfill IS 'Requests sent today in lane backfill'",
    "COMMENT ON COLUMN syncd.budgets.updated_at IS 'When a request was last charged or an answer heeded'",
    """
    CREATE TABLE syncd.cursors (
        source TEXT NOT NULL,
        stream TEXT NOT NULL,
        kind TEXT NOT NULL,
        cursor JSONB NOT NULL,
        updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (source, stream, kind)
    )
    """,
    "COMMENT ON TABLE syncd.cursors IS 'Where each stream resumes; written in the transaction of the page that it follows'",
    "COMMENT ON COLUMN syncd.cursors.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN syncd.cursors.stream IS 'Name of the stream'",
    "COMMENT ON COLUMN syncd.cursors.kind IS 'live, sweep, or backfill with its range'",
    "COMMENT ON COLUMN syncd.cursors.cursor IS 'Where to resume; `pass` holds an unfinished pass'",
    "COMMENT ON COLUMN syncd.cursors.updated_at IS 'When the cursor last moved'",
    """
    CREATE TABLE syncd.drift (
        source TEXT NOT NULL,
        stream TEXT NOT NULL,
        field TEXT NOT NULL,
        change TEXT NOT NULL,
        first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        last_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        occurrences BIGINT DEFAULT 0 NOT NULL,
        sample TEXT,
        PRIMARY KEY (source, stream, field, change)
    )
    """,
    "COMMENT ON TABLE syncd.drift IS 'Fields that appeared, vanished or changed type against the vendor''s documents'",
    "COMMENT ON COLUMN syncd.drift.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN syncd.drift.stream IS 'Name of the stream'",
    "COMMENT ON COLUMN syncd.drift.field IS 'Upstream name of the field, dotted where nested'",
    "COMMENT ON COLUMN syncd.drift.change IS 'appeared, vanished or type_changed'",
    "COMMENT ON COLUMN syncd.drift.first_seen_at IS 'When it was first met'",
    "COMMENT ON COLUMN syncd.drift.last_seen_at IS 'When it was last met'",
    "COMMENT ON COLUMN syncd.drift.occurrences IS 'In how many parsed records'",
    "COMMENT ON COLUMN syncd.drift.sample IS 'Shape of one value: letters as x, digits as 9'",
    """
    CREATE TABLE syncd.rejects (
        reject_id BIGINT GENERATED ALWAYS AS IDENTITY,
        source TEXT NOT NULL,
        stream TEXT NOT NULL,
        reason TEXT NOT NULL,
        record TEXT NOT NULL,
        fingerprint BYTEA NOT NULL,
        run_id BIGINT NOT NULL,
        first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        last_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        occurrences BIGINT DEFAULT 0 NOT NULL,
        PRIMARY KEY (reject_id),
        CONSTRAINT rejects_once UNIQUE (source, stream, fingerprint)
    )
    """,
    "COMMENT ON TABLE syncd.rejects IS 'Records that could not become a row, kept until they can (`syncd rejects replay`)'",
    "COMMENT ON COLUMN syncd.rejects.reject_id IS 'Number of the reject'",
    "COMMENT ON COLUMN syncd.rejects.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN syncd.rejects.stream IS 'Name of the stream'",
    "COMMENT ON COLUMN syncd.rejects.reason IS 'Why the record could not become a row'",
    "COMMENT ON COLUMN syncd.rejects.record IS 'The record as sent (secrets digested)'",
    "COMMENT ON COLUMN syncd.rejects.fingerprint IS 'Fingerprint of the record'",
    "COMMENT ON COLUMN syncd.rejects.run_id IS 'The run that last met it'",
    "COMMENT ON COLUMN syncd.rejects.first_seen_at IS 'When it was first met'",
    "COMMENT ON COLUMN syncd.rejects.last_seen_at IS 'When it was last met'",
    "COMMENT ON COLUMN syncd.rejects.occurrences IS 'How often it was met'",
    """
    CREATE TABLE syncd.runs (
        run_id BIGINT GENERATED ALWAYS AS IDENTITY,
        source TEXT NOT NULL,
        stream TEXT NOT NULL,
        kind TEXT NOT NULL,
        lane TEXT NOT NULL,
        started_at TIMESTAMP WITH TIME ZONE NOT NULL,
        finished_at TIMESTAMP WITH TIME ZONE,
        outcome TEXT NOT NULL,
        error TEXT,
        error_kind TEXT,
        requests BIGINT DEFAULT 0 NOT NULL,
        pages BIGINT DEFAULT 0 NOT NULL,
        rows_seen BIGINT DEFAULT 0 NOT NULL,
        rows_inserted BIGINT DEFAULT 0 NOT NULL,
        rows_updated BIGINT DEFAULT 0 NOT NULL,
        rows_unchanged BIGINT DEFAULT 0 NOT NULL,
        rows_deleted BIGINT DEFAULT 0 NOT NULL,
        rows_rejected BIGINT DEFAULT 0 NOT NULL,
        rows_expected BIGINT,
        budget_wait_s DOUBLE PRECISION DEFAULT 0 NOT NULL,
        notes JSONB,
        host TEXT,
        pid BIGINT,
        PRIMARY KEY (run_id),
        CONSTRAINT runs_outcome CHECK (outcome IN ('running', 'ok', 'throttled', 'failed', 'aborted'))
    )
    """,
    "CREATE INDEX runs_by_stream ON syncd.runs (source, stream, kind, run_id DESC)",
    "CREATE INDEX runs_by_time ON syncd.runs (started_at)",
    "COMMENT ON TABLE syncd.runs IS 'Every run of every stream, with its outcome and counts'",
    "COMMENT ON COLUMN syncd.runs.run_id IS 'Number of the run'",
    "COMMENT ON COLUMN syncd.runs.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN syncd.runs.stream IS 'Name of the stream'",
    "COMMENT ON COLUMN syncd.runs.kind IS 'live, sweep, backfill or verify'",
    "COMMENT ON COLUMN syncd.runs.lane IS 'Budget lane: live or backfill'",
    "COMMENT ON COLUMN syncd.runs.started_at IS 'When the run began'",
    "COMMENT ON COLUMN syncd.runs.finished_at IS 'When it ended; null while it is running'",
    "COMMENT ON COLUMN syncd.runs.outcome IS 'running, ok, throttled, failed or aborted'",
    "COMMENT ON COLUMN syncd.runs.error IS 'What went wrong, in a sentence, and what to do'",
    "COMMENT ON COLUMN syncd.runs.error_kind IS 'Class of the error, e.g. ScopeMissing, Throttled, SweepRefused'",
    "COMMENT ON COLUMN syncd.runs.requests IS 'Requests sent, each try counted'",
    "COMMENT ON COLUMN syncd.runs.pages IS 'Pages committed'",
    "COMMENT ON COLUMN syncd.runs.rows_seen IS 'Records received'",
    "COMMENT ON COLUMN syncd.runs.rows_inserted IS 'Rows new to the mirror'",
    "COMMENT ON COLUMN syncd.runs.rows_updated IS 'Rows whose content changed, or that returned'",
    "COMMENT ON COLUMN syncd.runs.rows_unchanged IS 'Records equal to what was stored'",
    "COMMENT ON COLUMN syncd.runs.rows_deleted IS 'Rows buried'",
    "COMMENT ON COLUMN syncd.runs.rows_rejected IS 'Records that could not become a row'",
    "COMMENT ON COLUMN syncd.runs.rows_expected IS 'Length of the list, if the upstream says so'",
    "COMMENT ON COLUMN syncd.runs.budget_wait_s IS 'Seconds waited'",
    "COMMENT ON COLUMN syncd.runs.notes IS 'What happened on the way: retries, faults, doubts'",
    "COMMENT ON COLUMN syncd.runs.host IS 'Host of the process'",
    "COMMENT ON COLUMN syncd.runs.pid IS 'Process id'",
    """
    CREATE TABLE syncd.seen (
        source TEXT NOT NULL,
        stream TEXT NOT NULL,
        seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        keys BIGINT[] NOT NULL
    )
    """,
    "CREATE INDEX seen_by_stream ON syncd.seen (source, stream)",
    "COMMENT ON TABLE syncd.seen IS 'Keys that an unfinished full listing has seen, one row a page; emptied when the pass ends'",
    "COMMENT ON COLUMN syncd.seen.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN syncd.seen.stream IS 'Name of the stream'",
    "COMMENT ON COLUMN syncd.seen.seen_at IS 'When the page was requested'",
    "COMMENT ON COLUMN syncd.seen.keys IS 'hashtextextended of each key, seed 0'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
