"""The mirror of toy."""

from alembic import op

revision = "9999"
down_revision = "NEWEST"

_OWN = """
    _first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    _changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    _deleted_at TIMESTAMP WITH TIME ZONE,
    _extra JSONB,
    _hash BYTEA,
"""

STATEMENTS = (
    "CREATE SCHEMA toy",
    f"""
    CREATE TABLE toy.members (
        source TEXT NOT NULL, member_id BIGINT NOT NULL, name TEXT, joined_at TIMESTAMP WITH TIME ZONE,
        {_OWN} PRIMARY KEY (source, member_id)
    )
    """,
    f"""
    CREATE TABLE toy.member_visits (
        source TEXT NOT NULL, member_id BIGINT NOT NULL, visit_id BIGINT NOT NULL, place TEXT,
        {_OWN} PRIMARY KEY (source, member_id, visit_id)
    )
    """,
    f"""
    CREATE TABLE toy.labels (
        source TEXT NOT NULL, label_id TEXT NOT NULL, colour TEXT, {_OWN} PRIMARY KEY (source, label_id)
    )
    """,
    *(f"SELECT history.add('toy', '{table}')" for table in ("members", "member_visits", "labels")),
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
