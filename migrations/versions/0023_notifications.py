"""What needed a look, and who was told."""

from alembic import op

revision = "0023"
down_revision = "0022"
oldest_program = "0015"


STATEMENTS = (
    """
    CREATE TABLE syncd.notifications (
        cause TEXT NOT NULL,
        began_at TIMESTAMP WITH TIME ZONE NOT NULL,
        headline TEXT NOT NULL,
        details TEXT NOT NULL,
        scope TEXT NOT NULL,
        is_event BOOLEAN NOT NULL,
        told_at TIMESTAMP WITH TIME ZONE,
        ended_at TIMESTAMP WITH TIME ZONE,
        over_told_at TIMESTAMP WITH TIME ZONE,
        PRIMARY KEY (cause, began_at)
    )
    """,
    "CREATE UNIQUE INDEX notifications_open ON syncd.notifications (cause) WHERE ended_at IS NULL",
    "COMMENT ON TABLE syncd.notifications IS 'What needed a look and who was told, so that a restart repeats nothing'",
    "COMMENT ON COLUMN syncd.notifications.cause IS 'What needed a look: source and kind of trouble'",
    "COMMENT ON COLUMN syncd.notifications.began_at IS 'When it was first seen'",
    "COMMENT ON COLUMN syncd.notifications.headline IS 'The cause in words, as it was told'",
    "COMMENT ON COLUMN syncd.notifications.details IS 'The streams that it concerns, and the next step'",
    "COMMENT ON COLUMN syncd.notifications.scope IS 'Host of the only daemon that sees it; empty: every daemon'",
    "COMMENT ON COLUMN syncd.notifications.is_event IS 'Whether it happened once and has no end'",
    "COMMENT ON COLUMN syncd.notifications.told_at IS 'When somebody was told; null: not yet, or never'",
    "COMMENT ON COLUMN syncd.notifications.ended_at IS 'When it was over; null while it stands'",
    "COMMENT ON COLUMN syncd.notifications.over_told_at IS 'When somebody was told that it is over'",
)


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for statement in STATEMENTS:
        execute(statement)
