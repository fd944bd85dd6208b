"""Schema reporting: what is still to be paid, insurances, mechanics' days, leased bikes of the workshop."""

from alembic import op

revision = "0041"
down_revision = "0040"
oldest_program = "0015"

INDEXES = (
    "CREATE INDEX sales_transactions_unpaid ON cyclesoftware.sales_transactions (sales_transaction_number) WHERE _deleted_at IS NULL AND unpaid_amount_cents <> 0",
    "CREATE INDEX payments_by_invoice ON cyclesoftware.payments (invoice_number, source) WHERE _deleted_at IS NULL",
)


def _money(cents: str) -> str:
    """Return the amount of these cents, which are numeric; null for one that no shop has."""
    return f"(CASE WHEN abs({cents}) < 99999999999999.5 THEN {cents} / 100.0 END)::numeric(14, 2)"


_PAID = """coalesce((
                 SELECT sum(paid.amount_cents)::numeric FROM cyclesoftware.payments AS paid
                 WHERE paid.source = sales.source AND paid.invoice_number = sales.sales_transaction_number
                   AND paid._deleted_at IS NULL AND paid.created_at > sales.modified_at), 0)"""

# For each view its comment, its columns in order with theirs, and its query.
VIEWS: dict[str, tuple[str, tuple[tuple[str, str], ...], str]] = {
    "open_items": (
        "What customers still have to pay: one row for each sales transaction that is not paid (CycleSoftware)",
        (
            ("source", "Configured name of the source"),
            ("account_id", "Account of the store"),
            ("sales_transaction_number", "Number of the transaction, which its invoice bears"),
            ("store", "The store as [account]-[store]"),
            ("is_booked", "False for a pro-forma invoice, which may still change or vanish"),
            ("customer_id", "The customer, as in reporting.customers; null for an anonymous sale"),
            ("customer_name", "Name of the customer as on the invoice"),
            ("transaction_date", "Day of the transaction"),
            ("booked_at", "When it was booked; null if it is not"),
            ("age_days", "Days since it was booked; null if it is not"),
            ("total", "Amount of the transaction"),
            ("unpaid", "What was still to be paid when it was modified last"),
            ("paid_since", "Payments that were entered later than that; the vendor may not have counted them yet"),
        ),
        f"""
        SELECT sales.source, sales.account_id, sales.sales_transaction_number,
               concat_ws('-', sales.account_id, sales.store_id), sales.is_final IS TRUE, nullif(sales.customer_id, 0),
               sales.customer_full_name, sales.transaction_date, sales.booked_at,
               (reporting.now() AT TIME ZONE 'Europe/Amsterdam')::date
                 - (sales.booked_at AT TIME ZONE 'Europe/Amsterdam')::date,
               {_money("sales.total_amount_cents::numeric")}, {_money("sales.unpaid_amount_cents::numeric")},
               {_money(_PAID)}
        FROM cyclesoftware.sales_transactions AS sales
        WHERE sales._deleted_at IS NULL AND sales.unpaid_amount_cents <> 0
        """,
    ),
    "insurances": (
        "Insurances of bikes as the shops applied for them; the insurer may know better (CycleSoftware)",
        (
            ("source", "Configured name of the source"),
            ("insurance_id", "Number of the insurance"),
            ("customer_id", "The customer, as in reporting.customers"),
            ("object_id", "The bike, as in reporting.sales_lines and reporting.stock_objects"),
            ("applied_on", "Day of the application"),
            ("starts_on", "First day of the insurance"),
            ("company", "Name of the insurer"),
            ("description", "What is insured, in words"),
            ("insured", "Amount insured"),
            ("premium", "Premium"),
            ("costs", "Costs of the policy"),
        ),
        f"""
        SELECT source, insurance_id, nullif(customer_id, 0), nullif(stock_object_id, 0), created_at,
               insurance_starting_date, insurance_company, nullif(description, ''),
               {_money("insured_amount::numeric")}, {_money("premium_amount::numeric")}, {_money("policy_costs::numeric")}
        FROM cyclesoftware.insurances WHERE _deleted_at IS NULL
        """,
    ),
    "workshop_mechanics": (
        "How much each mechanic can do on each day in a store, and what is planned (CycleSoftware)",
        (
            ("source", "Configured name of the source"),
            ("store_id", "Number of the store within the account"),
            ("store_name", "Name of the store"),
            ("day", "The day; those that are past stay as they were last seen"),
            ("mechanic_id", "Number of the mechanic"),
            ("mechanic", "Name of the mechanic; the number where the list of employees lacks it"),
            ("capacity_minutes", "Minutes that the mechanic can work"),
            ("scheduled_minutes", "Minutes that are planned"),
            ("available_minutes", "Minutes that are left"),
            ("load_percent", "Share of the capacity that is planned; null where there is none"),
            ("repairs", "How many repairs of the mechanic are planned to begin that day, in any store"),
            ("repair_minutes", "How long these take: as planned by hand, else what their lines take"),
        ),
        """
        SELECT hours.source, hours.store_id, days.store_name, hours.date, hours.employee_id,
               coalesce(nullif(btrim(employees.employee_name), ''), hours.employee_id::text),
               hours.capacity_minutes, hours.scheduled_minutes, hours.available_minutes,
               round(100.0 * hours.scheduled_minutes / nullif(hours.capacity_minutes, 0), 1),
               planned.repairs, planned.minutes
        FROM cyclesoftware.trading_hours_employees AS hours
        JOIN cyclesoftware.trading_hours AS days USING (source, store_id, date)
        LEFT JOIN cyclesoftware.employees AS employees
          ON employees.source = hours.source AND employees.employee_id = hours.employee_id
        LEFT JOIN LATERAL (
          SELECT count(*) AS repairs,
                 coalesce(sum(coalesce(nullif(custom_repair_time_minutes, 0), total_repair_time_minutes)), 0) AS minutes
          FROM cyclesoftware.workshop_orders AS orders
          WHERE orders.source = hours.source AND orders.mechanic_employee_id = hours.employee_id
            AND orders._deleted_at IS NULL
            AND orders.datetime_scheduled_start >= hours.date::timestamp AT TIME ZONE 'Europe/Amsterdam'
            AND orders.datetime_scheduled_start < (hours.date + 1)::timestamp AT TIME ZONE 'Europe/Amsterdam'
        ) AS planned ON true
        WHERE hours._deleted_at IS NULL AND days._deleted_at IS NULL
        """,
    ),
    "lease_bikes": (
        "Leased bikes that the workshop knows: whose they are, and by which contract (CycleSoftware)",
        (
            ("source", "Configured name of the source"),
            ("object_id", "Number of the bike in the workshop: repair_object_id of reporting.workshop_orders"),
            ("object", "Brand and model of the bike"),
            ("is_active", "False once the customer no longer has it"),
            ("customer_id", "Who rides it, as in reporting.customers"),
            ("lease_company_id", "The lease company, as in reporting.customers"),
            ("lease_company", "Name of the lease company; its number where it is no customer of the mirror"),
            ("employer_id", "The employer, as in reporting.customers; null if it is not known"),
            ("employer", "Name of the employer"),
            ("contract_number", "Number of the lease contract"),
        ),
        """
        SELECT objects.source, objects.object_id,
               nullif(concat_ws(' ', nullif(objects.brand, ''), nullif(objects.model, '')), ''),
               objects.is_active IS TRUE, nullif(objects.customer_id, 0), objects.lease_fleet_customer_id,
               coalesce((SELECT full_name FROM reporting.customers
                         WHERE customers.source = objects.source
                           AND customers.customer_id = objects.lease_fleet_customer_id),
                        objects.lease_fleet_customer_id::text),
               nullif(objects.lease_employer_customer_id, 0),
               (SELECT full_name FROM reporting.customers
                WHERE customers.source = objects.source AND customers.customer_id = objects.lease_employer_customer_id),
               nullif(objects.lease_contract_number, '')
        FROM cyclesoftware.repair_objects AS objects
        WHERE objects._deleted_at IS NULL AND objects.lease_fleet_customer_id > 0
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
