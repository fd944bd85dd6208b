"""Schema reporting: lines of sales, repairs, days of the workshop, open lines of sales orders, payments."""

from alembic import op

revision = "0033"
down_revision = "0032"
oldest_program = "0015"


# What the questions of the cookbook need on 1,000,000 lines.
INDEXES = (
    "CREATE INDEX sales_transactions_by_month ON cyclesoftware.sales_transactions (((date_trunc('month', booked_at AT TIME ZONE 'Europe/Amsterdam'))::date)) WHERE _deleted_at IS NULL",
    "CREATE INDEX sales_transactions_by_repair ON cyclesoftware.sales_transactions (workshop_order_id, source) WHERE _deleted_at IS NULL AND workshop_order_id IS NOT NULL",
    "CREATE INDEX payments_by_month ON cyclesoftware.payments (((date_trunc('month', book_date AT TIME ZONE 'Europe/Amsterdam'))::date)) WHERE _deleted_at IS NULL",
    "CREATE INDEX workshop_orders_by_month ON cyclesoftware.workshop_orders (((date_trunc('month', datetime_created AT TIME ZONE 'Europe/Amsterdam'))::date)) WHERE _deleted_at IS NULL",
    "CREATE INDEX workshop_orders_by_start ON cyclesoftware.workshop_orders (datetime_scheduled_start) WHERE _deleted_at IS NULL",
)

# For each view its comment, its columns in order with theirs, and its query.
VIEWS: dict[str, tuple[str, tuple[tuple[str, str], ...], str]] = {
    "sales_lines": (
        "What was sold: one row for each line of a sales transaction, its month that of the booking (CycleSoftware)",
        (
            ("source", "Configured name of the source"),
            ("account_id", "Account of the store"),
            ("sales_transaction_number", "Number of the transaction, which its invoice bears"),
            ("sales_item_id", "Number of the line"),
            ("store", "The store as [account]-[store]"),
            ("store_name", "Name of the store; null if it is not in the list of stores"),
            ("is_booked", "False for a pro-forma invoice, which may still change or vanish"),
            ("is_credit", "True if the transaction cancels another one; its amounts are negative"),
            ("booked_at", "When it was booked; null if it is not"),
            ("booked_month", "First day of that month"),
            ("customer_id", "The customer, as in reporting.customers; null for an anonymous sale"),
            ("seller_id", "Number of who sold it"),
            ("seller", "Name of who sold it, as on the invoice"),
            ("mechanic_id", "Number of who repaired it; null if it is no repair"),
            ("mechanic", "Name of the mechanic"),
            ("sales_order_id", "The sales order, as in reporting.sales_orders; null if there is none"),
            ("workshop_order_id", "The repair, as in reporting.workshop_orders; null if it is none"),
            ("item_type", "Kind of line in words, by the account's own list"),
            (
                "turnover_group",
                "Turnover group in words; advance payments have a group or kind of their own, by account",
            ),
            ("brand", "Brand of the bike, else of the article"),
            ("article_group", "Group of the article in words, else the category of the bike"),
            ("barcode", "Barcode; null on lines of service and fees"),
            ("object_id", "The bike; null for what is none"),
            ("is_bike", "True if one bike or moped was sold"),
            ("is_ebike", "True for an e-bike; null for what is no bike"),
            ("description", "What was sold, in words"),
            ("quantity", "How many; negative on a credit"),
            ("discount", "Discount without VAT: that on one, times the quantity"),
            ("turnover", "Price of the line without VAT, discount taken off"),
            ("turnover_in_vat", "Price of the line with VAT, discount taken off"),
            (
                "purchase_value",
                "Purchase price at that time without VAT, times the quantity; null where it is not known",
            ),
            ("margin", "Turnover less purchase value; null where that is not known"),
            ("work_minutes", "Minutes of work: those of one, times the quantity; null where none was sold"),
        ),
        """
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
               (items.unit_discount_ex_vat_cents * items.quantity / 100.0)::numeric(14, 2),
               (items.nett_line_price_ex_vat_cents / 100.0)::numeric(14, 2),
               (items.nett_line_price_in_vat_cents / 100.0)::numeric(14, 2),
               (items.purchase_price_ex_vat_cents * items.quantity / 100.0)::numeric(14, 2),
               ((items.nett_line_price_ex_vat_cents - items.purchase_price_ex_vat_cents * items.quantity) / 100.0)
                 ::numeric(14, 2),
               items.unit_work_time_minutes * items.quantity
        FROM cyclesoftware.sales_transactions AS sales
        JOIN cyclesoftware.sales_transaction_items AS items USING (source, account_id, sales_transaction_number)
        WHERE sales._deleted_at IS NULL AND items._deleted_at IS NULL
        """,
    ),
    "workshop_orders": (
        "Repairs of the workshop, one row each, with what their lines come to (CycleSoftware)",
        (
            ("source", "Configured name of the source"),
            ("workshop_order_id", "Number of the repair"),
            ("store_id", "Number of the store within the account"),
            ("customer_id", "The customer, as in reporting.customers"),
            ("customer_name", "Name of the customer; null if gone"),
            ("repair_object_id", "Number of what is repaired, in the workshop"),
            ("object", "Brand and model of what is repaired"),
            ("is_lease_bike", "True if a lease company owns it"),
            ("mechanic_id", "Number of who repairs it; null for nobody yet"),
            ("mechanic", "Name of the mechanic"),
            ("repair_type", "Kind of repair in words, by the account's own list"),
            ("status", "Status in words"),
            ("created_at", "When it was entered"),
            ("created_month", "First day of that month"),
            ("planned_at", "Planned begin; null if it is not planned"),
            ("planned_on", "Day of the planned begin"),
            ("minutes", "Time that it takes: as planned by hand, else what its lines take"),
            ("lines", "How many lines it has"),
            ("price_in_vat", "What its lines cost, with VAT"),
            ("invoice_number", "Number of the invoice; null if there is none yet"),
            ("booked_at", "When its first transaction was booked; null if none is"),
            ("days_to_booking", "Days from when it was entered to when it was booked"),
        ),
        """
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
               coalesce(items.lines, 0), coalesce(items.price, 0)::numeric(14, 2), nullif(orders.invoice_number, 0),
               sold.booked_at, round(extract(epoch FROM sold.booked_at - orders.datetime_created) / 86400, 1)
        FROM cyclesoftware.workshop_orders AS orders
        LEFT JOIN cyclesoftware.repair_objects AS objects
          ON objects.source = orders.source AND objects.object_id = orders.repair_object_id
        LEFT JOIN LATERAL (
          SELECT count(*) AS lines, sum(price_in_vat_cents) / 100.0 AS price
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
    ),
    "workshop_days": (
        "How much the workshop of each store can do on each day, and what is planned (CycleSoftware)",
        (
            ("source", "Configured name of the source"),
            ("store_id", "Number of the store within the account"),
            ("store_name", "Name of the store"),
            ("day", "The day; those that are past stay as they were last seen"),
            ("is_closed", "True if the workshop is closed"),
            ("mechanics", "How many mechanics work that day"),
            ("capacity_minutes", "Minutes that the workshop can work"),
            ("scheduled_minutes", "Minutes that are planned"),
            ("available_minutes", "Minutes that are left"),
            ("load_percent", "Share of the capacity that is planned; null where there is none"),
            ("repairs", "How many repairs are planned to begin that day"),
        ),
        """
        SELECT hours.source, hours.store_id, hours.store_name, hours.date, hours.is_closed IS TRUE,
               (SELECT count(*) FROM cyclesoftware.trading_hours_employees AS employees
                WHERE employees.source = hours.source AND employees.store_id = hours.store_id
                  AND employees.date = hours.date AND employees.capacity_minutes > 0
                  AND employees._deleted_at IS NULL),
               hours.capacity_minutes, hours.scheduled_minutes, hours.available_minutes,
               round(100.0 * hours.scheduled_minutes / nullif(hours.capacity_minutes, 0), 1),
               (SELECT count(*) FROM cyclesoftware.workshop_orders AS orders
                WHERE orders.source = hours.source AND orders.store_id = hours.store_id
                  AND orders._deleted_at IS NULL
                  AND orders.datetime_scheduled_start >= hours.date::timestamp AT TIME ZONE 'Europe/Amsterdam'
                  AND orders.datetime_scheduled_start < (hours.date + 1)::timestamp AT TIME ZONE 'Europe/Amsterdam')
        FROM cyclesoftware.trading_hours AS hours WHERE hours._deleted_at IS NULL
        """,
    ),
    "open_order_lines": (
        "Lines of sales orders that are neither cancelled nor invoiced, and what is there to deliver (CycleSoftware)",
        (
            ("source", "Configured name of the source"),
            ("sales_order_id", "The sales order, as in reporting.sales_orders"),
            ("order_item_id", "Number of the line"),
            ("store", "The store: [account]-[store] where the account is sent, else the number of the store alone"),
            ("customer_id", "The customer, as in reporting.customers"),
            ("order_type", "Kind of order in words, e.g. Reparatie"),
            ("order_status", "Status of the order in words"),
            ("item_status", "Status of the line in words"),
            ("item_type", "Kind of line in words"),
            ("created_at", "When the order was created"),
            ("created_month", "First day of that month"),
            ("wanted_on", "Day on which the customer would like to have it"),
            ("barcode", "Barcode; null if there is none"),
            ("object_id", "The bike that is meant; null for what is none, or none in particular"),
            ("description", "What was ordered, in words"),
            ("quantity", "How many"),
            ("price_in_vat", "Price of the line with VAT"),
            ("in_stock", "How many of the article lie in the stores; null for what is no such article"),
            ("bikes_available", "How many bikes of the article are available"),
            ("bikes_expected_on", "Day on which the next bike of the article is expected"),
            (
                "open_at_suppliers",
                "How many of the article suppliers still have to deliver, as far as their orders are mirrored",
            ),
        ),
        """
        SELECT orders.source, orders.sales_order_id, items.order_item_id,
               concat_ws('-', orders.account_id, orders.store_id), nullif(orders.customer_id, 0),
               orders.order_type_text, orders.status_text, items.order_item_status, items.item_type,
               orders.datetime_created,
               date_trunc('month', orders.datetime_created AT TIME ZONE 'Europe/Amsterdam')::date,
               orders.datetime_preferred_delivery, nullif(items.barcode, ''), nullif(items.object_id, 0),
               items.description, items.quantity, (items.nett_line_price_in_vat_in_cents / 100.0)::numeric(14, 2),
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
    ),
    "payments": (
        "How sales were paid: one row for each payment (CycleSoftware)",
        (
            ("source", "Configured name of the source"),
            ("payment_id", "Number of the payment"),
            ("store_id", "Number of the store within the account"),
            ("method", "Way to pay in words, e.g. Pin"),
            ("amount", "Amount; negative for money given back"),
            ("booked_at", "When it was booked"),
            ("booked_on", "Day of the booking"),
            ("booked_month", "First day of that month"),
            ("created_at", "When it was entered, at times later than it is booked for"),
            ("customer_id", "The customer, as in reporting.customers; null for nobody known"),
            ("invoice_number", "The invoice; null for an advance payment"),
            ("sales_order_id", "The sales order, as in reporting.sales_orders; null if there is none"),
        ),
        """
        SELECT source, payment_id, store_id, method, (amount_cents / 100.0)::numeric(14, 2), book_date,
               (book_date AT TIME ZONE 'Europe/Amsterdam')::date,
               date_trunc('month', book_date AT TIME ZONE 'Europe/Amsterdam')::date, created_at,
               nullif(customer_id, 0), nullif(invoice_number, 0), nullif(sales_order_id, 0)
        FROM cyclesoftware.payments WHERE _deleted_at IS NULL
        """,
    ),
}


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for statement in INDEXES:
        execute(statement)
    for view, (comment, columns, query) in VIEWS.items():
        names = ", ".join(name for name, _ in columns)
        execute(f"CREATE VIEW reporting.{view} ({names}) AS {query}")
        execute(f"COMMENT ON VIEW reporting.{view} IS {_quoted(comment)}")
        for name, told in columns:
            execute(f"COMMENT ON COLUMN reporting.{view}.{name} IS {_quoted(told)}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
