"""Pages of full listings that changed nothing are known by their text."""

from alembic import op

revision = "0047"
down_revision = "0046"
oldest_program = "0015"

STATEMENTS = (
    """
    CREATE TABLE syncd.known_pages (
        source TEXT NOT NULL,
        stream TEXT NOT NULL,
        digest BYTEA NOT NULL,
        records BIGINT NOT NULL,
        first_bytes BIGINT NOT NULL,
        tail_bytes BIGINT NOT NULL,
        recipe BYTEA NOT NULL,
        fingerprints BYTEA NOT NULL,
        met_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (source, stream, digest)
    )
    """,
    "COMMENT ON TABLE syncd.known_pages IS 'Pages of full listings that changed nothing: if the same text comes again, it need not be read anew'",
    "COMMENT ON COLUMN syncd.known_pages.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN syncd.known_pages.stream IS 'Name of the stream'",
    "COMMENT ON COLUMN syncd.known_pages.digest IS 'SHA-256 of the text of the page''s records'",
    "COMMENT ON COLUMN syncd.known_pages.records IS 'How many records it holds'",
    "COMMENT ON COLUMN syncd.known_pages.first_bytes IS 'Length of the first record'",
    "COMMENT ON COLUMN syncd.known_pages.tail_bytes IS 'Length of the last five records, with the commas between them'",
    "COMMENT ON COLUMN syncd.known_pages.recipe IS 'How records became fingerprints'",
    "COMMENT ON COLUMN syncd.known_pages.fingerprints IS 'SHA-256 of the fingerprints, in the order of the records'",
    "COMMENT ON COLUMN syncd.known_pages.met_at IS 'When it was last met; a listing that ends drops those that it did not meet'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
