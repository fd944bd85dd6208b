"""Webhooks: which were taken already, what became of calls, and the internal deliveries that only they bring."""

from alembic import op

revision = "0024"
down_revision = "0023"
oldest_program = "0015"


STATEMENTS = (
    """
    CREATE TABLE syncd.webhooks (
            source TEXT NOT NULL,
            delivery TEXT NOT NULL,
            taken_at TIMESTAMP WITH TIME ZONE NOT NULL,
            PRIMARY KEY (source, delivery)
    )
    """,
    "COMMENT ON TABLE syncd.webhooks IS 'Webhooks that were taken in the last seven days, so that a repeated one is known'",
    "COMMENT ON COLUMN syncd.webhooks.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN syncd.webhooks.delivery IS 'Number that the vendor gave the webhook'",
    "COMMENT ON COLUMN syncd.webhooks.taken_at IS 'When it was taken'",
    "CREATE INDEX webhooks_by_time ON syncd.webhooks (taken_at)",
    """
    CREATE TABLE syncd.callback_counts (
            source TEXT NOT NULL,
            day DATE NOT NULL,
            result TEXT NOT NULL,
            count BIGINT NOT NULL,
            last_at TIMESTAMP WITH TIME ZONE NOT NULL,
            PRIMARY KEY (source, day, result)
    )
    """,
    "COMMENT ON TABLE syncd.callback_counts IS 'Callbacks and webhooks by day and what became of them'",
    "COMMENT ON COLUMN syncd.callback_counts.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN syncd.callback_counts.day IS 'Day in UTC'",
    "COMMENT ON COLUMN syncd.callback_counts.result IS 'What became of the calls, e.g. accepted, repeated'",
    "COMMENT ON COLUMN syncd.callback_counts.count IS 'Calls of which that became'",
    "COMMENT ON COLUMN syncd.callback_counts.last_at IS 'When the last of them came'",
    """
    CREATE TABLE cyclesoftware.store_orders (
            source TEXT NOT NULL,
            store_order_id BIGINT NOT NULL,
            store_id_from BIGINT,
            dealer_id_from BIGINT,
            store_id_to BIGINT,
            dealer_id_to BIGINT,
            store_order_type TEXT,
            store_order_type_id BIGINT,
            status_id BIGINT,
            status TEXT,
            remarks TEXT,
            processed_at TIMESTAMP WITH TIME ZONE,
            related_to_sales_order_ids JSONB,
            related_to_supplier_order_ids JSONB,
            event_timestamp NUMERIC,
            _first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
            _changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
            _deleted_at TIMESTAMP WITH TIME ZONE,
            _extra JSONB,
            _hash BYTEA,
            PRIMARY KEY (source, store_order_id)
    )
    """,
    "COMMENT ON TABLE cyclesoftware.store_orders IS 'Internal deliveries from store to store; only what webhooks told, so never complete'",
    "COMMENT ON COLUMN cyclesoftware.store_orders.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN cyclesoftware.store_orders.store_order_id IS 'Number of the internal delivery, e.g. 45287'",
    "COMMENT ON COLUMN cyclesoftware.store_orders.store_id_from IS 'Store that delivers: the second part of stores.store_id'",
    "COMMENT ON COLUMN cyclesoftware.store_orders.dealer_id_from IS 'The same with its account, as the vendor packs the two'",
    "COMMENT ON COLUMN cyclesoftware.store_orders.store_id_to IS 'Store that receives: the second part of stores.store_id'",
    "COMMENT ON COLUMN cyclesoftware.store_orders.dealer_id_to IS 'The same with its account, as the vendor packs the two'",
    "COMMENT ON COLUMN cyclesoftware.store_orders.store_order_type IS 'Kind in words, e.g. regulier'",
    "COMMENT ON COLUMN cyclesoftware.store_orders.store_order_type_id IS 'Kind: 0 regular, 1 via warehouse, 2 regular via warehouse'",
    "COMMENT ON COLUMN cyclesoftware.store_orders.status_id IS 'Status: 0 open, 1 processed, 2 cancelled, 3 invoiced, 5 locked'",
    "COMMENT ON COLUMN cyclesoftware.store_orders.status IS 'Status in words, e.g. Verwerkt'",
    "COMMENT ON COLUMN cyclesoftware.store_orders.remarks IS 'Remarks as typed'",
    "COMMENT ON COLUMN cyclesoftware.store_orders.processed_at IS 'When it was processed; sent in local time'",
    "COMMENT ON COLUMN cyclesoftware.store_orders.related_to_sales_order_ids IS 'Sales orders that it is for: sales_orders.sales_order_id'",
    "COMMENT ON COLUMN cyclesoftware.store_orders.related_to_supplier_order_ids IS 'Orders at suppliers that it is for'",
    "COMMENT ON COLUMN cyclesoftware.store_orders.event_timestamp IS 'When the webhook was made, in seconds since 1970; an older one is dropped'",
    "COMMENT ON COLUMN cyclesoftware.store_orders._first_seen_at IS 'When syncd first saw this row'",
    "COMMENT ON COLUMN cyclesoftware.store_orders._changed_at IS 'When the mirrored content last changed'",
    "COMMENT ON COLUMN cyclesoftware.store_orders._deleted_at IS 'When the row was found gone upstream; null while it exists there'",
    "COMMENT ON COLUMN cyclesoftware.store_orders._extra IS 'Fields without a column and values that do not fit theirs, under their upstream names, as sent'",
    "COMMENT ON COLUMN cyclesoftware.store_orders._hash IS 'Fingerprint of the content as sent; null forces a comparison'",
    """
    CREATE TABLE cyclesoftware.store_order_items (
            source TEXT NOT NULL,
            store_order_id BIGINT NOT NULL,
            position BIGINT NOT NULL,
            store_order_item_id BIGINT,
            barcode TEXT,
            quantity NUMERIC,
            item_type_id BIGINT,
            object_id BIGINT,
            description TEXT,
            _first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
            _changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
            _deleted_at TIMESTAMP WITH TIME ZONE,
            _extra JSONB,
            _hash BYTEA,
            PRIMARY KEY (source, store_order_id, position)
    )
    """,
    "COMMENT ON TABLE cyclesoftware.store_order_items IS 'Items of internal deliveries, by their place in the list; lives and dies with its delivery'",
    "COMMENT ON COLUMN cyclesoftware.store_order_items.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN cyclesoftware.store_order_items.store_order_id IS 'The internal delivery whose list held it'",
    "COMMENT ON COLUMN cyclesoftware.store_order_items.position IS 'Place in the list, from 0: the vendor''s sample gives two items the same number'",
    "COMMENT ON COLUMN cyclesoftware.store_order_items.store_order_item_id IS 'Number of the item as sent; not unique within a delivery'",
    "COMMENT ON COLUMN cyclesoftware.store_order_items.barcode IS 'Barcode of the article or object'",
    "COMMENT ON COLUMN cyclesoftware.store_order_items.quantity IS 'How many'",
    "COMMENT ON COLUMN cyclesoftware.store_order_items.item_type_id IS '1 article, 2 object'",
    "COMMENT ON COLUMN cyclesoftware.store_order_items.object_id IS 'The object in stock: stock_items.object_id'",
    "COMMENT ON COLUMN cyclesoftware.store_order_items.description IS 'What it is, in words'",
    "COMMENT ON COLUMN cyclesoftware.store_order_items._first_seen_at IS 'When syncd first saw this row'",
    "COMMENT ON COLUMN cyclesoftware.store_order_items._changed_at IS 'When the mirrored content last changed'",
    "COMMENT ON COLUMN cyclesoftware.store_order_items._deleted_at IS 'When the row was found gone upstream; null while it exists there'",
    "COMMENT ON COLUMN cyclesoftware.store_order_items._extra IS 'Fields without a column and values that do not fit theirs, under their upstream names, as sent'",
    "COMMENT ON COLUMN cyclesoftware.store_order_items._hash IS 'Fingerprint of the content as sent; null forces a comparison'",
)

TABLES = ("store_orders", "store_order_items")


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for statement in STATEMENTS:
        execute(statement)
    for table in TABLES:
        execute(f"SELECT history.add('cyclesoftware', '{table}')")
