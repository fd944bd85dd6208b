"""The map of stores looks accounts up one by one: the tables that name them are long."""

from alembic import op

revision = "0032"
down_revision = "0031"
oldest_program = "0015"


def _named(table: str) -> str:
    """Return whether a table names the account: the first one from it on is found in the order of the key."""
    return f"""coalesce((SELECT t.account_id FROM cyclesoftware.{table} AS t
                WHERE t.source = parsed.source AND t.account_id >= parsed.account_id AND t._deleted_at IS NULL
                ORDER BY t.account_id LIMIT 1) = parsed.account_id, false)"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(
        f"""
        CREATE OR REPLACE VIEW reporting.stores_map
          (source, account_id, store_number, store_id, store_name, is_own) AS
        SELECT source, account_id, store_number, store_id, store_name,
               {_named("sales_transactions")} OR {_named("stock_items")} OR {_named("service_items")}
        FROM (
          SELECT source, CASE WHEN store_id ~ '^[0-9]{{1,18}}-[0-9]{{1,18}}$' THEN split_part(store_id, '-', 1)::bigint END AS account_id,
                 CASE WHEN store_id ~ '^[0-9]{{1,18}}-[0-9]{{1,18}}$' THEN split_part(store_id, '-', 2)::bigint END AS store_number,
                 store_id, store_name
          FROM cyclesoftware.stores WHERE _deleted_at IS NULL
        ) AS parsed WHERE account_id IS NOT NULL
        """
    )
