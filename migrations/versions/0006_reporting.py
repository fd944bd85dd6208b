"""Schema reporting: views that speak the business, without bookkeeping and tombstones."""

from alembic import op

revision = "0006"
down_revision = "0005"


SCHEMA = (
    "CREATE SCHEMA reporting",
    "COMMENT ON SCHEMA reporting IS 'The mirror for people and BI tools: no bookkeeping, no tombstones, business words; days and months are those of Europe/Amsterdam, amounts are euros'",
    """
    CREATE FUNCTION reporting.now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS $$
      SELECT coalesce(nullif(current_setting('reporting.now', true), '')::timestamptz, pg_catalog.now())
    $$
    """,
    "COMMENT ON FUNCTION reporting.now() IS 'The instant from which ages and lags are counted: now, unless the session says otherwise (SET reporting.now = ''2026-06-30''), so that a report can be made again'",
)

# For each view its comment, its columns in order with theirs, and its query.
VIEWS: dict[str, tuple[str, tuple[tuple[str, str], ...], str]] = {
    "stores": (
        "Shops whose stock can be seen (CycleSoftware)",
        (
            ("source", "Configured name of the source"),
            ("store_id", "The store as [account]-[store], e.g. 5185-1"),
            ("name", "Name of the store"),
            ("address", "Street and house number"),
            ("postcode", "Postcode"),
            ("country", "Country by ISO 3166, in capitals"),
            ("phone", "Phone number in any form"),
            ("email", "E-mail address"),
            ("gln", "Global Location Number; several stores may share one"),
            ("latitude", "Latitude in degrees; null where it is not known"),
            ("longitude", "Longitude in degrees; null where it is not known"),
        ),
        """
        SELECT source, store_id, store_name, store_address, store_postal_code, upper(store_country_code),
               nullif(store_phone_number, ''), nullif(store_email, ''), nullif(store_gln, ''),
               CASE WHEN (store_latitude, store_longitude) <> (0, 0) THEN store_latitude END,
               CASE WHEN (store_latitude, store_longitude) <> (0, 0) THEN store_longitude END
        FROM cyclesoftware.stores WHERE _deleted_at IS NULL
        """,
    ),
    "customers": (
        "Customers of the shops, one row each, with their best phone number and full address (CycleSoftware)",
        (
            ("source", "Configured name of the source"),
            ("customer_id", "Number of the customer"),
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
            ("address", "Street, postcode and city in one line"),
            ("discount_percent", "Standing discount in percent"),
            ("vat_number", "VAT number"),
            ("created_at", "When it was created; null where the shop does not know"),
        ),
        """
        SELECT source, customer_id,
               coalesce(nullif(concat_ws(' ', coalesce(nullif(btrim(first_name), ''), nullif(btrim(initials), '')),
                                         nullif(btrim(insertion), ''), nullif(btrim(name), '')), ''),
                        nullif(btrim(company_name), '')),
               nullif(btrim(company_name), ''), customer_type_name, nullif(btrim(email), ''),
               (SELECT phone_number FROM cyclesoftware.customer_phone_numbers AS numbers
                WHERE numbers.source = customers.source AND numbers.customer_id = customers.customer_id
                  AND numbers._deleted_at IS NULL AND btrim(phone_number) <> ''
                ORDER BY phone_number_id <> 'mob', phone_number_id <> 'tel', phone_number_id LIMIT 1),
               street_line, nullif(btrim(postcode), ''), nullif(btrim(city), ''),
               upper(nullif(btrim(country_code_iso_3166), '')),
               nullif(concat_ws(', ', street_line,
                                nullif(concat_ws(' ', nullif(btrim(postcode), ''), nullif(btrim(city), '')), '')), ''),
               discount_percentage, nullif(btrim(vat_number), ''), datetime_created
        FROM cyclesoftware.customers
        CROSS JOIN LATERAL (
          SELECT nullif(btrim(concat_ws(' ', nullif(btrim(street), ''), concat(house_number, house_number_postfix))), '')
                 AS street_line
        ) AS line
        WHERE _deleted_at IS NULL
        """,
    ),
    "stock_objects": (
        (
            "Bikes and other objects that a shop has, one row each (CycleSoftware). From the list of all stocked objects"
            " (stock_items), without those sold to a customer; the stock locator (stock) adds those that the list does not"
            " know. Same object: same source, account and object_id"
        ),
        (
            ("source", "Configured name of the source"),
            ("store_id", "The store as [account]-[store], as in reporting.stores"),
            ("store_name", "Name of the store; its number if the account does not see it"),
            ("object_id", "Number of the object, unique within the account only"),
            ("brand", "Brand"),
            ("article_id", "Article number of the shop; leading zeros count"),
            ("barcode", "EAN of the article"),
            ("description", "Description of the article; null where only the locator knows it"),
            ("frame_number", "Frame number"),
            ("is_demo", "True for a demonstration bike"),
            ("is_rental", "True for a rental bike"),
            ("is_used", "True for a used object"),
            ("is_reserved", "True if a sales order holds it"),
            ("sales_order_id", "That sales order, as in reporting.sales_orders"),
            ("stocked_on", "Day on which it came into stock; null where only the locator knows it"),
            ("days_in_stock", "Days since then"),
            ("purchase_price", "Purchase price in euro"),
            ("retail_price", "Recommended retail price in euro"),
            ("known_from", "stock_items or stock"),
        ),
        """
        SELECT source, store_id, coalesce(store_name, store_id), object_id, brand, article_id, barcode, description, frame_number,
               is_demo, is_rental, is_used, sales_order_id IS NOT NULL, sales_order_id, stocked_at,
               (reporting.now() AT TIME ZONE 'Europe/Amsterdam')::date - stocked_at,
               purchase_price, retail_price, known_from
        FROM (
          SELECT source, concat(account_id, '-', store_id) AS store_id, object_id,
                 coalesce(nullif(brand_name, ''), nullif(supplier, '')) AS brand, article_id, barcode,
                 description, nullif(frame_id, '') AS frame_number, is_demo IS TRUE AS is_demo,
                 is_rental IS TRUE AS is_rental, is_used IS TRUE AS is_used,
                 nullif(sales_order_id, 0) AS sales_order_id, stocked_at,
                 round(purchase_price_cents / 100.0, 2) AS purchase_price,
                 round(dealer_rrp_cents / 100.0, 2) AS retail_price, 'stock_items' AS known_from
          FROM cyclesoftware.stock_items WHERE _deleted_at IS NULL AND is_sold_to_customer IS NOT TRUE
          UNION ALL
          SELECT source, store_id, object_id, nullif(brand_name, ''), article_id, barcode, NULL, NULL, is_demo IS TRUE,
                 false, false, NULL, NULL, NULL, NULL, 'stock'
          FROM cyclesoftware.stock AS located
          WHERE _deleted_at IS NULL AND (  -- asked for one by one: the list is long, the locator short
            SELECT listed.object_id FROM cyclesoftware.stock_items AS listed
            WHERE listed.source = located.source AND listed.object_id = located.object_id
              AND listed.account_id = CASE WHEN located.store_id ~ '^[0-9]{1,18}-'
                                           THEN split_part(located.store_id, '-', 1)::bigint END
              AND listed._deleted_at IS NULL
          ) IS NULL
        ) AS objects
        LEFT JOIN cyclesoftware.stores USING (source, store_id)
        """,
    ),
    "stock": (
        "What is in stock by store, brand and article, demonstration and rental bikes apart (CycleSoftware)",
        (
            ("source", "Configured name of the source"),
            ("store_id", "The store, as in reporting.stores"),
            ("store_name", "Name of the store"),
            ("brand", "Brand"),
            ("article_id", "Article number of the shop"),
            ("barcode", "EAN of the article"),
            ("description", "Description of one of them"),
            ("in_stock", "Objects that are neither demonstration nor rental bikes"),
            ("reserved", "Of these, held by a sales order"),
            ("demo", "Demonstration bikes"),
            ("rental", "Rental bikes, those for demonstration not counted again"),
            ("purchase_value", "Purchase price of all of them together, in euro"),
            ("retail_value", "Recommended retail price of all of them together, in euro"),
            ("oldest_on", "Day on which the oldest came into stock"),
        ),
        """
        SELECT source, store_id, min(store_name), brand, article_id, barcode, min(description),
               count(*) FILTER (WHERE NOT is_demo AND NOT is_rental),
               count(*) FILTER (WHERE NOT is_demo AND NOT is_rental AND is_reserved),
               count(*) FILTER (WHERE is_demo), count(*) FILTER (WHERE is_rental AND NOT is_demo),
               sum(purchase_price), sum(retail_price), min(stocked_on)
        FROM reporting.stock_objects GROUP BY source, store_id, brand, article_id, barcode
        """,
    ),
    "sales_orders": (
        "Sales orders of the shops (CycleSoftware); the vendor documents no amount",
        (
            ("source", "Configured name of the source"),
            ("sales_order_id", "Number of the sales order"),
            ("store", "The store: [account]-[store] where the account is sent, else the number of the store alone"),
            ("customer_id", "The customer, as in reporting.customers"),
            ("customer_name", "Name of the customer; null if gone"),
            ("order_type", "Kind of order in words, e.g. Reparatie"),
            ("status", "Status in words, e.g. Afgerond"),
            ("is_cancelled", "True if a reason for cancelling is given"),
            ("is_invoiced", "True once invoiced"),
            ("invoice_number", "Number of the invoice"),
            ("wanted_on", "Day on which the customer would like to have it"),
            ("created_at", "When it was created"),
            ("created_month", "First day of that month"),
            ("modified_at", "When it was last modified"),
        ),
        """
        SELECT orders.source, sales_order_id, concat_ws('-', account_id, store_id), orders.customer_id,
               (SELECT full_name FROM reporting.customers
                WHERE customers.source = orders.source AND customers.customer_id = orders.customer_id),
               order_type_text, status_text, coalesce(cancellation_type_id, 0) <> 0, has_invoice IS TRUE,
               nullif(invoice_number, 0), datetime_preferred_delivery, datetime_created,
               date_trunc('month', datetime_created AT TIME ZONE 'Europe/Amsterdam')::date, datetime_modified
        FROM cyclesoftware.sales_orders AS orders WHERE _deleted_at IS NULL
        """,
    ),
    "leads": (
        "Sales leads (CycleSoftware)",
        (
            ("source", "Configured name of the source"),
            ("lead_id", "Identifies the lead"),
            ("lead_type", "information, sales_offer, test_ride, contact_request, exchange, complaint or other"),
            ("status", "open, noticed, accepted, declined, succeeded, failed or cancelled"),
            ("is_open", "True while it is open, noticed or accepted"),
            ("title", "Short description"),
            ("bike", "The object asked about"),
            ("store_id", "The store, as in reporting.stores; at times only a number"),
            ("store_name", "Name of the store"),
            ("customer_id", "The customer, as in reporting.customers; null if not linked to one"),
            ("customer_name", "Who asks"),
            ("email", "E-mail address of who asks"),
            ("phone", "Phone number of who asks"),
            ("created_at", "When it came in"),
            ("modified_at", "When it was last modified"),
            ("days_open", "Days since it came in; null once it is closed"),
        ),
        """
        SELECT leads.source, uuid, type, status, status IN ('open', 'noticed', 'accepted'), title, object_description,
               leads.store_id, store_name, customer_id, customer_name, nullif(btrim(customer_email), ''),
               nullif(btrim(customer_phone_number), ''), created_at, modified_at,
               CASE WHEN status IN ('open', 'noticed', 'accepted')
                    THEN floor(extract(epoch FROM reporting.now() - created_at) / 86400)::integer END
        FROM cyclesoftware.leads
        LEFT JOIN cyclesoftware.stores ON stores.source = leads.source AND stores.store_id = leads.store_id
        WHERE leads._deleted_at IS NULL
        """,
    ),
    "lease_orders": (
        "Lease orders and quotes, with company and cyclist (Cyclis)",
        (
            ("source", "Configured name of the source"),
            ("order_id", "Identifies the order"),
            ("order_number", "Number of the order, e.g. SO12345"),
            ("state", "State of the order, an open set: quote, confirmed, active, …"),
            ("bike_state", "How far the order of the bike itself is, an open set: to_order, ordered, delivered, …"),
            ("bike", "Brand and model in one"),
            ("bike_brand", "Brand of the bike"),
            ("bike_model", "Model of the bike"),
            ("bike_type", "Kind of bike"),
            ("bike_size", "Size of the frame"),
            ("bike_color", "Color of the bike"),
            ("lease_cost", "Cost of the lease; presumably euros a month"),
            ("lease_months", "Length of the lease; presumably months"),
            ("lease_value", "lease_cost times lease_months"),
            ("maintenance_budget", "Budget for maintenance; presumably euros"),
            ("company_id", "The company, as in reporting.companies"),
            ("company_name", "Name of the company; null if gone"),
            ("cyclist_id", "The cyclist, as in reporting.cyclists"),
            ("cyclist_name", "Name of the cyclist; null if gone"),
            ("created_at", "When the order was created"),
            ("created_month", "First day of that month"),
            ("starts_at", "Start of the lease; null if not set"),
            ("ends_at", "End of the lease; null if not set"),
        ),
        """
        SELECT orders.source, orders.id, orders.name, state, bike_order_state, bike_name, bike_brand, bike_model,
               bike_type, bike_size, bike_color, lease_cost, lease_duration, lease_cost * lease_duration,
               maintenance_budget, orders.company_id, companies.name, orders.cyclist_id,
               nullif(concat_ws(' ', nullif(btrim(first_name), ''), nullif(btrim(last_name), '')), ''),
               create_timestamp, date_trunc('month', create_timestamp AT TIME ZONE 'Europe/Amsterdam')::date,
               start_lease_date, end_lease_date
        FROM cyclis.orders
        LEFT JOIN cyclis.companies ON companies.source = orders.source AND companies.id = orders.company_id
                                      AND companies._deleted_at IS NULL
        LEFT JOIN cyclis.cyclists ON cyclists.source = orders.source AND cyclists.id = orders.cyclist_id
                                     AND cyclists._deleted_at IS NULL
        WHERE orders._deleted_at IS NULL
        """,
    ),
    "lease_pipeline": (
        "Lease orders by state and by the month in which they were created (Cyclis)",
        (
            ("source", "Configured name of the source"),
            ("state", "State of the orders now"),
            ("month", "First day of the month in which they were created"),
            ("orders", "How many"),
            ("lease_cost", "Their lease costs together; presumably euros a month"),
            ("lease_value", "What they bring over their whole length"),
        ),
        """
        SELECT source, state, created_month, count(*), sum(lease_cost), sum(lease_value)
        FROM reporting.lease_orders GROUP BY source, state, created_month
        """,
    ),
    "cyclists": (
        "People who may lease through their company (Cyclis)",
        (
            ("source", "Configured name of the source"),
            ("cyclist_id", "Identifies the cyclist"),
            ("full_name", "First and last name"),
            ("email", "E-mail address, blanks around it removed; several may share one"),
            ("language", "Language, e.g. nl_BE"),
            ("external_number", "Number that the company itself gave"),
            ("company_id", "The company, as in reporting.companies"),
            ("company_name", "Name of the company; null if gone"),
            ("orders", "Lease orders and quotes of the cyclist"),
        ),
        """
        SELECT cyclists.source, cyclists.id,
               nullif(concat_ws(' ', nullif(btrim(first_name), ''), nullif(btrim(last_name), '')), ''),
               nullif(btrim(email), ''), lang, nullif(external_identifier, ''), company_id, companies.name,
               coalesce(placed.orders, 0)
        FROM cyclis.cyclists
        LEFT JOIN (
          SELECT cyclist_id, source, count(*) AS orders FROM cyclis.orders
          WHERE _deleted_at IS NULL GROUP BY cyclist_id, source
        ) AS placed ON placed.cyclist_id = cyclists.id AND placed.source = cyclists.source
        LEFT JOIN cyclis.companies ON companies.source = cyclists.source AND companies.id = cyclists.company_id
                                      AND companies._deleted_at IS NULL
        WHERE cyclists._deleted_at IS NULL
        """,
    ),
    "companies": (
        "Companies whose people lease, with their cyclists and orders counted (Cyclis)",
        (
            ("source", "Configured name of the source"),
            ("company_id", "Identifies the company"),
            ("name", "Name of the company"),
            ("cyclists", "Its cyclists"),
            ("orders", "Its lease orders and quotes, of any state"),
            ("lease_cost", "Their lease costs together; presumably euros a month"),
            ("lease_value", "What they bring over their whole length"),
            ("last_order_at", "When the newest was created"),
        ),
        """
        SELECT companies.source, companies.id, companies.name, coalesce(people.cyclists, 0),
               coalesce(orders.orders, 0), coalesce(orders.lease_cost, 0), coalesce(orders.lease_value, 0),
               orders.last_order_at
        FROM cyclis.companies
        LEFT JOIN (
          SELECT source, company_id, count(*) AS cyclists FROM cyclis.cyclists
          WHERE _deleted_at IS NULL GROUP BY source, company_id
        ) AS people ON people.source = companies.source AND people.company_id = companies.id
        LEFT JOIN (
          SELECT source, company_id, count(*) AS orders, sum(lease_cost) AS lease_cost,
                 sum(lease_cost * lease_duration) AS lease_value, max(create_timestamp) AS last_order_at
          FROM cyclis.orders WHERE _deleted_at IS NULL GROUP BY source, company_id
        ) AS orders ON orders.source = companies.source AND orders.company_id = companies.id
        WHERE companies._deleted_at IS NULL
        """,
    ),
    "dealers": (
        "Bike dealers of the lease network (Cyclis)",
        (
            ("source", "Configured name of the source"),
            ("dealer_id", "Identifies the dealer"),
            ("name", "Name of the dealer"),
            ("street", "Street and house number"),
            ("postcode", "Postcode"),
            ("city", "City"),
            ("country", "Country by ISO 3166, in capitals"),
            ("email", "E-mail address"),
            ("phone", "Landline number, else the mobile one; as typed"),
            ("vat_number", "VAT number as typed"),
            ("latitude", "Latitude in degrees"),
            ("longitude", "Longitude in degrees"),
            ("brands", "The brands that the dealer sells, in one text; one row each in reporting.dealer_brands"),
        ),
        """
        SELECT source, id, name, nullif(concat_ws(' ', nullif(btrim(street_name), ''), nullif(btrim(street_number), '')), ''),
               nullif(postal_code, ''), nullif(city, ''), upper(nullif(country_code, '')), nullif(email, ''),
               coalesce(nullif(phone, ''), nullif(mobile, '')), nullif(vat, ''), latitude, longitude,
               (SELECT string_agg(brand, ', ' ORDER BY brand)
                FROM jsonb_array_elements_text(CASE jsonb_typeof(brands) WHEN 'array' THEN brands ELSE '[]' END) AS brand)
        FROM cyclis.dealers WHERE _deleted_at IS NULL
        """,
    ),
    "dealer_brands": (
        "Which dealer of the lease network sells which brand (Cyclis)",
        (
            ("source", "Configured name of the source"),
            ("dealer_id", "The dealer, as in reporting.dealers"),
            ("dealer_name", "Name of the dealer"),
            ("city", "City of the dealer"),
            ("brand", "Brand"),
        ),
        """
        SELECT source, id, name, nullif(city, ''), brand
        FROM cyclis.dealers
        CROSS JOIN LATERAL jsonb_array_elements_text(
          CASE jsonb_typeof(brands) WHEN 'array' THEN brands ELSE '[]' END
        ) AS brand
        WHERE _deleted_at IS NULL
        """,
    ),
    "vehicles": (
        "Cars in any state: incoming, in inventory or sold (Autengo)",
        (
            ("source", "Configured name of the source"),
            ("vehicle_id", "Autengo's selling id"),
            ("internal_number", "The dealer's own number"),
            ("branch_id", "Branch to which it belongs"),
            ("make", "Make, e.g. Audi"),
            ("model", "Model, e.g. A4"),
            ("version", "Version of the model"),
            ("state", "incoming, inventory or sold"),
            ("condition", "Kind of car, in the source's language: new, used, demonstration, …"),
            ("body", "Kind of body, in the source's language"),
            ("fuel", "Fuel, in the source's language"),
            ("transmission", "Transmission, in the source's language"),
            ("color", "Color, in the source's language"),
            ("power_kw", "Power in kW"),
            ("first_registration", "Day of the first registration"),
            ("kilometers", "Mileage in kilometres"),
            ("vin", "Vehicle identification number"),
            ("dealer_price", "Price for dealers, in euro"),
            ("yard_price", "Price on the yard, in euro"),
            ("is_damaged", "True if it is damaged"),
            ("had_accident", "True if it had an accident"),
            ("added_at", "When it was added"),
            ("updated_at", "When it was last changed at Autengo"),
            ("days_in_stock", "Days since it was added; null unless it is in inventory"),
        ),
        """
        SELECT source, selling_id, internal_id, branch_id, make_name, model_name, model_version, vehicle_state,
               condition_type_text, vehicle_type_id_text, fuel_type_text, transmission_type_text, color_id_text,
               power_kw, first_registration, kilometers, vin, dealer_price, price_yard, is_damaged IS TRUE,
               had_accident_damage IS TRUE, created, updated,
               CASE vehicle_state WHEN 'inventory'
                 THEN floor(extract(epoch FROM reporting.now() - created) / 86400)::integer END
        FROM autengo.vehicles WHERE _deleted_at IS NULL
        """,
    ),
    "vehicle_inventory": (
        "Cars in inventory, with their age in stock (Autengo)",
        (
            ("source", "Configured name of the source"),
            ("vehicle_id", "Autengo's selling id, as in reporting.vehicles"),
            ("internal_number", "The dealer's own number"),
            ("branch_id", "Branch to which it belongs"),
            ("make", "Make, e.g. Audi"),
            ("model", "Model, e.g. A4"),
            ("version", "Version of the model"),
            ("fuel", "Fuel, in the source's language"),
            ("first_registration", "Day of the first registration"),
            ("kilometers", "Mileage in kilometres"),
            ("dealer_price", "Price for dealers, in euro"),
            ("yard_price", "Price on the yard, in euro"),
            ("is_damaged", "True if it is damaged"),
            ("had_accident", "True if it had an accident"),
            ("added_at", "When it was added"),
            ("days_in_stock", "Days since it was added"),
        ),
        """
        SELECT source, vehicle_id, internal_number, branch_id, make, model, version, fuel, first_registration,
               kilometers, dealer_price, yard_price, is_damaged, had_accident, added_at, days_in_stock
        FROM reporting.vehicles WHERE state = 'inventory'
        """,
    ),
    "parts": (
        "Car parts that the configuration asks for, with this account's price and what is in stock (GHS)",
        (
            ("source", "Configured name of the source"),
            ("product_id", "GHS id of the product; nine characters"),
            ("article_number", "Article number of the brand"),
            ("name", "Name"),
            ("brand", "Brand"),
            ("product_group", "Product group"),
            ("net_price", "This account's price in euro"),
            ("list_price", "List price in euro"),
            ("discount_percent", "How far the net price is below the list price"),
            ("deposit", "Deposit on the old part, in euro"),
            ("quantity", "In stock in the account's own warehouse"),
            ("quantity_everywhere", "In stock in all warehouses"),
            ("units_per_sale", "Units in one sale"),
            ("can_backorder", "True if it can be ordered while out of stock"),
            ("is_in_promotion", "True while it is in a promotion"),
        ),
        """
        SELECT source, id, article_no, name, brand_name, product_group, netto_price, bruto_price,
               round(100 * (1 - netto_price / nullif(bruto_price, 0)), 1), nullif(deposit_fee, 0),
               quantity_linked_warehouse, quantity_all_warehouses, units_per_sale, can_backorder IS TRUE,
               is_in_promotion IS TRUE
        FROM ghs.products WHERE _deleted_at IS NULL
        """,
    ),
    "parts_order_lines": (
        "What was ordered of the parts wholesaler, one row for each line of an order (GHS)",
        (
            ("source", "Configured name of the source"),
            ("order_id", "GHS id of the order"),
            ("reference", "The customer's own reference"),
            ("delivery_route", "Delivery route; A: collected, N: sent with a later delivery"),
            ("line", "Number of the line, from 1"),
            ("product_id", "The product, as in reporting.parts if it is mirrored"),
            ("product_name", "Name of the product, as it stood in the order"),
            ("quantity", "How many"),
            ("net_price", "This account's price now, in euro; null if the product is not mirrored"),
        ),
        """
        SELECT orders.source, order_id, external_order_id, delivery_route, line, item ->> 'productId',
               item ->> 'productName',
               CASE jsonb_typeof(item -> 'quantity') WHEN 'number' THEN (item ->> 'quantity')::numeric END, netto_price
        FROM ghs.orders
        CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(items) WHEN 'array' THEN items ELSE '[]' END)
                           WITH ORDINALITY AS lines (item, line)
        LEFT JOIN ghs.products ON products.source = orders.source AND products.id = item ->> 'productId'
                                  AND products._deleted_at IS NULL
        WHERE orders._deleted_at IS NULL
        """,
    ),
    "customer_cyclists": (
        (
            "Customers of the shops (CycleSoftware) who lease a bike too (Cyclis). Same person: same e-mail address, capitals"
            " and blanks around it not counted. An address may be shared, so one may match several: see matches"
        ),
        (
            ("email", "The address that both have, in small letters"),
            ("customer_source", "Source of the customer"),
            ("customer_id", "The customer, as in reporting.customers"),
            ("customer_name", "Name of the customer"),
            ("cyclist_source", "Source of the cyclist"),
            ("cyclist_id", "The cyclist, as in reporting.cyclists"),
            ("cyclist_name", "Name of the cyclist"),
            ("company_id", "Company of the cyclist, as in reporting.companies"),
            ("company_name", "Name of that company"),
            ("customer_since", "When the customer was created"),
            ("matches", "Pairs of customer and cyclist that this address makes; more than 1: look before you believe"),
        ),
        """
        SELECT lower(customers.email), customers.source, customer_id, customers.full_name, cyclists.source, cyclist_id,
               cyclists.full_name, company_id, company_name, created_at,
               (SELECT count(*) FROM reporting.customers AS same WHERE lower(same.email) = lower(customers.email))
                 * (SELECT count(*) FROM reporting.cyclists AS same WHERE lower(same.email) = lower(customers.email))
        FROM reporting.customers JOIN reporting.cyclists ON lower(cyclists.email) = lower(customers.email)
        """,
    ),
    "lease_order_stock": (
        (
            "Lease orders (Cyclis) whose bike a shop has in stock (CycleSoftware). Same bike: same brand, and the description"
            " of the article in stock holds the model's name; capitals and blanks are not counted. Size and color are not"
            " compared"
        ),
        (
            ("order_source", "Source of the lease order"),
            ("order_id", "The order, as in reporting.lease_orders"),
            ("order_number", "Number of the order"),
            ("state", "State of the order"),
            ("bike_state", "How far the order of the bike itself is"),
            ("created_at", "When the order was created"),
            ("created_month", "First day of that month"),
            ("bike_brand", "Brand of the bike"),
            ("bike_model", "Model of the bike"),
            ("bike_size", "Size that was ordered"),
            ("stock_source", "Source of the stock"),
            ("store_id", "The store, as in reporting.stores"),
            ("store_name", "Name of the store"),
            ("article_id", "Article number of the shop, as in reporting.stock"),
            ("description", "Description of the article"),
            ("in_stock", "Of this article in this store, demonstration and rental bikes not counted"),
            ("reserved", "Of these, held by a sales order"),
            ("demo", "Demonstration bikes of this article in this store"),
        ),
        """
        SELECT orders.source, orders.id, orders.name, orders.state, orders.bike_order_state, orders.create_timestamp,
               date_trunc('month', orders.create_timestamp AT TIME ZONE 'Europe/Amsterdam')::date, orders.bike_brand,
               orders.bike_model, orders.bike_size, stock.source, stock.store_id, stock.store_name, stock.article_id,
               stock.description, stock.in_stock, stock.reserved, stock.demo
        FROM cyclis.orders
        JOIN reporting.stock ON lower(replace(stock.brand, ' ', '')) = lower(replace(orders.bike_brand, ' ', ''))
                                AND strpos(lower(replace(stock.description, ' ', '')),
                                           lower(replace(orders.bike_model, ' ', ''))) > 0
        WHERE orders._deleted_at IS NULL AND orders.bike_model <> ''
        """,
    ),
    "freshness": (
        "How fresh each stream is; a stream that was taken out of the configuration stays while its runs are kept",
        (
            ("source", "Configured name of the source"),
            ("stream", "Name of the stream"),
            ("as_of", "What had changed upstream by then is mirrored: start of the last live run that ended well"),
            ("lag", "Time since as_of"),
            ("lag_s", "The same in seconds"),
            ("last_outcome", "How the last live run or sweep ended: ok, throttled, failed or aborted"),
            ("last_error", "What went wrong in it, and what to do; null if nothing did"),
            ("last_started_at", "When it began"),
            ("last_finished_at", "When it ended"),
            ("swept_at", "Start of the last sweep that ended well: deletions up to then are known"),
            ("rejects", "Records that could not become a row"),
            ("drifted_fields", "Fields that are not as the vendor documents them"),
        ),
        """
        WITH RECURSIVE known AS (  -- one step in the index for each stream, however many runs there are
          (SELECT source, stream FROM syncd.runs ORDER BY source, stream LIMIT 1)
          UNION ALL
          SELECT following.source, following.stream FROM known CROSS JOIN LATERAL (
            SELECT runs.source, runs.stream FROM syncd.runs
            WHERE (runs.source, runs.stream) > (known.source, known.stream)
            ORDER BY runs.source, runs.stream LIMIT 1
          ) AS following
        )
        SELECT known.source, known.stream, good.started_at AS as_of,
               greatest(reporting.now() - good.started_at, interval '0') AS lag,
               greatest(extract(epoch FROM reporting.now() - good.started_at), 0)::double precision AS lag_s,
               last.outcome AS last_outcome, last.error AS last_error, last.started_at AS last_started_at,
               last.finished_at AS last_finished_at, sweep.started_at AS swept_at,
               (SELECT count(*) FROM syncd.rejects
                WHERE rejects.source = known.source AND rejects.stream = known.stream) AS rejects,
               (SELECT count(*) FROM syncd.drift
                WHERE drift.source = known.source AND drift.stream = known.stream) AS drifted_fields
        FROM known
        LEFT JOIN LATERAL (
          SELECT started_at FROM syncd.runs
          WHERE runs.source = known.source AND runs.stream = known.stream AND kind = 'live' AND outcome = 'ok'
          ORDER BY run_id DESC LIMIT 1
        ) AS good ON true
        LEFT JOIN LATERAL (
          SELECT started_at FROM syncd.runs
          WHERE runs.source = known.source AND runs.stream = known.stream AND kind = 'sweep' AND outcome = 'ok'
          ORDER BY run_id DESC LIMIT 1
        ) AS sweep ON true
        LEFT JOIN LATERAL (
          (SELECT run_id, outcome, error, started_at, finished_at FROM syncd.runs
           WHERE runs.source = known.source AND runs.stream = known.stream AND kind = 'live' AND outcome <> 'running'
           ORDER BY run_id DESC LIMIT 1)
          UNION ALL
          (SELECT run_id, outcome, error, started_at, finished_at FROM syncd.runs
           WHERE runs.source = known.source AND runs.stream = known.stream AND kind = 'sweep' AND outcome <> 'running'
           ORDER BY run_id DESC LIMIT 1)
          ORDER BY run_id DESC LIMIT 1
        ) AS last ON true
        """,
    ),
    "sync_history": (
        "Every run of every stream, for as long as runs are kept",
        (
            ("run_id", "Number of the run; ascending"),
            ("source", "Configured name of the source"),
            ("stream", "Name of the stream"),
            ("kind", "live, sweep, backfill or verify"),
            ("started_at", "When it began"),
            ("finished_at", "When it ended; null while it is running"),
            ("duration_s", "Seconds it took, or has taken so far"),
            ("outcome", "running, ok, throttled, failed or aborted"),
            ("error", "What went wrong, and what to do; null if nothing did"),
            ("requests", "Requests sent, each try counted"),
            ("budget_wait_s", "Seconds of it waited for the budget"),
            ("rows_seen", "Records received"),
            ("rows_inserted", "Rows new to the mirror"),
            ("rows_updated", "Rows whose content changed, or that returned"),
            ("rows_unchanged", "Records equal to what was stored"),
            ("rows_deleted", "Rows found gone upstream"),
            ("rows_rejected", "Records that could not become a row"),
        ),
        """
        SELECT run_id, source, stream, kind, started_at, finished_at,
               extract(epoch FROM coalesce(finished_at, reporting.now()) - started_at)::double precision AS duration_s,
               outcome, error, requests, budget_wait_s, rows_seen, rows_inserted, rows_updated, rows_unchanged,
               rows_deleted, rows_rejected
        FROM syncd.runs
        """,
    ),
}


# What the questions of the cookbook need on 1,000,000 rows (tests/plans.py). None has a key of unlimited length: a text
# that is too long for it would keep its row out.
INDEXES = (
    "CREATE INDEX customers_by_created ON cyclesoftware.customers USING brin (datetime_created)",
    "CREATE INDEX stock_items_in_stock ON cyclesoftware.stock_items (stocked_at) WHERE _deleted_at IS NULL AND is_sold_to_customer IS NOT TRUE",
    "CREATE INDEX sales_orders_by_month ON cyclesoftware.sales_orders (((date_trunc('month', datetime_created AT TIME ZONE 'Europe/Amsterdam'))::date)) WHERE _deleted_at IS NULL",
    "CREATE INDEX cyclists_by_email ON cyclis.cyclists USING hash (lower(NULLIF(btrim(email), ''))) WHERE _deleted_at IS NULL",
    "CREATE INDEX orders_by_month ON cyclis.orders (((date_trunc('month', create_timestamp AT TIME ZONE 'Europe/Amsterdam'))::date)) WHERE _deleted_at IS NULL",
    "CREATE INDEX orders_by_end ON cyclis.orders (end_lease_date) WHERE _deleted_at IS NULL AND end_lease_date IS NOT NULL",
    "CREATE INDEX orders_by_cyclist ON cyclis.orders (cyclist_id, source) WHERE _deleted_at IS NULL",
    "CREATE INDEX vehicles_at_hand ON autengo.vehicles (created) WHERE _deleted_at IS NULL AND vehicle_state IN ('incoming', 'inventory')",
)


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for statement in (*INDEXES, *SCHEMA):
        execute(statement)
    for view, (comment, columns, query) in VIEWS.items():
        names = ", ".join(name for name, _ in columns)
        execute(f"CREATE VIEW reporting.{view} ({names}) AS {query}")
        execute(f"COMMENT ON VIEW reporting.{view} IS {_quoted(comment)}")
        for name, told in columns:
            execute(f"COMMENT ON COLUMN reporting.{view}.{name} IS {_quoted(told)}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
