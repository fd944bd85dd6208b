"""The tables of articles: the article, its stock by store, its objects (bikes and mopeds), and its suppliers."""

from syncd.contract import BIGINT, BOOLEAN, DATE, JSON, NUMERIC, TEXT, TIMESTAMP, Child, Column, Kind, Table, column
from syncd.sources.cyclesoftware.api import SCHEMA
from syncd.sources.cyclesoftware.identification import identification_columns, identification_names


def _priced(name: str, kind: Kind, comment: str, *, optional: bool = False) -> Column:
    return column(f"pricing_{name}", kind, comment, "pricing", name, optional=optional)


_BARCODE = column("barcode", TEXT, "The article; text, so that a leading zero stays", optional=True)

ARTICLE_STOCK = Table(
    schema=SCHEMA,
    name="article_stock",
    key=("barcode", "store_id"),
    comment="Stock of articles that are no objects, by store; lives with its article",
    columns=(
        _BARCODE,
        column("store_id", BIGINT, "Store within the account: the second part of stores.store_id"),
        column("stock_level", NUMERIC, "How many are in stock; negative where more were sold than counted"),
        column("min_stock_level", BIGINT, "Order again below this; 0 if not set"),
        column("max_stock_level", BIGINT, "Fill up to this; 0 if not set"),
        column("locations", JSON, "Places in the store, as sent"),
    ),
)

ARTICLE_OBJECTS = Table(
    schema=SCHEMA,
    name="article_objects",
    key=("barcode", "object_id"),
    comment="Bikes and mopeds of an article, each by itself; live with their article",
    personal=identification_names("identification_"),
    columns=(
        _BARCODE,
        column("object_id", BIGINT, "Number of the object, as in stock_items.object_id"),
        column("object_code", TEXT, "The object's barcode: F.<account>-<object_id>"),
        column("store_id", BIGINT, "Store within the account: the second part of stores.store_id"),
        column("available", BOOLEAN, "True if it can be sold"),
        column("expected_at", DATE, "When it is expected", optional=True),
        column("is_demo", BOOLEAN, "True for a demonstration bike"),
        column("is_used", BOOLEAN, "True for a used object"),
        column("currency", TEXT, "Currency of the prices"),
        column("ecommerce_price_cents", BIGINT, "Price in the web shop, in cents"),
        column("pos_sales_price_cents", BIGINT, "Price in the store, in cents"),
        column("purchase_price_cents", BIGINT, "Purchase price in cents, without VAT", optional=True),
        column("km_age", BIGINT, "Mileage in kilometres", optional=True),
        *identification_columns("identification_", "identification"),
    ),
)

ARTICLE_SUPPLIERS = Table(
    schema=SCHEMA,
    name="article_suppliers",
    key=("barcode", "id"),
    comment="Suppliers of an article, with their prices; live with their article",
    columns=(
        _BARCODE,
        column("id", BIGINT, "Number of the entry, sent as _id", "_id"),
        column("supplier_id", BIGINT, "The supplier: suppliers.supplier_id"),
        column("supplier_name", TEXT, "Name of the supplier"),
        column("article_id", TEXT, "Article number; text, so that a leading zero stays"),
        column("model_id", TEXT, "Number of the model", optional=True),
        column("parent_barcode", TEXT, "Barcode of the article that this one is a variant of", optional=True),
        column("currency", TEXT, "Currency of the prices"),
        column("rrp_cents", BIGINT, "Recommended retail price in cents"),
        column("purchase_price_cents", BIGINT, "Purchase price in cents"),
        column("package_contents", BIGINT, "How many are in a package", "package", "package_contents"),
        column(
            "package_min_order_quantity", BIGINT, "How many must be ordered at least", "package", "min_order_quantity"
        ),
        column("package_order_unit", BIGINT, "By how many it is ordered", "package", "order_unit"),
    ),
)

ARTICLES = Table(
    schema=SCHEMA,
    name="articles",
    key=("barcode",),
    comment="Articles that the account sells, with prices and properties; needs the scope e-commerce",
    columns=(
        column("barcode", TEXT, "EAN of the article; text, so that a leading zero stays"),
        column("modified_at", TIMESTAMP, "When it was last modified; a change of stock need not move it"),
        _priced("currency", TEXT, "Currency of the prices"),
        _priced("rrp_cents", BIGINT, "Recommended retail price in cents"),
        _priced("pos_sales_price_cents", BIGINT, "Price in the store, in cents"),
        _priced("ecommerce_price_cents", BIGINT, "Price in the web shop, in cents", optional=True),
        _priced("purchase_price_cents", BIGINT, "Purchase price in cents, without VAT", optional=True),
        _priced("pos_group_id", BIGINT, "Turnover group: enums, subject pos_groups"),
        _priced("vat_code", BIGINT, "VAT code: enums, subject vat_codes", optional=True),
        _priced("pos_promo_price_cents", BIGINT, "Promotional price in the store, in cents", optional=True),
        _priced("pos_promo_price_from", DATE, "First day of that price", optional=True),
        _priced("pos_promo_price_until", DATE, "Last day of that price", optional=True),
        _priced("ecommerce_promo_price_cents", BIGINT, "Promotional price in the web shop, in cents", optional=True),
        _priced("ecommerce_promo_price_from", DATE, "First day of that price", optional=True),
        _priced("ecommerce_promo_price_until", DATE, "Last day of that price", optional=True),
        column("stock_available", BOOLEAN, "True if any store has it", "stock", "available", optional=True),
        column(
            "properties", JSON, "Properties by name, each with its values, as sent: reporting.articles unfolds them"
        ),
    ),
    children=(
        # no stock and no objects: none of that kind
        Child(field="stores", path=("stock", "stores"), table=ARTICLE_STOCK, optional=True),
        Child(field="objects", table=ARTICLE_OBJECTS, optional=True),
        Child(field="suppliers", table=ARTICLE_SUPPLIERS),
    ),
)
