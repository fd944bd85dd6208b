"""Runs under way are found by an index of their own, however many runs are kept."""

from alembic import op

revision = "0046"
down_revision = "0045"
oldest_program = "0015"


def upgrade() -> None:
    op.get_bind().exec_driver_sql(
        "CREATE INDEX runs_running ON syncd.runs (source, stream) WHERE outcome = 'running'"
    )  # fmt: skip
