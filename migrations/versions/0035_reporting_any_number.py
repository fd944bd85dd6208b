"""The views of sales, articles and goods received bear any number: an amount that no shop has is null there.

One extreme amount in one row made every query on its view fail: it does not fit numeric(14, 2), and the least bigint
has no absolute value.
"""

import re

from alembic import op

revision = "0035"
down_revision = "0034"
oldest_program = "0015"


def _money(cents: str) -> str:
    """Return the amount of these cents, which are numeric."""
    return f"(CASE WHEN abs({cents}) < 99999999999999.5 THEN {cents} / 100.0 END)::numeric(14, 2)"


ABSOLUTE = re.compile(r"\babs\(((?:min\()?\w+\.\w+\)?)\)")

# For each view its query; the columns, their order and their types stay.
VIEWS = {
    "sales_lines": f"""
        SELECT items.source, items.account_id, items.sales_transaction_number, items.sales_item_id,
               concat_ws('-', sales.account_id, sales.store_id),
               (SELECT store_name FROM cyclesoftware.stores
                WHERE stores.source = sales.source AND stores._deleted_at IS NULL
                  AND stores.store_id = concat_ws('-', sales.account_id, sales.store_id)),
               sales.is_final IS TRUE, sales.debit_sales_transaction_number IS NOT NULL, sales.booked_at,
               date_trunc('month', sales.booked_at AT TIME ZONE 'Europe/Amsterdam')::date,
               nullif(sales.customer_id, 0), sales.sales_employee_id, sales.sales_employee_name,
               nullif(sales.workshop_order_mechanic_employee_id, 0), sales.workshop_order_mechanic_employee_name,
               nullif(sales.sales_order_id, 0), nullif(sales.workshop_order_id, 0),
               (SELECT enums.description FROM cyclesoftware.enums
                WHERE enums.source = items.source AND subject = 'transaction_item_types' AND id = items.item_type_id
                  AND enums._deleted_at IS NULL),
               items.pos_group_name,
               coalesce(nullif(btrim(items.object_brand_name), ''), nullif(btrim(items.article_brand_name), '')),
               coalesce(nullif(btrim(items.article_dst_main_name), ''), nullif(btrim(items.object_category_name), '')),
               items.barcode, nullif(items.object_id, 0), items.object_id > 0 AND items.quantity > 0,
               items.object_is_elo_bike, items.description, items.quantity,
               {_money("(items.unit_discount_ex_vat_cents::numeric * items.quantity)")},
               {_money("items.nett_line_price_ex_vat_cents::numeric")},
               {_money("items.nett_line_price_in_vat_cents::numeric")},
               {_money("(items.purchase_price_ex_vat_cents::numeric * items.quantity)")},
               {_money("(items.nett_line_price_ex_vat_cents - items.purchase_price_ex_vat_cents::numeric * items.quantity)")},
               items.unit_work_time_minutes * items.quantity
        FROM cyclesoftware.sales_transactions AS sales
        JOIN cyclesoftware.sales_transaction_items AS items USING (source, account_id, sales_transaction_number)
        WHERE sales._deleted_at IS NULL AND items._deleted_at IS NULL
        """,
    "workshop_orders": f"""
        SELECT orders.source, orders.workshop_order_id, orders.store_id, nullif(orders.customer_id, 0),
               (SELECT full_name FROM reporting.customers
                WHERE customers.source = orders.source AND customers.customer_id = orders.customer_id),
               nullif(orders.repair_object_id, 0), nullif(concat_ws(' ', nullif(objects.brand, ''), nullif(objects.model, '')), ''),
               coalesce(objects.lease_fleet_customer_id, 0) > 0, nullif(orders.mechanic_employee_id, 0),
               (SELECT employee_name FROM cyclesoftware.employees
                WHERE employees.source = orders.source AND employees.employee_id = orders.mechanic_employee_id),
               (SELECT enums.description FROM cyclesoftware.enums
                WHERE enums.source = orders.source AND subject = 'workshop_order_types'
                  AND id = orders.workshop_order_type_id AND enums._deleted_at IS NULL),
               orders.status_text, orders.datetime_created,
               date_trunc('month', orders.datetime_created AT TIME ZONE 'Europe/Amsterdam')::date,
               orders.datetime_scheduled_start,
               (orders.datetime_scheduled_start AT TIME ZONE 'Europe/Amsterdam')::date,
               coalesce(nullif(orders.custom_repair_time_minutes, 0), orders.total_repair_time_minutes),
               coalesce(items.lines, 0), {_money("coalesce(items.cents, 0)")}, nullif(orders.invoice_number, 0),
               sold.booked_at, round(extract(epoch FROM sold.booked_at - orders.datetime_created) / 86400, 1)
        FROM cyclesoftware.workshop_orders AS orders
        LEFT JOIN cyclesoftware.repair_objects AS objects
          ON objects.source = orders.source AND objects.object_id = orders.repair_object_id
        LEFT JOIN LATERAL (
          SELECT count(*) AS lines, sum(price_in_vat_cents)::numeric AS cents
          FROM cyclesoftware.workshop_order_items AS items
          WHERE items.source = orders.source AND items.workshop_order_id = orders.workshop_order_id
            AND items._deleted_at IS NULL
        ) AS items ON true
        LEFT JOIN LATERAL (
          SELECT min(sales.booked_at) AS booked_at FROM cyclesoftware.sales_transactions AS sales
          WHERE sales.source = orders.source AND sales.workshop_order_id = orders.workshop_order_id
            AND sales._deleted_at IS NULL
        ) AS sold ON true
        WHERE orders._deleted_at IS NULL
        """,
    "open_order_lines": f"""
        SELECT orders.source, orders.sales_order_id, items.order_item_id,
               concat_ws('-', orders.account_id, orders.store_id), nullif(orders.customer_id, 0),
               orders.order_type_text, orders.status_text, items.order_item_status, items.item_type,
               orders.datetime_created,
               date_trunc('month', orders.datetime_created AT TIME ZONE 'Europe/Amsterdam')::date,
               orders.datetime_preferred_delivery, nullif(items.barcode, ''), nullif(items.object_id, 0),
               items.description, items.quantity, {_money("items.nett_line_price_in_vat_in_cents::numeric")},
               (SELECT sum(stock_level) FROM cyclesoftware.article_stock AS stock
                WHERE stock.source = items.source AND stock.barcode = items.barcode AND stock._deleted_at IS NULL),
               (SELECT count(*) FROM cyclesoftware.article_objects AS bikes
                WHERE bikes.source = items.source AND bikes.barcode = items.barcode AND bikes.available
                  AND bikes._deleted_at IS NULL),
               (SELECT min(expected_at) FROM cyclesoftware.article_objects AS bikes
                WHERE bikes.source = items.source AND bikes.barcode = items.barcode AND bikes._deleted_at IS NULL),
               (SELECT coalesce(sum(quantity_open), 0) FROM cyclesoftware.supplier_order_items AS ordered
                WHERE ordered.source = items.source AND ordered.barcode = items.barcode
                  AND ordered._deleted_at IS NULL)
        FROM cyclesoftware.sales_orders AS orders
        JOIN cyclesoftware.sales_order_items AS items USING (source, sales_order_id)
        WHERE orders._deleted_at IS NULL AND items._deleted_at IS NULL
          AND coalesce(orders.cancellation_type_id, 0) = 0 AND orders.has_invoice IS NOT TRUE
        """,
    "payments": f"""
        SELECT source, payment_id, store_id, method, {_money("amount_cents::numeric")}, book_date,
               (book_date AT TIME ZONE 'Europe/Amsterdam')::date,
               date_trunc('month', book_date AT TIME ZONE 'Europe/Amsterdam')::date, created_at,
               nullif(customer_id, 0), nullif(invoice_number, 0), nullif(sales_order_id, 0)
        FROM cyclesoftware.payments WHERE _deleted_at IS NULL
        """,
}


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for view, query in VIEWS.items():
        execute(f"CREATE OR REPLACE VIEW reporting.{view} ({_columns(view)}) AS {query}")
    for view in ("articles", "service_due", "goods_received"):  # these ask abs() of a bigint
        stands = str(execute(f"SELECT pg_get_viewdef('reporting.{view}'::regclass)").scalar())
        execute(f"CREATE OR REPLACE VIEW reporting.{view} AS {ABSOLUTE.sub(_as_numeric, stands)}")


def _as_numeric(found: re.Match[str]) -> str:
    return f"abs(({found[1]})::numeric)"


def _columns(view: str) -> str:
    """Return the names of the view's columns as they are."""
    found = op.get_bind().exec_driver_sql(
        "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute "
        f"WHERE attrelid = 'reporting.{view}'::regclass AND attnum > 0"
    )
    return str(found.scalar())
