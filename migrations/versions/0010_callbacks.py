"""Callbacks: the addresses that syncd registered, and a kind of run that the fence of a stream knows."""

from alembic import op

revision = "0010"
down_revision = "0009"


STATEMENTS = (
    """
    CREATE TABLE syncd.callbacks (
        source TEXT NOT NULL,
        digest BYTEA NOT NULL,
        made_at TIMESTAMP WITH TIME ZONE NOT NULL,
        registered_at TIMESTAMP WITH TIME ZONE,
        heard_at TIMESTAMP WITH TIME ZONE,
        heard TEXT,
        PRIMARY KEY (source, digest)
    )
    """,
    "COMMENT ON TABLE syncd.callbacks IS 'Addresses at which callbacks of a source are accepted, known by a digest only'",
    "COMMENT ON COLUMN syncd.callbacks.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN syncd.callbacks.digest IS 'SHA-256 of the secret part of the address'",
    "COMMENT ON COLUMN syncd.callbacks.made_at IS 'When syncd made it up'",
    "COMMENT ON COLUMN syncd.callbacks.registered_at IS 'When the upstream took it; null while that is not known'",
    "COMMENT ON COLUMN syncd.callbacks.heard_at IS 'When the last callback came here'",
    "COMMENT ON COLUMN syncd.callbacks.heard IS 'What became of it, e.g. accepted, repeated, refused: too large'",
    # a run of callbacks is under the same lock as live runs and sweeps
    """
    CREATE OR REPLACE FUNCTION syncd.open_run(
        lock_number bigint, run_source text, run_stream text, run_kind text, run_lane text, cursor_kind text,
        now timestamptz, run_host text, run_pid bigint,
        OUT taken boolean, OUT run_id bigint, OUT cursor jsonb, OUT dead bigint
    ) LANGUAGE plpgsql AS $$
    BEGIN
      taken := pg_try_advisory_lock(lock_number);
      IF NOT taken THEN
        RETURN;
      END IF;
      -- every statement from here on sees what was committed before the lock was taken
      UPDATE syncd.runs r SET outcome = 'aborted', finished_at = now, error_kind = 'Killed',
             error = 'the process ended without a word; the next run goes on from the last committed page'
      WHERE r.source = run_source AND r.stream = run_stream AND r.outcome = 'running'
        AND (r.kind = run_kind OR r.kind IN ('live', 'sweep', 'callback') AND run_kind IN ('live', 'sweep', 'callback'));
      GET DIAGNOSTICS dead = ROW_COUNT;
      INSERT INTO syncd.runs AS r (source, stream, kind, lane, started_at, outcome, host, pid)
      VALUES (run_source, run_stream, run_kind, run_lane, now, 'running', run_host, run_pid)
      RETURNING r.run_id INTO run_id;
      SELECT c.cursor INTO cursor FROM syncd.cursors c
      WHERE c.source = run_source AND c.stream = run_stream AND c.kind = cursor_kind;
    END
    $$
    """,
    "COMMENT ON COLUMN syncd.runs.kind IS 'live, sweep, backfill, verify or callback'",
    "COMMENT ON COLUMN reporting.sync_history.kind IS 'live, sweep, backfill, verify or callback'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
