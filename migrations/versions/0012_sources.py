"""Whose data the rows of a source are."""

from alembic import op

revision = "0012"
down_revision = "0011"
oldest_program = "0011"


STATEMENTS = (
    """
    CREATE TABLE syncd.sources (
        source TEXT NOT NULL,
        type TEXT NOT NULL,
        address TEXT NOT NULL,
        account JSONB NOT NULL,
        known_since TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (source)
    )
    """,
    "COMMENT ON TABLE syncd.sources IS 'Whose data the rows of each source are; a run for another account is refused'",
    "COMMENT ON COLUMN syncd.sources.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN syncd.sources.type IS 'Type of the source: which API it is'",
    "COMMENT ON COLUMN syncd.sources.address IS 'base_url in its normal form'",
    "COMMENT ON COLUMN syncd.sources.account IS 'The options that name the account there; of a secret one only its SHA-256'",
    "COMMENT ON COLUMN syncd.sources.known_since IS 'When this was stored, or last accepted by an operator'",
    # Volatile, so that it sees what was committed up to its own call: a run calls it after it took the stream's lock.
    # The number of the run is asked for only so that PostgreSQL cannot call it before the run was opened.
    """
    CREATE FUNCTION syncd.identity_of(run_source text, opened_run bigint) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
    BEGIN
      RETURN (
        SELECT jsonb_build_object('type', s.type, 'address', s.address, 'account', s.account)
        FROM syncd.sources s WHERE s.source = run_source
      );
    END
    $$
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
