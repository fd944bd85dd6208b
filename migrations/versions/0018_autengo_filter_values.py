"""More of the mirror of autengo: the values that filters know."""

from alembic import op

revision = "0018"
down_revision = "0017"
oldest_program = "0015"


STATEMENTS = (
    """
    CREATE TABLE autengo.filter_values (
        source TEXT NOT NULL,
        field TEXT NOT NULL,
        value TEXT NOT NULL,
        _first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _deleted_at TIMESTAMP WITH TIME ZONE,
        _extra JSONB,
        _hash BYTEA,
        PRIMARY KEY (source, field, value)
    )
    """,
    "COMMENT ON TABLE autengo.filter_values IS 'Values that the account''s vehicles have, by field; also in vehicles, so only worth it to check the mirror'",
    "COMMENT ON COLUMN autengo.filter_values.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN autengo.filter_values.field IS 'The field, e.g. makeId'",
    "COMMENT ON COLUMN autengo.filter_values.value IS 'A value that at least one vehicle has; numbers and booleans as their text'",
    "COMMENT ON COLUMN autengo.filter_values._first_seen_at IS 'When syncd first saw this row'",
    "COMMENT ON COLUMN autengo.filter_values._changed_at IS 'When the mirrored content last changed'",
    "COMMENT ON COLUMN autengo.filter_values._deleted_at IS 'When the row was found gone upstream; null while it exists there'",
    "COMMENT ON COLUMN autengo.filter_values._extra IS 'Fields without a column and values that do not fit theirs, under their upstream names, as sent'",
    "COMMENT ON COLUMN autengo.filter_values._hash IS 'Fingerprint of the content as sent; null forces a comparison'",
)

TABLES = ("filter_values",)


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for statement in STATEMENTS:
        execute(statement)
    for table in TABLES:
        execute(f"SELECT history.add('autengo', '{table}')")
