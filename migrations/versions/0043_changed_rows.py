"""Sales orders and transactions are found by the time of their change: repairs are looked up for those that changed."""

from alembic import op

revision = "0043"
down_revision = "0042"
oldest_program = "0015"

STATEMENTS = (
    "CREATE INDEX sales_orders_by_change ON cyclesoftware.sales_orders USING brin (_changed_at)",
    "CREATE INDEX sales_transactions_by_change ON cyclesoftware.sales_transactions USING brin (_changed_at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
