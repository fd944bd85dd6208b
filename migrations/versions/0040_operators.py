"""What operators do on the status page: acknowledged causes, paused streams, and the audit."""

from alembic import op

revision = "0040"
down_revision = "0039"
oldest_program = "0015"


STATEMENTS = (
    """
    CREATE TABLE syncd.acknowledgements (
        cause TEXT NOT NULL,
        acknowledged_at TIMESTAMP WITH TIME ZONE NOT NULL,
        muted_until TIMESTAMP WITH TIME ZONE,
        actor TEXT NOT NULL,
        PRIMARY KEY (cause)
    )
    """,
    """
    CREATE TABLE syncd.pauses (
        source TEXT NOT NULL,
        stream TEXT NOT NULL,
        paused_at TIMESTAMP WITH TIME ZONE NOT NULL,
        actor TEXT NOT NULL,
        PRIMARY KEY (source, stream)
    )
    """,
    """
    CREATE TABLE syncd.audit (
        audit_id BIGINT GENERATED ALWAYS AS IDENTITY,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        details TEXT NOT NULL,
        PRIMARY KEY (audit_id)
    )
    """,
    "COMMENT ON TABLE syncd.acknowledgements IS 'What needs a look and somebody knows of; a row goes when the cause or its time is over'",
    "COMMENT ON COLUMN syncd.acknowledgements.cause IS 'What needs a look: source and kind of trouble'",
    "COMMENT ON COLUMN syncd.acknowledgements.acknowledged_at IS 'When somebody said so'",
    "COMMENT ON COLUMN syncd.acknowledgements.muted_until IS 'Until when nobody is told of it; null: until it is over'",
    "COMMENT ON COLUMN syncd.acknowledgements.actor IS 'Who said so, as the proxy names them; else operator'",
    "COMMENT ON TABLE syncd.pauses IS 'Streams that an operator paused: no daemon starts a run of them'",
    "COMMENT ON COLUMN syncd.pauses.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN syncd.pauses.stream IS 'Name of the stream'",
    "COMMENT ON COLUMN syncd.pauses.paused_at IS 'Since when'",
    "COMMENT ON COLUMN syncd.pauses.actor IS 'Who paused it, as the proxy names them; else operator'",
    "COMMENT ON TABLE syncd.audit IS 'What operators did on the status page; nothing is ever deleted here'",
    "COMMENT ON COLUMN syncd.audit.audit_id IS 'Number of the entry'",
    "COMMENT ON COLUMN syncd.audit.at IS 'When it was done'",
    "COMMENT ON COLUMN syncd.audit.actor IS 'Who did it, as the proxy names them; else operator'",
    "COMMENT ON COLUMN syncd.audit.action IS 'acknowledge, mute, withdraw, sync, pause or resume'",
    "COMMENT ON COLUMN syncd.audit.subject IS 'The cause, source or stream'",
    "COMMENT ON COLUMN syncd.audit.details IS 'What became of it, in words'",
)


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for statement in STATEMENTS:
        execute(statement)
