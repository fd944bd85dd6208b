"""A key for every table, so that a publication of all tables can be fed; and which programs a revision admits."""

from alembic import op

revision = "0011"
down_revision = "0010"
oldest_program = "0011"


STATEMENTS = (
    "ALTER TABLE syncd.seen ADD COLUMN seen_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "COMMENT ON COLUMN syncd.seen.seen_id IS 'Number of the row'",
    """
    CREATE TABLE syncd.compatibility (
        revision TEXT NOT NULL,
        oldest_program TEXT NOT NULL,
        PRIMARY KEY (revision)
    )
    """,
    "COMMENT ON TABLE syncd.compatibility IS 'For each migration applied, the oldest program that may work on the database as it is then'",
    "COMMENT ON COLUMN syncd.compatibility.revision IS 'Number of the migration'",
    "COMMENT ON COLUMN syncd.compatibility.oldest_program IS 'Number of the newest migration that this program has'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
