"""More of the mirror of cyclesoftware: service items."""

from alembic import op

revision = "0017"
down_revision = "0016"
oldest_program = "0015"


STATEMENTS = (
    """
    CREATE TABLE cyclesoftware.service_items (
        source TEXT NOT NULL,
        service_item_id BIGINT NOT NULL,
        account_id BIGINT,
        store_id BIGINT,
        service_id BIGINT,
        service_barcode TEXT,
        service_status_id BIGINT,
        invoice_number BIGINT,
        customer_id BIGINT,
        object_id BIGINT,
        is_open BOOLEAN,
        is_scheduled BOOLEAN,
        title TEXT,
        description TEXT,
        gross_unit_price_cents BIGINT,
        unit_discount_amount_cents BIGINT,
        amount_payed_in_advance_cents BIGINT,
        time_minutes BIGINT,
        scheduled_at DATE,
        scheduled_at_km_age BIGINT,
        modified_at TIMESTAMP WITH TIME ZONE,
        _first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _deleted_at TIMESTAMP WITH TIME ZONE,
        _extra JSONB,
        _hash BYTEA,
        PRIMARY KEY (source, service_item_id)
    )
    """,
    "COMMENT ON TABLE cyclesoftware.service_items IS 'Services that objects of customers are due for, by contract or once; needs the scope sales-export'",
    "COMMENT ON COLUMN cyclesoftware.service_items.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN cyclesoftware.service_items.service_item_id IS 'Number of the service item'",
    "COMMENT ON COLUMN cyclesoftware.service_items.account_id IS 'Account of the store: the first part of stores.store_id'",
    "COMMENT ON COLUMN cyclesoftware.service_items.store_id IS 'Store within the account: the second part of stores.store_id'",
    "COMMENT ON COLUMN cyclesoftware.service_items.service_id IS 'Number of the service contract of which it is a part'",
    "COMMENT ON COLUMN cyclesoftware.service_items.service_barcode IS 'Barcode of the service item: DSK-<service_id>-<number>'",
    "COMMENT ON COLUMN cyclesoftware.service_items.service_status_id IS 'Status: enums, subject service_item_status; 4 and 5 were seen as closed'",
    "COMMENT ON COLUMN cyclesoftware.service_items.invoice_number IS 'The invoice that created it'",
    "COMMENT ON COLUMN cyclesoftware.service_items.customer_id IS 'The customer whose object it is'",
    "COMMENT ON COLUMN cyclesoftware.service_items.object_id IS 'The object: repair_objects.object_id'",
    "COMMENT ON COLUMN cyclesoftware.service_items.is_open IS 'True until it is done or closed'",
    "COMMENT ON COLUMN cyclesoftware.service_items.is_scheduled IS 'True once the workshop has planned it'",
    "COMMENT ON COLUMN cyclesoftware.service_items.title IS 'Title, e.g. Eerste beurt'",
    "COMMENT ON COLUMN cyclesoftware.service_items.description IS 'What is to be done'",
    "COMMENT ON COLUMN cyclesoftware.service_items.gross_unit_price_cents IS 'Price in euro cents'",
    "COMMENT ON COLUMN cyclesoftware.service_items.unit_discount_amount_cents IS 'Discount in euro cents'",
    "COMMENT ON COLUMN cyclesoftware.service_items.amount_payed_in_advance_cents IS 'What was paid in advance, in euro cents'",
    "COMMENT ON COLUMN cyclesoftware.service_items.time_minutes IS 'Time that it takes, in minutes'",
    "COMMENT ON COLUMN cyclesoftware.service_items.scheduled_at IS 'Day on which it is due'",
    "COMMENT ON COLUMN cyclesoftware.service_items.scheduled_at_km_age IS 'Mileage at which it is due, in kilometres'",
    "COMMENT ON COLUMN cyclesoftware.service_items.modified_at IS 'When it was last modified; sent in local time'",
    "COMMENT ON COLUMN cyclesoftware.service_items._first_seen_at IS 'When syncd first saw this row'",
    "COMMENT ON COLUMN cyclesoftware.service_items._changed_at IS 'When the mirrored content last changed'",
    "COMMENT ON COLUMN cyclesoftware.service_items._deleted_at IS 'When the row was found gone upstream; null while it exists there'",
    "COMMENT ON COLUMN cyclesoftware.service_items._extra IS 'Fields without a column and values that do not fit theirs, under their upstream names, as sent'",
    "COMMENT ON COLUMN cyclesoftware.service_items._hash IS 'Fingerprint of the content as sent; null forces a comparison'",
)

TABLES = ("service_items",)


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for statement in STATEMENTS:
        execute(statement)
    for table in TABLES:
        execute(f"SELECT history.add('cyclesoftware', '{table}')")
