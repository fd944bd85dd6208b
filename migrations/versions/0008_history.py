"""What was before: a history table for each table of the mirror, views and functions over them, and the change feed."""

from alembic import op

revision = "0008"
down_revision = "0007"


HISTORY = (
    "CREATE SCHEMA history",
    "COMMENT ON SCHEMA history IS 'Old versions of the mirror''s rows, of streams with history = true; the newest version of a row is the mirror''s own'",
    """
    CREATE FUNCTION history.add(mirror_schema text, mirror_table text) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
      mirrored regclass := format('%I.%I', mirror_schema, mirror_table)::regclass;
      kept text := mirror_schema || '_' || mirror_table;
      field record;
      fields text := '';
      keys text;
    BEGIN
      FOR field IN
        SELECT attname, format_type(atttypid, atttypmod) AS type, attnotnull FROM pg_attribute
        WHERE attrelid = mirrored AND attnum > 0 AND NOT attisdropped
          AND attname <> ALL ('{_first_seen_at,_changed_at,_hash}')
        ORDER BY attnum
      LOOP
        fields := fields || format('%I %s%s, ', field.attname, field.type, CASE WHEN field.attnotnull THEN ' NOT NULL' ELSE '' END);
      END LOOP;
      SELECT string_agg(quote_ident(attname), ', ' ORDER BY place) INTO keys
      FROM pg_constraint CROSS JOIN LATERAL unnest(conkey) WITH ORDINALITY AS own (number, place)
      JOIN pg_attribute ON attrelid = conrelid AND attnum = number
      WHERE conrelid = mirrored AND contype = 'p';
      EXECUTE format('CREATE TABLE history.%I (%s valid_from timestamptz NOT NULL, valid_to timestamptz NOT NULL, PRIMARY KEY (%s, valid_from))',
                     kept, fields, keys);
      EXECUTE format('CREATE INDEX %I ON history.%I (valid_to)', kept || '_by_end', kept);
      EXECUTE format('COMMENT ON TABLE history.%I IS %L', kept,
                     'Old versions of the rows of ' || mirror_schema || '.' || mirror_table);
      FOR field IN
        SELECT attname, col_description(mirrored, attnum) AS comment FROM pg_attribute
        WHERE attrelid = mirrored AND attnum > 0 AND NOT attisdropped
          AND attname <> ALL ('{_first_seen_at,_changed_at,_hash}')
        UNION ALL VALUES
          ('valid_from', 'When syncd wrote this version to the mirror; the _changed_at that the row had'),
          ('valid_to', 'When it wrote the next one, or buried the row')
      LOOP
        EXECUTE format('COMMENT ON COLUMN history.%I.%I IS %L', kept, field.attname, field.comment);
      END LOOP;
    END
    $$
    """,
    "COMMENT ON FUNCTION history.add IS 'Makes the history table of a table of the mirror: its columns but those about syncd''s own work, and from when to when they were valid'",
)

TABLES = (
    ("cyclesoftware", "customer_phone_numbers"),
    ("cyclesoftware", "customers"),
    ("cyclesoftware", "leads"),
    ("cyclesoftware", "platform_keys"),
    ("cyclesoftware", "sales_orders"),
    ("cyclesoftware", "stock"),
    ("cyclesoftware", "stock_items"),
    ("cyclesoftware", "stores"),
    ("cyclis", "companies"),
    ("cyclis", "cyclists"),
    ("cyclis", "dealers"),
    ("cyclis", "orders"),
    ("autengo", "contacts"),
    ("autengo", "makes"),
    ("autengo", "models"),
    ("autengo", "vehicles"),
    ("ghs", "account"),
    ("ghs", "orders"),
    ("ghs", "products"),
    ("ghs", "urgent_messages"),
)

FEED = (
    """
    CREATE TABLE syncd.changes (
        id BIGINT NOT NULL,
        source TEXT NOT NULL,
        stream TEXT NOT NULL,
        table_name TEXT NOT NULL,
        key JSONB NOT NULL,
        operation TEXT NOT NULL,
        changed TEXT[],
        changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        run_id BIGINT,
        PRIMARY KEY (id),
        CONSTRAINT changes_operation CHECK (operation IN ('insert', 'update', 'delete'))
    )
    """,
    "COMMENT ON TABLE syncd.changes IS 'Every change of a row, of streams with changes = true, in the order of the commits: follow it with syncd.changes_since'",
    "COMMENT ON COLUMN syncd.changes.id IS 'Number of the change: 1, 2, 3, … without a gap, in the order in which they were committed'",
    "COMMENT ON COLUMN syncd.changes.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN syncd.changes.stream IS 'Name of the stream'",
    "COMMENT ON COLUMN syncd.changes.table_name IS 'Table of the row, with its schema; a child row bears that of its own table'",
    "COMMENT ON COLUMN syncd.changes.key IS 'Key of the row by column, without source'",
    "COMMENT ON COLUMN syncd.changes.operation IS 'insert: the row is there (again); update: it changed; delete: it was found gone upstream'",
    "COMMENT ON COLUMN syncd.changes.changed IS 'Names of the columns that an update changed, _extra among them; empty if only child rows did; null for insert and delete'",
    "COMMENT ON COLUMN syncd.changes.changed_at IS 'When the row was written; its _changed_at'",
    "COMMENT ON COLUMN syncd.changes.run_id IS 'The run that wrote it; null for what a command mended'",
    """
    CREATE FUNCTION syncd.changes_since(after bigint, at_most integer DEFAULT 1000) RETURNS SETOF syncd.changes
    LANGUAGE plpgsql STABLE AS $$
    DECLARE
      first bigint := (SELECT min(id) FROM syncd.changes);
      last bigint := (SELECT max(id) FROM syncd.changes);
    BEGIN
      IF after > coalesce(last, 0) THEN
        RAISE EXCEPTION 'the newest change is %, not %', coalesce(last, 0), after
          USING ERRCODE = 'no_data_found', HINT = 'This database was restored from a backup. Read the tables anew and go on from the newest change.';
      ELSIF after < first - 1 THEN
        RAISE EXCEPTION 'the changes from % to % are no longer kept', after + 1, first - 1
          USING ERRCODE = 'no_data_found', HINT = 'Read the tables anew and go on from the newest change.';
      END IF;
      RETURN QUERY SELECT * FROM syncd.changes WHERE id > after ORDER BY id LIMIT at_most;
    END
    $$
    """,
    "COMMENT ON FUNCTION syncd.changes_since IS 'The changes that follow the one with this number; fails if some of them are no longer kept'",
)


def versions(table: str, *columns: str) -> str:
    """Return all versions of the rows of a table that were no tombstones, the newest with valid_to null."""
    names = ", ".join(("source", *columns))
    alive = "WHERE _deleted_at IS NULL"
    return (
        f"(SELECT {names}, valid_from, valid_to FROM history.{table.replace('.', '_')} {alive}"
        f" UNION ALL SELECT {names}, _changed_at, NULL FROM {table} {alive})"
    )


SOURCE = ("source", "Configured name of the source")
VALID = (
    ("valid_from", "From when on it was so, as far as syncd saw it"),
    ("valid_to", "Until when it was so; null: it still is"),
)

# For each view its comment, its columns in order with theirs, and its query.
VIEWS: dict[str, tuple[str, tuple[tuple[str, str], ...], str]] = {
    "customers_history": (
        "Customers of the shops, one row for each version of each (CycleSoftware)",
        (
            SOURCE,
            ("customer_id", "The customer, as in reporting.customers"),
            (
                "full_name",
                "First name (else initials), particle and last name; the company where there is none of these",
            ),
            ("company", "Company; null for most people"),
            ("customer_type", "Kind of customer, an open set: Klant, Zakelijk, E-commerce, …"),
            ("email", "E-mail address, blanks around it removed; null if there is none"),
            ("phone", "Best number: the mobile one, else the landline, else the first other one; as typed"),
            ("street", "Street with house number and its postfix"),
            ("postcode", "Postcode"),
            ("city", "City"),
            ("country", "Country by ISO 3166, in capitals"),
            ("discount_percent", "Standing discount in percent"),
            ("vat_number", "VAT number"),
            ("created_at", "When it was created; null where the shop does not know"),
            *VALID,
        ),
        f"""
        SELECT source, customer_id,
               coalesce(nullif(concat_ws(' ', coalesce(nullif(btrim(first_name), ''), nullif(btrim(initials), '')),
                                         nullif(btrim(insertion), ''), nullif(btrim(name), '')), ''),
                        nullif(btrim(company_name), '')),
               nullif(btrim(company_name), ''), customer_type_name, nullif(btrim(email), ''),
               (SELECT phone_number FROM {
            versions("cyclesoftware.customer_phone_numbers", "customer_id", "phone_number_id", "phone_number")
        } AS numbers
                WHERE numbers.source = customers.source AND numbers.customer_id = customers.customer_id
                  AND numbers.valid_from <= customers.valid_from
                  AND (numbers.valid_to IS NULL OR numbers.valid_to > customers.valid_from) AND btrim(phone_number) <> ''
                ORDER BY phone_number_id <> 'mob', phone_number_id <> 'tel', phone_number_id LIMIT 1),
               nullif(btrim(concat_ws(' ', nullif(btrim(street), ''), concat(house_number, house_number_postfix))), ''),
               nullif(btrim(postcode), ''), nullif(btrim(city), ''), upper(nullif(btrim(country_code_iso_3166), '')),
               discount_percentage, nullif(btrim(vat_number), ''), datetime_created, valid_from, valid_to
        FROM {
            versions(
                "cyclesoftware.customers",
                "customer_id",
                "first_name",
                "initials",
                "insertion",
                "name",
                "company_name",
                "customer_type_name",
                "email",
                "street",
                "house_number",
                "house_number_postfix",
                "postcode",
                "city",
                "country_code_iso_3166",
                "discount_percentage",
                "vat_number",
                "datetime_created",
            )
        } AS customers
        """,
    ),
    "stock_objects_history": (
        (
            "Bikes and other objects that a shop had, one row for each version of each (CycleSoftware). From the list of all"
            " stocked objects (stock_items) while they were not sold to a customer; from the stock locator (stock) those"
            " that the list never held"
        ),
        (
            SOURCE,
            ("store_id", "The store as [account]-[store], as in reporting.stores"),
            ("store_name", "Name of the store today; its number if the account does not see it"),
            ("object_id", "Number of the object, unique within the account only"),
            ("brand", "Brand"),
            ("article_id", "Article number of the shop; leading zeros count"),
            ("barcode", "EAN of the article"),
            ("description", "Description of the article; null where only the locator knows it"),
            ("frame_number", "Frame number"),
            ("is_demo", "True for a demonstration bike"),
            ("is_rental", "True for a rental bike"),
            ("is_used", "True for a used object"),
            ("is_reserved", "True if a sales order held it"),
            ("sales_order_id", "That sales order, as in reporting.sales_orders"),
            ("stocked_on", "Day on which it came into stock; null where only the locator knows it"),
            ("purchase_price", "Purchase price in euro"),
            ("retail_price", "Recommended retail price in euro"),
            ("known_from", "stock_items or stock"),
            *VALID,
        ),
        f"""
        SELECT source, store_id, coalesce(store_name, store_id), object_id, brand, article_id, barcode, description,
               frame_number, is_demo, is_rental, is_used, sales_order_id IS NOT NULL, sales_order_id, stocked_at,
               purchase_price, retail_price, known_from, valid_from, valid_to
        FROM (
          SELECT source, concat(account_id, '-', store_id) AS store_id, object_id,
                 coalesce(nullif(brand_name, ''), nullif(supplier, '')) AS brand, article_id, barcode,
                 description, nullif(frame_id, '') AS frame_number, is_demo IS TRUE AS is_demo,
                 is_rental IS TRUE AS is_rental, is_used IS TRUE AS is_used,
                 nullif(sales_order_id, 0) AS sales_order_id, stocked_at,
                 round(purchase_price_cents / 100.0, 2) AS purchase_price,
                 round(dealer_rrp_cents / 100.0, 2) AS retail_price, 'stock_items' AS known_from, valid_from, valid_to
          FROM {
            versions(
                "cyclesoftware.stock_items",
                "account_id",
                "store_id",
                "object_id",
                "brand_name",
                "supplier",
                "article_id",
                "barcode",
                "description",
                "frame_id",
                "is_demo",
                "is_rental",
                "is_used",
                "sales_order_id",
                "stocked_at",
                "purchase_price_cents",
                "dealer_rrp_cents",
                "is_sold_to_customer",
            )
        } AS listed WHERE is_sold_to_customer IS NOT TRUE
          UNION ALL
          SELECT source, store_id, object_id, nullif(brand_name, ''), article_id, barcode, NULL, NULL, is_demo IS TRUE,
                 false, false, NULL, NULL, NULL, NULL, 'stock', valid_from, valid_to
          FROM {
            versions("cyclesoftware.stock", "store_id", "object_id", "brand_name", "article_id", "barcode", "is_demo")
        } AS located
          WHERE (  -- asked for one by one: the list is long, the locator short
            SELECT listed.object_id FROM cyclesoftware.stock_items AS listed
            WHERE listed.source = located.source AND listed.object_id = located.object_id
              AND listed.account_id = CASE WHEN located.store_id ~ '^[0-9]{{1,18}}-'
                                           THEN split_part(located.store_id, '-', 1)::bigint END
          ) IS NULL
        ) AS objects
        LEFT JOIN cyclesoftware.stores USING (source, store_id)
        """,
    ),
    "sales_orders_history": (
        "Sales orders of the shops, one row for each version of each (CycleSoftware); the vendor documents no amount",
        (
            SOURCE,
            ("sales_order_id", "The sales order, as in reporting.sales_orders"),
            ("store", "The store: [account]-[store] where the account is sent, else the number of the store alone"),
            ("customer_id", "The customer, as in reporting.customers"),
            ("order_type", "Kind of order in words, e.g. Reparatie"),
            ("status", "Status in words, e.g. Afgerond"),
            ("is_cancelled", "True if a reason for cancelling is given"),
            ("is_invoiced", "True once invoiced"),
            ("invoice_number", "Number of the invoice"),
            ("wanted_on", "Day on which the customer would like to have it"),
            ("created_at", "When it was created"),
            ("created_month", "First day of that month"),
            ("modified_at", "When it was last modified"),
            *VALID,
        ),
        f"""
        SELECT source, sales_order_id, concat_ws('-', account_id, store_id), customer_id, order_type_text, status_text,
               coalesce(cancellation_type_id, 0) <> 0, has_invoice IS TRUE, nullif(invoice_number, 0),
               datetime_preferred_delivery, datetime_created,
               date_trunc('month', datetime_created AT TIME ZONE 'Europe/Amsterdam')::date, datetime_modified,
               valid_from, valid_to
        FROM {
            versions(
                "cyclesoftware.sales_orders",
                "sales_order_id",
                "account_id",
                "store_id",
                "customer_id",
                "order_type_text",
                "status_text",
                "cancellation_type_id",
                "has_invoice",
                "invoice_number",
                "datetime_preferred_delivery",
                "datetime_created",
                "datetime_modified",
            )
        } AS orders
        """,
    ),
    "leads_history": (
        "Sales leads, one row for each version of each (CycleSoftware)",
        (
            SOURCE,
            ("lead_id", "The lead, as in reporting.leads"),
            ("lead_type", "information, sales_offer, test_ride, contact_request, exchange, complaint or other"),
            ("status", "open, noticed, accepted, declined, succeeded, failed or cancelled"),
            ("is_open", "True while it was open, noticed or accepted"),
            ("title", "Short description"),
            ("bike", "The object asked about"),
            ("store_id", "The store, as in reporting.stores; at times only a number"),
            ("customer_id", "The customer, as in reporting.customers; null if not linked to one"),
            ("created_at", "When it came in"),
            ("modified_at", "When it was last modified"),
            *VALID,
        ),
        f"""
        SELECT source, uuid, type, status, status IN ('open', 'noticed', 'accepted'), title, object_description, store_id,
               customer_id, created_at, modified_at, valid_from, valid_to
        FROM {
            versions(
                "cyclesoftware.leads",
                "uuid",
                "type",
                "status",
                "title",
                "object_description",
                "store_id",
                "customer_id",
                "created_at",
                "modified_at",
            )
        } AS leads
        """,
    ),
    "lease_orders_history": (
        "Lease orders and quotes, one row for each version of each (Cyclis)",
        (
            SOURCE,
            ("order_id", "The order, as in reporting.lease_orders"),
            ("order_number", "Number of the order, e.g. SO12345"),
            ("state", "State of the order, an open set: quote, confirmed, active, …"),
            ("bike_state", "How far the order of the bike itself was, an open set: to_order, ordered, delivered, …"),
            ("bike", "Brand and model in one"),
            ("bike_brand", "Brand of the bike"),
            ("bike_model", "Model of the bike"),
            ("lease_cost", "Cost of the lease; presumably euros a month"),
            ("lease_months", "Length of the lease; presumably months"),
            ("lease_value", "lease_cost times lease_months"),
            ("company_id", "The company, as in reporting.companies"),
            ("cyclist_id", "The cyclist, as in reporting.cyclists"),
            ("created_at", "When the order was created"),
            ("created_month", "First day of that month"),
            ("starts_at", "Start of the lease; null if not set"),
            ("ends_at", "End of the lease; null if not set"),
            *VALID,
        ),
        f"""
        SELECT source, id, name, state, bike_order_state, bike_name, bike_brand, bike_model, lease_cost, lease_duration,
               lease_cost * lease_duration, company_id, cyclist_id, create_timestamp,
               date_trunc('month', create_timestamp AT TIME ZONE 'Europe/Amsterdam')::date, start_lease_date,
               end_lease_date, valid_from, valid_to
        FROM {
            versions(
                "cyclis.orders",
                "id",
                "name",
                "state",
                "bike_order_state",
                "bike_name",
                "bike_brand",
                "bike_model",
                "lease_cost",
                "lease_duration",
                "company_id",
                "cyclist_id",
                "create_timestamp",
                "start_lease_date",
                "end_lease_date",
            )
        } AS orders
        """,
    ),
    "vehicles_history": (
        "Cars in any state, one row for each version of each (Autengo)",
        (
            SOURCE,
            ("vehicle_id", "Autengo's selling id, as in reporting.vehicles"),
            ("internal_number", "The dealer's own number"),
            ("branch_id", "Branch to which it belonged"),
            ("make", "Make, e.g. Audi"),
            ("model", "Model, e.g. A4"),
            ("version", "Version of the model"),
            ("state", "incoming, inventory or sold"),
            ("kilometers", "Mileage in kilometres"),
            ("vin", "Vehicle identification number"),
            ("dealer_price", "Price for dealers, in euro"),
            ("yard_price", "Price on the yard, in euro"),
            ("is_damaged", "True if it was damaged"),
            ("had_accident", "True if it had an accident"),
            ("added_at", "When it was added"),
            ("updated_at", "When it was last changed at Autengo"),
            *VALID,
        ),
        f"""
        SELECT source, selling_id, internal_id, branch_id, make_name, model_name, model_version, vehicle_state, kilometers,
               vin, dealer_price, price_yard, is_damaged IS TRUE, had_accident_damage IS TRUE, created, updated,
               valid_from, valid_to
        FROM {
            versions(
                "autengo.vehicles",
                "selling_id",
                "internal_id",
                "branch_id",
                "make_name",
                "model_name",
                "model_version",
                "vehicle_state",
                "kilometers",
                "vin",
                "dealer_price",
                "price_yard",
                "is_damaged",
                "had_accident_damage",
                "created",
                "updated",
            )
        } AS vehicles
        """,
    ),
    "parts_history": (
        "Car parts that the configuration asks for, one row for each version of each (GHS)",
        (
            SOURCE,
            ("product_id", "The product, as in reporting.parts"),
            ("article_number", "Article number of the brand"),
            ("name", "Name"),
            ("brand", "Brand"),
            ("product_group", "Product group"),
            ("net_price", "This account's price in euro"),
            ("list_price", "List price in euro"),
            ("quantity", "In stock in the account's own warehouse"),
            ("quantity_everywhere", "In stock in all warehouses"),
            ("can_backorder", "True if it could be ordered while out of stock"),
            ("is_in_promotion", "True while it was in a promotion"),
            *VALID,
        ),
        f"""
        SELECT source, id, article_no, name, brand_name, product_group, netto_price, bruto_price,
               quantity_linked_warehouse, quantity_all_warehouses, can_backorder IS TRUE, is_in_promotion IS TRUE,
               valid_from, valid_to
        FROM {
            versions(
                "ghs.products",
                "id",
                "article_no",
                "name",
                "brand_name",
                "product_group",
                "netto_price",
                "bruto_price",
                "quantity_linked_warehouse",
                "quantity_all_warehouses",
                "can_backorder",
                "is_in_promotion",
            )
        } AS products
        """,
    ),
}

STOCK_AS_OF = (
    """
    CREATE FUNCTION reporting.stock_as_of(at timestamptz) RETURNS TABLE (
      source text, store_id text, store_name text, brand text, article_id text, barcode text, description text,
      in_stock bigint, reserved bigint, demo bigint, rental bigint, purchase_value numeric, retail_value numeric,
      oldest_on date
    ) LANGUAGE sql STABLE PARALLEL SAFE AS $$
      SELECT source, store_id, min(store_name), brand, article_id, barcode, min(description),
             count(*) FILTER (WHERE NOT is_demo AND NOT is_rental),
             count(*) FILTER (WHERE NOT is_demo AND NOT is_rental AND is_reserved),
             count(*) FILTER (WHERE is_demo), count(*) FILTER (WHERE is_rental AND NOT is_demo),
             sum(purchase_price), sum(retail_price), min(stocked_on)
      FROM reporting.stock_objects_history WHERE valid_from <= at AND (valid_to IS NULL OR valid_to > at)
      GROUP BY source, store_id, brand, article_id, barcode
    $$
    """,
    "COMMENT ON FUNCTION reporting.stock_as_of IS 'reporting.stock as it was at an instant; what history was not kept of shows only where it has not changed since'",
)


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for statement in HISTORY:
        execute(statement)
    for schema, table in TABLES:
        execute(f"SELECT history.add('{schema}', '{table}')")
    for statement in FEED:
        execute(statement)
    for view, (comment, columns, query) in VIEWS.items():
        names = ", ".join(name for name, _ in columns)
        execute(f"CREATE VIEW reporting.{view} ({names}) AS {query}")
        execute(f"COMMENT ON VIEW reporting.{view} IS {_quoted(comment)}")
        for name, told in columns:
            execute(f"COMMENT ON COLUMN reporting.{view}.{name} IS {_quoted(told)}")
        add_as_of(view.removesuffix("_history"))
    for statement in STOCK_AS_OF:
        execute(statement)


def add_as_of(name: str) -> None:
    """Add the function that answers what a view of versions held at an instant; the planner puts it into the query."""
    execute = op.get_bind().exec_driver_sql
    execute(f"""
        CREATE FUNCTION reporting.{name}_as_of(at timestamptz) RETURNS SETOF reporting.{name}_history
        LANGUAGE sql STABLE PARALLEL SAFE AS $$
          SELECT * FROM reporting.{name}_history WHERE valid_from <= at AND (valid_to IS NULL OR valid_to > at)
        $$
    """)
    comment = f"reporting.{name} as it was at an instant; what history was not kept of shows only where it has not changed since"
    execute(f"COMMENT ON FUNCTION reporting.{name}_as_of IS {_quoted(comment)}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
