"""What leads to what in the mirror, for tools that draw it: foreign keys that are not enforced, or comments.

Upstreams send rows that lead nowhere, so that nothing may be enforced. PostgreSQL 18 can declare a key and not enforce
it. An older server gets the comment of the table in the form that PostGraphile reads (`@foreignKey`).
"""

from alembic import op

revision = "0038"
down_revision = "0037"
oldest_program = "0015"

# Table: columns beside `source` → the table that they lead to, with its columns where they have other names.
LEADS_TO: tuple[tuple[str, str, str, str], ...] = (
    ("autengo.models", "make_id", "autengo.makes", "make_id"),
    ("cyclesoftware.article_objects", "barcode", "cyclesoftware.articles", "barcode"),
    ("cyclesoftware.article_stock", "barcode", "cyclesoftware.articles", "barcode"),
    ("cyclesoftware.article_suppliers", "barcode", "cyclesoftware.articles", "barcode"),
    ("cyclesoftware.article_suppliers", "supplier_id", "cyclesoftware.suppliers", "supplier_id"),
    ("cyclesoftware.comments", "customer_id", "cyclesoftware.customers", "customer_id"),
    ("cyclesoftware.comments", "employee_id", "cyclesoftware.employees", "employee_id"),
    ("cyclesoftware.customer_phone_numbers", "customer_id", "cyclesoftware.customers", "customer_id"),
    ("cyclesoftware.insurances", "customer_id", "cyclesoftware.customers", "customer_id"),
    ("cyclesoftware.leads", "customer_id", "cyclesoftware.customers", "customer_id"),
    ("cyclesoftware.leads", "store_id", "cyclesoftware.stores", "store_id"),
    ("cyclesoftware.packing_list_items", "employee_id", "cyclesoftware.employees", "employee_id"),
    ("cyclesoftware.packing_list_items", "supplier_id", "cyclesoftware.suppliers", "supplier_id"),
    ("cyclesoftware.platform_keys", "store_id", "cyclesoftware.stores", "store_id"),
    ("cyclesoftware.proforma_invoices", "customer_id", "cyclesoftware.customers", "customer_id"),
    ("cyclesoftware.proforma_invoices", "sales_order_id", "cyclesoftware.sales_orders", "sales_order_id"),
    ("cyclesoftware.rental_objects", "account_id stock_object_id", "cyclesoftware.stock_items", "account_id object_id"),
    ("cyclesoftware.repair_objects", "customer_id", "cyclesoftware.customers", "customer_id"),
    ("cyclesoftware.sales_order_items", "sales_order_id", "cyclesoftware.sales_orders", "sales_order_id"),
    ("cyclesoftware.sales_orders", "customer_id", "cyclesoftware.customers", "customer_id"),
    ("cyclesoftware.sales_orders", "last_update_employee_id", "cyclesoftware.employees", "employee_id"),
    ("cyclesoftware.sales_orders", "sales_employee_id", "cyclesoftware.employees", "employee_id"),
    (
        "cyclesoftware.sales_transaction_items",
        "account_id sales_transaction_number",
        "cyclesoftware.sales_transactions",
        "account_id sales_transaction_number",
    ),
    ("cyclesoftware.service_items", "customer_id", "cyclesoftware.customers", "customer_id"),
    ("cyclesoftware.service_items", "object_id", "cyclesoftware.repair_objects", "object_id"),
    ("cyclesoftware.stock", "store_id", "cyclesoftware.stores", "store_id"),
    ("cyclesoftware.stock_items", "sales_order_id", "cyclesoftware.sales_orders", "sales_order_id"),
    ("cyclesoftware.stock_objects", "customer_id", "cyclesoftware.customers", "customer_id"),
    ("cyclesoftware.stock_objects", "object_brand_id", "cyclesoftware.suppliers", "supplier_id"),
    ("cyclesoftware.stock_objects", "sales_order_id", "cyclesoftware.sales_orders", "sales_order_id"),
    ("cyclesoftware.store_order_items", "store_order_id", "cyclesoftware.store_orders", "store_order_id"),
    ("cyclesoftware.supplier_order_items", "supplier_order_id", "cyclesoftware.supplier_orders", "supplier_order_id"),
    ("cyclesoftware.supplier_orders", "supplier_id", "cyclesoftware.suppliers", "supplier_id"),
    ("cyclesoftware.trading_hours_employees", "employee_id", "cyclesoftware.employees", "employee_id"),
    ("cyclesoftware.trading_hours_employees", "store_id date", "cyclesoftware.trading_hours", "store_id date"),
    (
        "cyclesoftware.warehouse_assemblies",
        "outbound_order_item_id",
        "cyclesoftware.warehouse_open_order_items",
        "outbound_order_item_id",
    ),
    ("cyclesoftware.warehouse_assemblies", "stock_item_id", "cyclesoftware.warehouse_stock_items", "stock_item_id"),
    ("cyclesoftware.warehouse_backlog_items", "supplier_id", "cyclesoftware.suppliers", "supplier_id"),
    ("cyclesoftware.warehouse_delivered_items", "supplier_id", "cyclesoftware.suppliers", "supplier_id"),
    (
        "cyclesoftware.warehouse_pos_items",
        "warehouse_stock_item_id",
        "cyclesoftware.warehouse_stock_items",
        "stock_item_id",
    ),
    ("cyclesoftware.workshop_order_items", "workshop_order_id", "cyclesoftware.workshop_orders", "workshop_order_id"),
    ("cyclis.cyclists", "company_id", "cyclis.companies", "id"),
    ("cyclis.orders", "company_id", "cyclis.companies", "id"),
    ("cyclis.orders", "cyclist_id", "cyclis.cyclists", "id"),
)

STATEMENTS = (
    """
    CREATE FUNCTION syncd.declare_foreign_keys() RETURNS integer LANGUAGE plpgsql AS $$
    DECLARE
      relation record;
      tag text;
      comment text;
      told integer := 0;
    BEGIN
      FOR relation IN
        SELECT *, array_to_string(from_columns, ', ') AS own, array_to_string(to_columns, ', ') AS key
        FROM syncd.relations() ORDER BY name DESC
      LOOP
        tag := format(E'@foreignKey (%s) references %s (%s)\n', relation.own, relation.to_table, relation.key);
        comment := replace(coalesce(obj_description(relation.from_table::regclass, 'pg_class'), ''), tag, '');
        IF current_setting('server_version_num')::integer < 180000 THEN
          comment := tag || comment;
        ELSIF NOT EXISTS (
          SELECT FROM pg_constraint WHERE conrelid = relation.from_table::regclass AND conname = relation.name
        ) THEN
          EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I FOREIGN KEY (%s) REFERENCES %s (%s) NOT ENFORCED',
                         relation.from_table, relation.name, relation.own, relation.to_table, relation.key);
        END IF;
        EXECUTE format('COMMENT ON TABLE %s IS %L', relation.from_table, comment);
        told := told + 1;
      END LOOP;
      RETURN told;
    END
    $$
    """,
    "COMMENT ON FUNCTION syncd.declare_foreign_keys() IS 'Tells syncd.relations() to tools that draw tables: as foreign keys that are not enforced from PostgreSQL 18 on, before that as comments of the tables. Call it again after an upgrade of the server'",
    "SELECT syncd.declare_foreign_keys()",
)


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    rows = ",\n".join(
        f"('{table.partition('.')[2]}_{own.split()[-1]}_fkey', '{table}', '{_array(own)}'::text[], '{to}', '{_array(keys)}'::text[])"
        for table, own, to, keys in LEADS_TO
    )
    execute(
        "CREATE FUNCTION syncd.relations() RETURNS TABLE (name text, from_table text, from_columns text[], to_table text,"
        f" to_columns text[]) LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ VALUES {rows} $$"
    )
    execute(
        "COMMENT ON FUNCTION syncd.relations() IS 'What leads to what in the mirror by whole keys; nothing is enforced, for"
        " what an upstream sends may lead nowhere'"
    )
    for statement in STATEMENTS:
        execute(statement)


def _array(columns: str) -> str:
    return "{" + ",".join(["source", *columns.split()]) + "}"
