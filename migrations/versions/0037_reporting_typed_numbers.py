"""Beside each number of unlimited length in a view stands the same number with a type that has limits.

A driver that must know how long a number can be gives text for such a column, or fails (ADBC, Polars). An amount gets
`<name>_decimal numeric(18,4)`, a measure or a count `<name>_float double precision`. `freshness.lag` has `lag_s`
already. What exceeds the limits is null in the new column only.
"""

from alembic import op

revision = "0037"
down_revision = "0036"
oldest_program = "0015"

# For each view its amounts and its measures.
COLUMNS: dict[str, tuple[str, str]] = {
    "article_stock": ("purchase_price stock_value", "stock_level"),
    "articles": ("price web_price rrp purchase_price promo_price", "weight_netto stock_level"),
    "companies": ("lease_cost lease_value", ""),
    "customers": ("", "discount_percent"),
    "customers_history": ("", "discount_percent"),
    "dealers": ("", "latitude longitude"),
    "goods_received": ("unit_price total unit_price_now", "quantity"),
    "lease_orders": ("lease_cost lease_value maintenance_budget", ""),
    "lease_orders_history": ("lease_cost lease_value", ""),
    "lease_pipeline": ("lease_cost lease_value", ""),
    "open_order_lines": ("", "quantity in_stock open_at_suppliers"),
    "parts": ("net_price list_price deposit", "discount_percent quantity quantity_everywhere units_per_sale"),
    "parts_history": ("net_price list_price", "quantity quantity_everywhere"),
    "parts_order_lines": ("net_price", "quantity"),
    "sales_lines": ("", "quantity work_minutes"),
    "service_due": ("price paid_in_advance", ""),
    "stock": ("purchase_value retail_value", ""),
    "stock_objects": ("purchase_price retail_price", ""),
    "stock_objects_history": ("purchase_price retail_price", ""),
    "stores": ("", "latitude longitude"),
    "vehicle_inventory": ("dealer_price yard_price", "kilometers"),
    "vehicles": ("dealer_price yard_price", "power_kw kilometers"),
    "vehicles_history": ("dealer_price yard_price", "kilometers"),
    "workshop_days": ("", "load_percent"),
    "workshop_orders": ("", "days_to_booking"),
}

DECIMAL, FLOAT = "numeric(18,4)", "double precision"


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for view, (amounts, measures) in COLUMNS.items():
        added = [
            *((name, f"{name}_decimal", _bounded(f"v.{name}", 10**13), DECIMAL) for name in amounts.split()),
            # digits that a double cannot hold are cut off first, or the least number would be an error
            *((name, f"{name}_float", _bounded(f"round(v.{name}, 12)", 10**15), FLOAT) for name in measures.split()),
        ]
        columns = ", ".join(f"({value})::{type_} AS {new}" for _, new, value, type_ in added)
        # the view's own query stays as it is, and PostgreSQL merges the two when it plans
        execute(
            f"""
            DO $$ BEGIN
              EXECUTE 'CREATE OR REPLACE VIEW reporting.{view} AS SELECT v.*, {columns} FROM ('
                || rtrim(pg_get_viewdef('reporting.{view}'::regclass), ';') || ') AS v';
            END $$
            """
        )
        for old, new, _, type_ in added:
            execute(
                f"""
                DO $$ BEGIN
                  EXECUTE (
                    SELECT format('COMMENT ON COLUMN reporting.{view}.{new} IS %L', description || ' (as {type_})')
                    FROM pg_description JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid
                    WHERE objoid = 'reporting.{view}'::regclass AND attname = '{old}'
                  );
                END $$
                """
            )


def _bounded(value: str, limit: int) -> str:
    """Return a number that is null from a limit on, either way. The value stands in it once: it may be a subquery."""
    return f"nullif(nullif(greatest(least({value}, {limit}), -{limit}), {limit}), -{limit})"
