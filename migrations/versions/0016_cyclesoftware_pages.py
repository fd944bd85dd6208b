"""More of the mirror of cyclesoftware: pro-forma invoices and repair objects."""

from alembic import op

revision = "0016"
down_revision = "0015"
oldest_program = "0015"


STATEMENTS = (
    """
    CREATE TABLE cyclesoftware.proforma_invoices (
        source TEXT NOT NULL,
        sales_transaction_number BIGINT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE,
        customer_id BIGINT,
        modified_at TIMESTAMP WITH TIME ZONE,
        sales_order_id BIGINT,
        store_id BIGINT,
        total_amount_cents BIGINT,
        transaction_date DATE,
        unpayed_amount_cents BIGINT,
        _first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _deleted_at TIMESTAMP WITH TIME ZONE,
        _extra JSONB,
        _hash BYTEA,
        PRIMARY KEY (source, sales_transaction_number)
    )
    """,
    "COMMENT ON TABLE cyclesoftware.proforma_invoices IS 'Pro-forma invoices; one that was invoiced or dropped is gone; needs the scope sales-export'",
    "COMMENT ON COLUMN cyclesoftware.proforma_invoices.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN cyclesoftware.proforma_invoices.sales_transaction_number IS 'Number of the transaction, which its invoice will bear too'",
    "COMMENT ON COLUMN cyclesoftware.proforma_invoices.created_at IS 'When it was created; sent in local time'",
    "COMMENT ON COLUMN cyclesoftware.proforma_invoices.customer_id IS 'The customer; 0 for nobody known'",
    "COMMENT ON COLUMN cyclesoftware.proforma_invoices.modified_at IS 'When it was last modified; sent in local time'",
    "COMMENT ON COLUMN cyclesoftware.proforma_invoices.sales_order_id IS 'The sales order; 0 or null if there is none'",
    "COMMENT ON COLUMN cyclesoftware.proforma_invoices.store_id IS 'Store within the account: the second part of stores.store_id'",
    "COMMENT ON COLUMN cyclesoftware.proforma_invoices.total_amount_cents IS 'Amount in euro cents'",
    "COMMENT ON COLUMN cyclesoftware.proforma_invoices.transaction_date IS 'Day of the transaction'",
    "COMMENT ON COLUMN cyclesoftware.proforma_invoices.unpayed_amount_cents IS 'What is still to be paid, in euro cents; the vendor''s spelling'",
    "COMMENT ON COLUMN cyclesoftware.proforma_invoices._first_seen_at IS 'When syncd first saw this row'",
    "COMMENT ON COLUMN cyclesoftware.proforma_invoices._changed_at IS 'When the mirrored content last changed'",
    "COMMENT ON COLUMN cyclesoftware.proforma_invoices._deleted_at IS 'When the row was found gone upstream; null while it exists there'",
    "COMMENT ON COLUMN cyclesoftware.proforma_invoices._extra IS 'Fields without a column and values that do not fit theirs, under their upstream names, as sent'",
    "COMMENT ON COLUMN cyclesoftware.proforma_invoices._hash IS 'Fingerprint of the content as sent; null forces a comparison'",
    """
    CREATE TABLE cyclesoftware.repair_objects (
        source TEXT NOT NULL,
        object_id BIGINT NOT NULL,
        customer_id BIGINT,
        object_barcode TEXT,
        is_active BOOLEAN,
        object_type_name TEXT,
        category TEXT,
        brand TEXT,
        model TEXT,
        model_year TEXT,
        color TEXT,
        variant TEXT,
        phone_number_id TEXT,
        license_plate TEXT,
        km_mileage TEXT,
        frame_id TEXT,
        chip_id TEXT,
        key_id TEXT,
        engine_id TEXT,
        battery_id TEXT,
        lock_id TEXT,
        workshop_rate_id BIGINT,
        service_level_id BIGINT,
        images JSONB,
        lease_fleet_customer_id BIGINT,
        lease_employer_customer_id BIGINT,
        lease_contract_number TEXT,
        _first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _deleted_at TIMESTAMP WITH TIME ZONE,
        _extra JSONB,
        _hash BYTEA,
        PRIMARY KEY (source, object_id)
    )
    """,
    "COMMENT ON TABLE cyclesoftware.repair_objects IS 'Bikes and other objects of customers, as the workshop knows them; needs the scope resources'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.object_id IS 'Number of the object in the workshop; other numbers than stock_items.object_id'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.customer_id IS 'The customer whose object it is'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.object_barcode IS 'Barcode of the object'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.is_active IS 'False once the customer no longer owns it; it is not deleted then'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.object_type_name IS 'Kind of object in words'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.category IS 'Category in words'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.brand IS 'Brand, e.g. Gazelle'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.model IS 'Model'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.model_year IS 'Model year as typed'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.color IS 'Colour in words'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.variant IS 'Variant in words'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.phone_number_id IS 'Which number of the customer to call: customer_phone_numbers.phone_number_id'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.license_plate IS 'Licence plate'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.km_mileage IS 'Mileage in kilometres, as typed'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.frame_id IS 'Frame number'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.chip_id IS 'Number of the chip'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.key_id IS 'Number of the key'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.engine_id IS 'Number of the engine'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.battery_id IS 'Number of the battery'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.lock_id IS 'Number of the lock'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.workshop_rate_id IS 'Rate by which its repairs are charged: enums, subject workshop_rates'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.service_level_id IS 'Number of the service level'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.images IS 'Pictures as sent'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.lease_fleet_customer_id IS 'The lease company, as a customer; 0 if it is not leased'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.lease_employer_customer_id IS 'The employer, as a customer; 0 if it is not leased'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects.lease_contract_number IS 'Number of the lease contract'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects._first_seen_at IS 'When syncd first saw this row'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects._changed_at IS 'When the mirrored content last changed'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects._deleted_at IS 'When the row was found gone upstream; null while it exists there'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects._extra IS 'Fields without a column and values that do not fit theirs, under their upstream names, as sent'",
    "COMMENT ON COLUMN cyclesoftware.repair_objects._hash IS 'Fingerprint of the content as sent; null forces a comparison'",
)

TABLES = (
    "proforma_invoices",
    "repair_objects",
)


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for statement in STATEMENTS:
        execute(statement)
    for table in TABLES:
        execute(f"SELECT history.add('cyclesoftware', '{table}')")
