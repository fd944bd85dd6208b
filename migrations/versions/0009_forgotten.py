"""Markers of persons who were forgotten, and the generation that tells a page of them."""

from alembic import op

revision = "0009"
down_revision = "0008"


STATEMENTS = (
    """
    CREATE TABLE syncd.forgotten (
        marker_id BIGINT GENERATED ALWAYS AS IDENTITY,
        source TEXT NOT NULL,
        stream TEXT NOT NULL,
        salt BYTEA NOT NULL,
        digest BYTEA NOT NULL,
        forgotten_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (marker_id),
        CONSTRAINT forgotten_once UNIQUE (source, stream, digest)
    )
    """,
    "COMMENT ON TABLE syncd.forgotten IS 'Persons whom no sync may bring back; holds no key of theirs, but one that is known can be looked up'",
    "COMMENT ON COLUMN syncd.forgotten.marker_id IS 'Number of the marker'",
    "COMMENT ON COLUMN syncd.forgotten.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN syncd.forgotten.stream IS 'Stream whose row the person was'",
    "COMMENT ON COLUMN syncd.forgotten.salt IS 'Random; the same for all markers of a source'",
    "COMMENT ON COLUMN syncd.forgotten.digest IS 'BLAKE2b of stream and key, keyed by the salt'",
    "COMMENT ON COLUMN syncd.forgotten.forgotten_at IS 'When syncd forget was asked to'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
