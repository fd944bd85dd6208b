"""More of the mirror of cyclesoftware: orders at suppliers, with their items."""

from alembic import op

revision = "0029"
down_revision = "0028"
oldest_program = "0015"


STATEMENTS = (
    """
    CREATE TABLE cyclesoftware.supplier_orders (
        source TEXT NOT NULL,
        supplier_order_id BIGINT NOT NULL,
        supplier_id BIGINT,
        store_id BIGINT,
        order_type_id BIGINT,
        status_id BIGINT,
        supplier_comment TEXT,
        supplier_reference TEXT,
        own_reference TEXT,
        created_at TIMESTAMP WITH TIME ZONE,
        _first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _deleted_at TIMESTAMP WITH TIME ZONE,
        _extra JSONB,
        _hash BYTEA,
        PRIMARY KEY (source, supplier_order_id)
    )
    """,
    "COMMENT ON TABLE cyclesoftware.supplier_orders IS 'Orders at suppliers, asked for one by one; needs the scope e-commerce'",
    "COMMENT ON COLUMN cyclesoftware.supplier_orders.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN cyclesoftware.supplier_orders.supplier_order_id IS 'Number of the order, as in packing_list_items'",
    "COMMENT ON COLUMN cyclesoftware.supplier_orders.supplier_id IS 'The supplier: suppliers.supplier_id'",
    "COMMENT ON COLUMN cyclesoftware.supplier_orders.store_id IS 'Store within the account: the second part of stores.store_id'",
    "COMMENT ON COLUMN cyclesoftware.supplier_orders.order_type_id IS 'Kind of order: enums, subject supplier_order_types'",
    "COMMENT ON COLUMN cyclesoftware.supplier_orders.status_id IS 'Status: enums, subject supplier_order_status'",
    "COMMENT ON COLUMN cyclesoftware.supplier_orders.supplier_comment IS 'Comment for the supplier'",
    "COMMENT ON COLUMN cyclesoftware.supplier_orders.supplier_reference IS 'The supplier''s reference'",
    "COMMENT ON COLUMN cyclesoftware.supplier_orders.own_reference IS 'The shop''s own reference'",
    "COMMENT ON COLUMN cyclesoftware.supplier_orders.created_at IS 'When the order was created; sent in local time'",
    "COMMENT ON COLUMN cyclesoftware.supplier_orders._first_seen_at IS 'When syncd first saw this row'",
    "COMMENT ON COLUMN cyclesoftware.supplier_orders._changed_at IS 'When the mirrored content last changed'",
    "COMMENT ON COLUMN cyclesoftware.supplier_orders._deleted_at IS 'When the row was found gone upstream; null while it exists there'",
    "COMMENT ON COLUMN cyclesoftware.supplier_orders._extra IS 'Fields without a column and values that do not fit theirs, under their upstream names, as sent'",
    "COMMENT ON COLUMN cyclesoftware.supplier_orders._hash IS 'Fingerprint of the content as sent; null forces a comparison'",
    """
    CREATE TABLE cyclesoftware.supplier_order_items (
        source TEXT NOT NULL,
        supplier_order_id BIGINT NOT NULL,
        supplier_order_item_id BIGINT NOT NULL,
        item_type_id BIGINT,
        article_id TEXT,
        barcode TEXT,
        quantity NUMERIC,
        quantity_delivered NUMERIC,
        quantity_open NUMERIC,
        supplier_delivery_date DATE,
        supplier_item_reference TEXT,
        _first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _deleted_at TIMESTAMP WITH TIME ZONE,
        _extra JSONB,
        _hash BYTEA,
        PRIMARY KEY (source, supplier_order_id, supplier_order_item_id)
    )
    """,
    "COMMENT ON TABLE cyclesoftware.supplier_order_items IS 'Items of orders at suppliers; lives and dies with its order'",
    "COMMENT ON COLUMN cyclesoftware.supplier_order_items.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN cyclesoftware.supplier_order_items.supplier_order_id IS 'The order whose list held it'",
    "COMMENT ON COLUMN cyclesoftware.supplier_order_items.supplier_order_item_id IS 'Number of the item'",
    "COMMENT ON COLUMN cyclesoftware.supplier_order_items.item_type_id IS '1 article, 2 object: enums, subject transaction_item_types'",
    "COMMENT ON COLUMN cyclesoftware.supplier_order_items.article_id IS 'Article number; text, so that a leading zero stays'",
    "COMMENT ON COLUMN cyclesoftware.supplier_order_items.barcode IS 'Barcode; text, so that a leading zero stays'",
    "COMMENT ON COLUMN cyclesoftware.supplier_order_items.quantity IS 'How many were ordered'",
    "COMMENT ON COLUMN cyclesoftware.supplier_order_items.quantity_delivered IS 'How many came'",
    "COMMENT ON COLUMN cyclesoftware.supplier_order_items.quantity_open IS 'How many are still to come'",
    "COMMENT ON COLUMN cyclesoftware.supplier_order_items.supplier_delivery_date IS 'Day on which the supplier means to deliver'",
    "COMMENT ON COLUMN cyclesoftware.supplier_order_items.supplier_item_reference IS 'The supplier''s reference of the item'",
    "COMMENT ON COLUMN cyclesoftware.supplier_order_items._first_seen_at IS 'When syncd first saw this row'",
    "COMMENT ON COLUMN cyclesoftware.supplier_order_items._changed_at IS 'When the mirrored content last changed'",
    "COMMENT ON COLUMN cyclesoftware.supplier_order_items._deleted_at IS 'When the row was found gone upstream; null while it exists there'",
    "COMMENT ON COLUMN cyclesoftware.supplier_order_items._extra IS 'Fields without a column and values that do not fit theirs, under their upstream names, as sent'",
    "COMMENT ON COLUMN cyclesoftware.supplier_order_items._hash IS 'Fingerprint of the content as sent; null forces a comparison'",
)

TABLES = (
    "supplier_orders",
    "supplier_order_items",
)


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for statement in STATEMENTS:
        execute(statement)
    for table in TABLES:
        execute(f"SELECT history.add('cyclesoftware', '{table}')")
