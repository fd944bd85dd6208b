"""A run begins with one statement: it takes the stream's lock and opens the run."""

from alembic import op

revision = "0007"
down_revision = "0006"


STATEMENTS = (
    """
    CREATE FUNCTION syncd.open_run(
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
        AND (r.kind = run_kind OR r.kind IN ('live', 'sweep') AND run_kind IN ('live', 'sweep'));
      GET DIAGNOSTICS dead = ROW_COUNT;
      INSERT INTO syncd.runs AS r (source, stream, kind, lane, started_at, outcome, host, pid)
      VALUES (run_source, run_stream, run_kind, run_lane, now, 'running', run_host, run_pid)
      RETURNING r.run_id INTO run_id;
      SELECT c.cursor INTO cursor FROM syncd.cursors c
      WHERE c.source = run_source AND c.stream = run_stream AND c.kind = cursor_kind;
    END
    $$
    """,
    "COMMENT ON FUNCTION syncd.open_run IS 'Takes the lock of a stream for this session, ends its dead runs, opens a run'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
