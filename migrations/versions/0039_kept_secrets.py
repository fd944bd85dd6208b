"""Secrets that an upstream hands out and that outlive the process, such as refresh tokens that rotate."""

from alembic import op

revision = "0039"
down_revision = "0038"
oldest_program = "0015"

STATEMENTS = (
    """
    CREATE TABLE syncd.kept_secrets (
        source TEXT NOT NULL,
        sealed BYTEA NOT NULL,
        kept_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (source)
    )
    """,
    "COMMENT ON TABLE syncd.kept_secrets IS 'The newest secret that an upstream handed out in exchange for the configured one, such as a refresh token that rotates; only for its owner'",
    "COMMENT ON COLUMN syncd.kept_secrets.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN syncd.kept_secrets.sealed IS 'The secret, encrypted with the one in the configuration; nobody can read it without that'",
    "COMMENT ON COLUMN syncd.kept_secrets.kept_at IS 'When it was stored'",
    # default privileges may have given it to readers just now
    """
    DO $$
    DECLARE
      reader record;
    BEGIN
      FOR reader IN
        SELECT DISTINCT a.grantee FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = 'syncd.kept_secrets'::regclass AND a.grantee <> c.relowner
      LOOP
        EXECUTE 'REVOKE ALL ON syncd.kept_secrets FROM '
          || CASE reader.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(reader.grantee)) END;
      END LOOP;
    END
    $$
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
