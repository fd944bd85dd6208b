"""More of the mirror of cyclesoftware: items of packing lists."""

from alembic import op

revision = "0021"
down_revision = "0020"
oldest_program = "0015"


STATEMENTS = (
    """
    CREATE TABLE cyclesoftware.packing_list_items (
        source TEXT NOT NULL,
        supplier_packinglist_item_id BIGINT NOT NULL,
        supplier_packinglist_id BIGINT,
        store_id BIGINT,
        supplier_id BIGINT,
        supplier_name TEXT,
        packinglist_number TEXT,
        supplier_order_id BIGINT,
        employee_id BIGINT,
        employee_name TEXT,
        barcode TEXT,
        article_id TEXT,
        unit_purchase_price_ex_vat_cents BIGINT,
        quantity NUMERIC,
        stock_object_id BIGINT,
        created_at TIMESTAMP WITH TIME ZONE,
        _first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _deleted_at TIMESTAMP WITH TIME ZONE,
        _extra JSONB,
        _hash BYTEA,
        PRIMARY KEY (source, supplier_packinglist_item_id)
    )
    """,
    "COMMENT ON TABLE cyclesoftware.packing_list_items IS 'Items of suppliers'' packing lists, as imported by the shop; needs the scope resources'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items.supplier_packinglist_item_id IS 'Number of the item'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items.supplier_packinglist_id IS 'Number of the packing list'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items.store_id IS 'Store within the account: the second part of stores.store_id'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items.supplier_id IS 'The supplier: suppliers.supplier_id'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items.supplier_name IS 'Name of the supplier'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items.packinglist_number IS 'The supplier''s number of the packing list'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items.supplier_order_id IS 'Order at the supplier; 0 if there is none'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items.employee_id IS 'Who imported it: employees.employee_id'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items.employee_name IS 'Name of who imported it'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items.barcode IS 'EAN of the article; text, so that a leading zero stays'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items.article_id IS 'Article number; text, so that a leading zero stays'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items.unit_purchase_price_ex_vat_cents IS 'Purchase price of one in euro cents, without VAT'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items.quantity IS 'How many were delivered'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items.stock_object_id IS 'The object that it became: stock_items.object_id'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items.created_at IS 'When it was imported; sent in local time, the day or the year first'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items._first_seen_at IS 'When syncd first saw this row'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items._changed_at IS 'When the mirrored content last changed'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items._deleted_at IS 'When the row was found gone upstream; null while it exists there'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items._extra IS 'Fields without a column and values that do not fit theirs, under their upstream names, as sent'",
    "COMMENT ON COLUMN cyclesoftware.packing_list_items._hash IS 'Fingerprint of the content as sent; null forces a comparison'",
    "CREATE INDEX packing_list_items_by_created ON cyclesoftware.packing_list_items USING brin (created_at)",
)

TABLES = ("packing_list_items",)


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for statement in STATEMENTS:
        execute(statement)
    for table in TABLES:
        execute(f"SELECT history.add('cyclesoftware', '{table}')")
