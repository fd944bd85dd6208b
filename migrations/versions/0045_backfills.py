"""Backfills that the service walks: a row for each part, which whoever has the account takes."""

from alembic import op

revision = "0045"
down_revision = "0043"
oldest_program = "0015"


STATEMENTS = (
    """
    CREATE TABLE syncd.backfills (
        part_id BIGINT GENERATED ALWAYS AS IDENTITY,
        source TEXT NOT NULL,
        stream TEXT NOT NULL,
        since TIMESTAMP WITH TIME ZONE NOT NULL,
        until TIMESTAMP WITH TIME ZONE,
        asked_at TIMESTAMP WITH TIME ZONE NOT NULL,
        finished_at TIMESTAMP WITH TIME ZONE,
        outcome TEXT,
        error TEXT,
        PRIMARY KEY (part_id)
    )
    """,
    """
    CREATE UNIQUE INDEX backfills_once ON syncd.backfills (source, stream, since, coalesce(until, 'infinity'))
    """,
    """
    CREATE INDEX backfills_open ON syncd.backfills (source, stream, since) WHERE finished_at IS NULL
    """,
    "COMMENT ON TABLE syncd.backfills IS 'Parts of backfills that the service was asked for; whoever has the account walks them'",
    "COMMENT ON COLUMN syncd.backfills.part_id IS 'Number of the part'",
    "COMMENT ON COLUMN syncd.backfills.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN syncd.backfills.stream IS 'Name of the stream'",
    "COMMENT ON COLUMN syncd.backfills.since IS 'Begin of the range'",
    "COMMENT ON COLUMN syncd.backfills.until IS 'End of the range; null: up to when it is walked'",
    "COMMENT ON COLUMN syncd.backfills.asked_at IS 'When it was asked for, or asked for again'",
    "COMMENT ON COLUMN syncd.backfills.finished_at IS 'When it ended; null: not yet'",
    "COMMENT ON COLUMN syncd.backfills.outcome IS 'How it ended: ok, failed or throttled'",
    "COMMENT ON COLUMN syncd.backfills.error IS 'Why, if it did not end well'",
)


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for statement in STATEMENTS:
        execute(statement)
