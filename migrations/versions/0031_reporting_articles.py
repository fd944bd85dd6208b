"""More of schema reporting: articles with their properties, their stock, services that are due, goods received."""

from alembic import op

revision = "0031"
down_revision = "0030"
oldest_program = "0015"


def _euros(cents: str) -> str:
    """Return an amount in euro; null for one that no shop has."""
    return f"CASE WHEN abs({cents}) < 100000000000000 THEN ({cents} / 100.0)::numeric(14,2) END"


def _text(property_: str) -> str:
    return f"reporting.article_text({_entry(property_)})"


def _entry(property_: str) -> str:
    return f"reporting.article_property(a.properties, '{property_}', s.supplier_id)"


def _code(property_: str) -> str:
    return f"{_entry(property_)} ->> 'code'"


FUNCTIONS = (
    """
    CREATE FUNCTION reporting.article_property(properties jsonb, property text, first_supplier bigint) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
      SELECT entry FROM jsonb_array_elements(
        CASE WHEN jsonb_typeof(properties -> property -> 'values') = 'array'
             THEN properties -> property -> 'values' ELSE '[]' END
      ) WITH ORDINALITY AS listed (entry, place)
      WHERE jsonb_typeof(entry) = 'object'
      ORDER BY CASE WHEN jsonb_typeof(entry -> 'object_ids') = 'array' AND entry -> 'object_ids' <> '[]' THEN 1
                    WHEN entry -> 'supplier_ids' @> to_jsonb(first_supplier) THEN 2 ELSE 3 END, place
      LIMIT 1
    $$
    """,
    "COMMENT ON FUNCTION reporting.article_property(jsonb, text, bigint) IS 'The one of several values of a property that counts: what is said of an object, else by the first supplier, else by anyone'",
    """
    CREATE FUNCTION reporting.article_text(entry jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
      SELECT nullif(CASE jsonb_typeof(entry -> 'value')
        WHEN 'object' THEN coalesce(
          nullif(entry -> 'value' ->> 'user', ''), nullif(entry -> 'value' ->> 'nl', ''),
          nullif(entry -> 'value' ->> 'en', ''), nullif(entry -> 'value' ->> 'fr', ''))
        WHEN 'array' THEN (
          SELECT string_agg(word, ', ' ORDER BY place)
          FROM jsonb_array_elements_text(entry -> 'value') WITH ORDINALITY AS words (word, place))
        ELSE entry ->> 'value' END, '')
    $$
    """,
    "COMMENT ON FUNCTION reporting.article_text(jsonb) IS 'A value of a property as text: of a localised one what the shop wrote, else Dutch, English or French; of a list its words'",
)

# For each view its comment, its columns in order with theirs, and its query.
VIEWS: dict[str, tuple[str, tuple[tuple[str, str], ...], str]] = {
    "stores_map": (
        "Account and number of each store: other records name stores by number only (CycleSoftware)",
        (
            ("source", "Configured name of the source"),
            ("account_id", "Account of the store"),
            ("store_number", "Number of the store within its account: the store_id of most other tables"),
            ("store_id", "The store as [account]-[store], as in reporting.stores"),
            ("store_name", "Name of the store"),
            ("is_own", "True if sales, services or stock of the mirror bear this account"),
        ),
        """
        SELECT source, account_id, store_number, store_id, store_name,
               EXISTS (SELECT FROM cyclesoftware.sales_transactions AS t
                       WHERE t.source = parsed.source AND t.account_id = parsed.account_id AND t._deleted_at IS NULL)
               OR EXISTS (SELECT FROM cyclesoftware.service_items AS i
                          WHERE i.source = parsed.source AND i.account_id = parsed.account_id AND i._deleted_at IS NULL)
               OR EXISTS (SELECT FROM cyclesoftware.stock_items AS o
                          WHERE o.source = parsed.source AND o.account_id = parsed.account_id AND o._deleted_at IS NULL)
        FROM (
          SELECT source, CASE WHEN store_id ~ '^[0-9]{1,18}-[0-9]{1,18}$' THEN split_part(store_id, '-', 1)::bigint END AS account_id,
                 CASE WHEN store_id ~ '^[0-9]{1,18}-[0-9]{1,18}$' THEN split_part(store_id, '-', 2)::bigint END AS store_number,
                 store_id, store_name
          FROM cyclesoftware.stores WHERE _deleted_at IS NULL
        ) AS parsed WHERE account_id IS NOT NULL
        """,
    ),
    "articles": (
        "Articles of the shops with prices, stock and the properties worth most (CycleSoftware)",
        (
            ("source", "Configured name of the source"),
            ("barcode", "EAN of the article; leading zeros count"),
            ("brand", "Brand"),
            ("model", "Model"),
            ("model_year", "Model year"),
            ("pos_description", "Description for the till"),
            ("description", "Description"),
            ("article_main_group", "Code of the main group, e.g. 1"),
            ("article_group", "Code of the group, composite: 1A"),
            ("article_sub_group", "Code of the sub-group, composite: 1A00"),
            ("group_name", "Name of the group in Dutch"),
            ("basic_color", "Colour"),
            ("keyword", "Keywords, with commas between them"),
            ("image_url", "Address of a picture"),
            ("weight_netto", "Net weight in the unit of the property, as a rule kg"),
            ("is_object", "True for a bike or moped, of which each one has a number"),
            ("currency", "Currency of the prices"),
            ("price", "Price in the store"),
            ("web_price", "Price in the web shop"),
            ("rrp", "Recommended retail price"),
            ("purchase_price", "Purchase price without VAT; null if unknown"),
            ("promo_price", "Promotional price in the store"),
            ("promo_from", "First day of that price"),
            ("promo_until", "Last day of that price"),
            ("pos_group", "Turnover group in words"),
            ("vat_code", "VAT code: subject vat_codes of the vendor's enums"),
            ("stock_level", "How many all stores have together; null for objects"),
            ("objects", "Objects of this article; 0 for other articles"),
            ("objects_available", "Of these, those that can be sold"),
            ("supplier_id", "The first supplier: the one of the lowest entry"),
            ("supplier", "Name of that supplier"),
            ("modified_at", "When it was last modified; a change of stock need not move it"),
        ),
        f"""
        SELECT a.source, a.barcode, coalesce({_text("brand")}, {_code("brand")}), {_text("model")},
               CASE WHEN {_text("model_year")} ~ '^[0-9]{{4}}$' THEN ({_text("model_year")})::integer END,
               {_text("pos_description")}, {_text("description")},
               {_code("article_main_group")}, {_code("article_group")}, {_code("article_sub_group")},
               coalesce({_text("article_group")},
                 (SELECT nullif(c.description_nl, '') FROM cyclesoftware.code_list_entries AS c
                  WHERE c.source = a.source AND c.codelist = 'codelist:article_group' AND c._deleted_at IS NULL
                    AND c.code = {_code("article_group")})),
               {_text("basic_color")}, {_text("keyword")}, {_text("image_url")},
               CASE WHEN {_text("weight_netto")} ~ '^[0-9]{{1,9}}([.][0-9]{{1,9}})?$' THEN ({_text("weight_netto")})::numeric END,
               EXISTS (SELECT FROM cyclesoftware.article_objects AS o
                       WHERE o.source = a.source AND o.barcode = a.barcode AND o._deleted_at IS NULL),
               a.pricing_currency, {_euros("a.pricing_pos_sales_price_cents")}, {_euros("a.pricing_ecommerce_price_cents")},
               {_euros("a.pricing_rrp_cents")}, {_euros("a.pricing_purchase_price_cents")},
               {_euros("a.pricing_pos_promo_price_cents")}, a.pricing_pos_promo_price_from, a.pricing_pos_promo_price_until,
               (SELECT e.description FROM cyclesoftware.enums AS e
                WHERE e.source = a.source AND e.subject = 'pos_groups' AND e.id = a.pricing_pos_group_id AND e._deleted_at IS NULL),
               a.pricing_vat_code,
               (SELECT sum(l.stock_level) FROM cyclesoftware.article_stock AS l
                WHERE l.source = a.source AND l.barcode = a.barcode AND l._deleted_at IS NULL),
               (SELECT count(*) FROM cyclesoftware.article_objects AS o
                WHERE o.source = a.source AND o.barcode = a.barcode AND o._deleted_at IS NULL),
               (SELECT count(*) FROM cyclesoftware.article_objects AS o
                WHERE o.source = a.source AND o.barcode = a.barcode AND o._deleted_at IS NULL AND o.available),
               s.supplier_id, s.supplier_name, a.modified_at
        FROM cyclesoftware.articles AS a
        LEFT JOIN LATERAL (
          SELECT supplier_id, supplier_name FROM cyclesoftware.article_suppliers AS listed
          WHERE listed.source = a.source AND listed.barcode = a.barcode AND listed._deleted_at IS NULL
          ORDER BY listed.id LIMIT 1
        ) AS s ON true
        WHERE a._deleted_at IS NULL
        """,
    ),
    "article_stock": (
        "Stock of articles by store, those that are no objects; value at today's purchase price (CycleSoftware)",
        (
            ("source", "Configured name of the source"),
            ("barcode", "The article, as in reporting.articles"),
            ("store_number", "Number of the store within the account"),
            ("store_name", "Name of the store; its number where only one account is known by that"),
            ("article", "The article in words"),
            ("group_name", "Name of the article's group in Dutch"),
            ("supplier", "Name of the first supplier"),
            ("stock_level", "How many are in stock; negative where more were sold than counted"),
            ("min_stock_level", "Order again at this level; null if not set"),
            ("max_stock_level", "Fill up to this level; null if not set"),
            ("is_low", "True at the minimum or below it"),
            ("purchase_price", "Purchase price of one in euro, without VAT; null if unknown"),
            ("stock_value", "What is in stock at that price, in euro"),
        ),
        """
        SELECT l.source, l.barcode, l.store_number, coalesce(m.store_name, l.store_number::text),
               coalesce(a.pos_description, a.description, concat_ws(' ', a.brand, a.model)), a.group_name, a.supplier,
               l.stock_level, l.least, l.most, l.stock_level <= l.least IS TRUE, a.purchase_price,
               round(greatest(l.stock_level, 0) * a.purchase_price, 2)
        FROM (
          SELECT source, barcode, store_id AS store_number, stock_level, nullif(min_stock_level, 0) AS least,
                 nullif(max_stock_level, 0) AS most
          FROM cyclesoftware.article_stock WHERE _deleted_at IS NULL
        ) AS l
        JOIN reporting.articles AS a USING (source, barcode)
        LEFT JOIN LATERAL (
          SELECT min(store_name) AS store_name FROM reporting.stores_map AS m
          WHERE m.source = l.source AND m.store_number = l.store_number AND m.is_own HAVING count(*) = 1
        ) AS m ON true
        """,
    ),
    "service_due": (
        "Services of customers' bikes that are still to be done, with whom to call (CycleSoftware)",
        (
            ("source", "Configured name of the source"),
            ("service_item_id", "Number of the service item"),
            ("service_id", "Number of the service contract; null where none is sent"),
            ("store_id", "The store as [account]-[store], as in reporting.stores"),
            ("store_name", "Name of the store"),
            ("due_on", "Day on which it is due"),
            ("days_left", "Days until then; negative if it is overdue"),
            ("due_at_km", "Mileage at which it is due, in kilometres"),
            ("title", "Title, e.g. Eerste beurt"),
            ("description", "What is to be done"),
            ("status", "Status in words; its number where the vendor's list lacks it"),
            ("is_scheduled", "True once the workshop has planned it"),
            ("work_minutes", "Time that it takes, in minutes"),
            ("price", "Price in euro, discount taken off"),
            ("paid_in_advance", "What was paid in advance, in euro"),
            ("customer_id", "The customer, as in reporting.customers"),
            ("customer_name", "Name of the customer"),
            ("phone", "Best phone number of the customer"),
            ("email", "E-mail address of the customer"),
            ("object_id", "The object in the workshop's list"),
            ("object", "Brand and model of the object"),
            ("license_plate", "Licence plate of the object"),
            ("modified_at", "When it was last modified"),
        ),
        f"""
        SELECT i.source, i.service_item_id, i.service_id, concat(i.account_id, '-', i.store_id),
               coalesce(st.store_name, concat(i.account_id, '-', i.store_id)), i.scheduled_at,
               i.scheduled_at - (reporting.now() AT TIME ZONE 'Europe/Amsterdam')::date, nullif(i.scheduled_at_km_age, 0),
               nullif(i.title, ''), nullif(i.description, ''), coalesce(e.description, i.service_status_id::text),
               i.is_scheduled IS TRUE, i.time_minutes,
               {_euros("(i.gross_unit_price_cents::numeric - coalesce(i.unit_discount_amount_cents, 0))")},
               {_euros("i.amount_payed_in_advance_cents")}, nullif(i.customer_id, 0), c.full_name, c.phone, c.email,
               i.object_id, nullif(concat_ws(' ', nullif(o.brand, ''), nullif(o.model, '')), ''),
               nullif(o.license_plate, ''), i.modified_at
        FROM cyclesoftware.service_items AS i
        LEFT JOIN cyclesoftware.stores AS st
          ON st.source = i.source AND st.store_id = concat(i.account_id, '-', i.store_id) AND st._deleted_at IS NULL
        LEFT JOIN cyclesoftware.enums AS e
          ON e.source = i.source AND e.subject = 'service_item_status' AND e.id = i.service_status_id AND e._deleted_at IS NULL
        LEFT JOIN cyclesoftware.repair_objects AS o
          ON o.source = i.source AND o.object_id = i.object_id AND o._deleted_at IS NULL
        LEFT JOIN reporting.customers AS c ON c.source = i.source AND c.customer_id = i.customer_id
        WHERE i._deleted_at IS NULL AND i.is_open
        """,
    ),
    "goods_received": (
        "What suppliers delivered, item by item, and what it costs today (CycleSoftware)",
        (
            ("source", "Configured name of the source"),
            ("packing_list_item_id", "Number of the item"),
            ("packing_list", "The supplier's number of the packing list"),
            ("received_at", "When it was imported"),
            ("month", "First day of that month"),
            ("store_number", "Number of the store within the account"),
            ("supplier_id", "Number of the supplier"),
            ("supplier", "Name of the supplier"),
            ("barcode", "The article, as in reporting.articles"),
            ("article_id", "Article number of the supplier"),
            ("quantity", "How many were delivered"),
            ("unit_price", "Purchase price of one then, in euro, without VAT"),
            ("total", "Purchase price of all of them, in euro"),
            ("unit_price_now", "Lowest purchase price of one today from the same supplier, in euro; null if not known"),
            ("supplier_order_id", "Order at the supplier; null if there was none"),
            ("object_id", "The object that it became, as in reporting.stock_objects"),
        ),
        f"""
        SELECT p.source, p.supplier_packinglist_item_id, nullif(p.packinglist_number, ''), p.created_at,
               (date_trunc('month', p.created_at AT TIME ZONE 'Europe/Amsterdam'))::date, p.store_id, p.supplier_id,
               coalesce(s.supplier_name, nullif(p.supplier_name, ''), p.supplier_id::text), nullif(p.barcode, ''),
               nullif(p.article_id, ''), p.quantity, {_euros("p.unit_purchase_price_ex_vat_cents")},
               round(p.quantity * p.unit_purchase_price_ex_vat_cents / 100.0, 2),
               (SELECT {_euros("min(a.purchase_price_cents)")} FROM cyclesoftware.article_suppliers AS a
                WHERE a.source = p.source AND a.barcode = p.barcode AND a.supplier_id = p.supplier_id
                  AND a._deleted_at IS NULL),
               nullif(p.supplier_order_id, 0), nullif(p.stock_object_id, 0)
        FROM cyclesoftware.packing_list_items AS p
        LEFT JOIN cyclesoftware.suppliers AS s
          ON s.source = p.source AND s.supplier_id = p.supplier_id AND s._deleted_at IS NULL
        WHERE p._deleted_at IS NULL
        """,
    ),
}


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for statement in FUNCTIONS:
        execute(statement)
    for view, (comment, columns, query) in VIEWS.items():
        names = ", ".join(name for name, _ in columns)
        execute(f"CREATE VIEW reporting.{view} ({names}) AS {query}")
        execute(f"COMMENT ON VIEW reporting.{view} IS {_quoted(comment)}")
        for name, told in columns:
            execute(f"COMMENT ON COLUMN reporting.{view}.{name} IS {_quoted(told)}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
