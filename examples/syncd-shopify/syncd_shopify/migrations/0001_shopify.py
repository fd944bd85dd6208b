"""The tables of Shopify."""

from alembic import op

revision = "shopify_0001"
down_revision = None
branch_labels = ("shopify",)

OWN = """
    _first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    _changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    _deleted_at TIMESTAMP WITH TIME ZONE,
    _extra JSONB,
    _hash BYTEA,
"""
OWN_COMMENTS = {
    "source": "Configured name of the source",
    "_first_seen_at": "When syncd first saw this row",
    "_changed_at": "When the mirrored content last changed",
    "_deleted_at": "When the row was found gone upstream; null while it exists there",
    "_extra": "Fields without a column and values that do not fit theirs, under their upstream names, as sent",
    "_hash": "Fingerprint of the content as sent; null forces a comparison",
}
AT = "TIMESTAMP WITH TIME ZONE"
TABLES = {
    "products": (
        "Products of the web shop",
        ("product_id",),
        (
            ("product_id", "BIGINT NOT NULL", "Number of the product"),
            ("title", "TEXT", "Title"),
            ("vendor", "TEXT", "Brand or vendor"),
            ("product_type", "TEXT", "Category, as the shop writes it"),
            ("handle", "TEXT", "The product''s name in addresses"),
            ("status", "TEXT", "active, archived or draft"),
            ("tags", "TEXT", "Tags, separated by commas"),
            ("body_html", "TEXT", "Description, as HTML"),
            ("created_at", AT, "When it was created"),
            ("updated_at", AT, "When it was last changed"),
            ("published_at", AT, "When it was published; null if it is not"),
        ),
    ),
    "product_variants": (
        "Variants of products: what is sold",
        ("product_id", "variant_id"),
        (
            ("product_id", "BIGINT NOT NULL", "The product"),
            ("variant_id", "BIGINT NOT NULL", "Number of the variant"),
            ("title", "TEXT", "Title of the variant"),
            ("sku", "TEXT", "Stock keeping unit, as the shop writes it"),
            ("barcode", "TEXT", "Barcode, GTIN or ISBN"),
            ("price", "NUMERIC", "Price in the currency of the shop; sent as a text, which is kept in _extra too"),
            ("inventory_quantity", "BIGINT", "How many are in stock, over all locations"),
            ("position", "BIGINT", "Place among the variants of the product, from 1"),
        ),
    ),
    "customers": (
        "Customers of the web shop",
        ("customer_id",),
        (
            ("customer_id", "BIGINT NOT NULL", "Number of the customer"),
            ("email", "TEXT", "E-mail address"),
            ("phone", "TEXT", "Telephone number, by E.164"),
            ("first_name", "TEXT", "First name"),
            ("last_name", "TEXT", "Last name"),
            ("state", "TEXT", "State of the account: enabled, disabled, invited or declined"),
            ("verified_email", "BOOLEAN", "Whether the e-mail address was verified"),
            ("orders_count", "BIGINT", "Orders so far"),
            ("total_spent", "NUMERIC", "Spent so far, in the currency of the shop; sent as a text"),
            ("note", "TEXT", "What the shop noted about the customer"),
            ("tags", "TEXT", "Tags, separated by commas"),
            ("addresses", "JSONB", "Addresses, as sent"),
            ("created_at", AT, "When it was created"),
            ("updated_at", AT, "When it was last changed"),
        ),
    ),
}


def upgrade() -> None:
    """Make the schema, its tables, and a table of old versions for each."""
    execute = op.get_bind().exec_driver_sql
    execute("CREATE SCHEMA shopify")
    execute("COMMENT ON SCHEMA shopify IS 'Mirror of Shopify, the web shop'")
    for table, (comment, key, columns) in TABLES.items():
        body = ", ".join(f"{name} {kind}" for name, kind, _ in columns)
        execute(
            f"CREATE TABLE shopify.{table} (source TEXT NOT NULL, {body}, {OWN} PRIMARY KEY (source, {', '.join(key)}))"
        )
        execute(f"COMMENT ON TABLE shopify.{table} IS '{comment}'")
        for name, told in {**OWN_COMMENTS, **{name: told for name, _, told in columns}}.items():
            execute(f"COMMENT ON COLUMN shopify.{table}.{name} IS '{told}'")
        execute(f"SELECT history.add('shopify', '{table}')")
    execute(
        "CREATE INDEX product_variants_by_sku ON shopify.product_variants USING hash (sku) WHERE _deleted_at IS NULL"
    )


def downgrade() -> None:
    """Remove all of it."""
    execute = op.get_bind().exec_driver_sql
    for table in TABLES:
        execute(f"DROP TABLE history.shopify_{table}")
    execute("DROP SCHEMA shopify CASCADE")
