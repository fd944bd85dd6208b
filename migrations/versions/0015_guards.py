"""What others delete from the mirror is noted, and locks have numbers that only the owner of the database can know."""

from alembic import op

revision = "0015"
down_revision = "0014"
oldest_program = "0015"

LOSSES = (
    """
    CREATE TABLE syncd.losses (
        loss_id BIGINT GENERATED ALWAYS AS IDENTITY,
        source TEXT NOT NULL,
        table_name TEXT NOT NULL,
        rows_lost BIGINT NOT NULL,
        lost_at TIMESTAMP WITH TIME ZONE NOT NULL,
        by_role TEXT NOT NULL,
        PRIMARY KEY (loss_id)
    )
    """,
    "COMMENT ON TABLE syncd.losses IS 'Rows of the mirror that somebody else deleted; kept until a run has brought them back'",
    "COMMENT ON COLUMN syncd.losses.loss_id IS 'Number of the entry'",
    "COMMENT ON COLUMN syncd.losses.source IS 'Configured name of the source whose rows they were'",
    "COMMENT ON COLUMN syncd.losses.table_name IS 'Table of the mirror, with its schema'",
    "COMMENT ON COLUMN syncd.losses.rows_lost IS 'Rows deleted, tombstones included'",
    "COMMENT ON COLUMN syncd.losses.lost_at IS 'When they were deleted'",
    "COMMENT ON COLUMN syncd.losses.by_role IS 'Role of the session that deleted them'",
    # With the rights of its owner: whoever may delete rows need not have a right to write here.
    """
    CREATE FUNCTION syncd.note_loss() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog SET row_security = off AS $$
    DECLARE
      place text := TG_TABLE_SCHEMA || '.' || TG_TABLE_NAME;
    BEGIN
      IF current_setting('syncd.erasing', true) = 'on' THEN
        RETURN NULL;
      END IF;
      IF TG_OP = 'TRUNCATE' THEN
        EXECUTE format(
          'INSERT INTO syncd.losses (source, table_name, rows_lost, lost_at, by_role)
           SELECT source, $1, count(*), clock_timestamp(), session_user FROM %I.%I GROUP BY source',
          TG_TABLE_SCHEMA, TG_TABLE_NAME) USING place;
      ELSE
        INSERT INTO syncd.losses (source, table_name, rows_lost, lost_at, by_role)
        SELECT source, place, count(*), clock_timestamp(), session_user FROM lost GROUP BY source;
      END IF;
      RETURN NULL;
    END
    $$
    """,
    "COMMENT ON FUNCTION syncd.note_loss IS 'Trigger of every table of the mirror: notes rows that somebody else deletes'",
    """
    CREATE FUNCTION syncd.watch(mirror_schema text, mirror_table text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
      EXECUTE format('CREATE TRIGGER syncd_deleted AFTER DELETE ON %1$I.%2$I REFERENCING OLD TABLE AS lost
        FOR EACH STATEMENT EXECUTE FUNCTION syncd.note_loss()', mirror_schema, mirror_table);
      EXECUTE format('CREATE TRIGGER syncd_truncated BEFORE TRUNCATE ON %1$I.%2$I
        FOR EACH STATEMENT EXECUTE FUNCTION syncd.note_loss()', mirror_schema, mirror_table);
      EXECUTE format('ALTER TABLE %1$I.%2$I ENABLE ALWAYS TRIGGER syncd_deleted', mirror_schema, mirror_table);
      EXECUTE format('ALTER TABLE %1$I.%2$I ENABLE ALWAYS TRIGGER syncd_truncated', mirror_schema, mirror_table);
    END
    $$
    """,
    "COMMENT ON FUNCTION syncd.watch IS 'Notes in syncd.losses what others delete from a table of the mirror, from now on'",
)
LOCKS = (
    """
    CREATE TABLE syncd.lock_salt (
        number BIGINT NOT NULL,
        salt BYTEA NOT NULL,
        PRIMARY KEY (number)
    )
    """,
    "COMMENT ON TABLE syncd.lock_salt IS 'Secret of this database that the numbers of its advisory locks are made with; only for its owner'",
    "COMMENT ON COLUMN syncd.lock_salt.number IS 'Always 1'",
    "COMMENT ON COLUMN syncd.lock_salt.salt IS 'Random'",
    "INSERT INTO syncd.lock_salt SELECT 1, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())",
    # default privileges may have given it to readers just now
    """
    DO $$
    DECLARE
      reader record;
    BEGIN
      FOR reader IN
        SELECT DISTINCT a.grantee FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = 'syncd.lock_salt'::regclass AND a.grantee <> c.relowner
      LOOP
        EXECUTE 'REVOKE ALL ON syncd.lock_salt FROM '
          || CASE reader.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(reader.grantee)) END;
      END LOOP;
    END
    $$
    """,
    """
    CREATE FUNCTION syncd.lock_key(lock_number bigint) RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE AS $$
      SELECT coalesce((
        SELECT ('x' || left(encode(sha256(salt || int8send(lock_number)), 'hex'), 16))::bit(64)::bigint
        FROM syncd.lock_salt WHERE number = 1
      ), lock_number)
    $$
    """,
    "COMMENT ON FUNCTION syncd.lock_key IS 'Number of an advisory lock in this database, which only its owner can know'",
    """
    CREATE OR REPLACE FUNCTION syncd.open_run(
        lock_number bigint, run_source text, run_stream text, run_kind text, run_lane text, cursor_kind text,
        now timestamptz, run_host text, run_pid bigint,
        OUT taken boolean, OUT run_id bigint, OUT cursor jsonb, OUT dead bigint
    ) LANGUAGE plpgsql AS $$
    BEGIN
      taken := pg_try_advisory_lock(syncd.lock_key(lock_number));
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
)


def upgrade() -> None:
    for statement in (*LOSSES, *LOCKS):
        op.get_bind().exec_driver_sql(statement)
