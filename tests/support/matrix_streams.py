"""The streams of the fault matrix in groups that the same faults can strike, and how small their world is."""

LISTS = ("shop.customers", "shop.sales_orders", "lease.orders", "cars.vehicles", "parts.orders")
"""One list of every way of paging: next_offset, windows, links, by value, newest first."""
LISTED = (
    "shop.trading_hours",
    "shop.enums",
    "shop.employees",
    "shop.suppliers",
    "shop.repair_codes",
    "shop.code_list_entries",
    "shop.article_properties",
    "shop.rental_objects",
)
"""Lists that come whole in forms of their own: maps, a bare array, several lists for one stream."""
FLAT = ("shop.employees", "shop.repair_codes", "shop.rental_objects")
"""Of these, the lists of which each answer is all there is, and each record a row as sent."""
ONCE = tuple(each for each in LISTED if each != "shop.suppliers")
"""Those of which each record is sent once: a brand stands in two lists, and the better one is believed."""
INSURANCES = ("shop.insurances",)
"""A bare array for each window of days."""
WAREHOUSE_DAYS = ("shop.warehouse_delivered_items", "shop.warehouse_assemblies")
RECENT = ("shop.packing_list_items", *INSURANCES, *WAREHOUSE_DAYS)
"""Lists of what was made in the last days: all but the insurances in pages."""
PAGED = ("shop.proforma_invoices", "shop.repair_objects", "shop.service_items", RECENT[0], *WAREHOUSE_DAYS)
"""Lists that are read page by page, the first two whole in every run: where they go on tells a number, or a link."""
NUMBERED = ("shop.proforma_invoices", "shop.service_items", *WAREHOUSE_DAYS)
"""Of these, the ones where it is a number."""
BARE = ("cars.filter_values",)
"""Lists of bare values, several in one answer."""
TOKENS = ("shop.sales_transactions", "shop.articles")
"""Lists whose pages go on by tokens."""
REPAIRS = ("shop.workshop_orders",)
"""The same, but planned days are asked for, and what is gone is asked for by key."""
PAYMENTS = ("shop.payments",)
"""A bare array for each window of days."""
WAREHOUSE = ("shop.warehouse_stock_items", "shop.warehouse_pos_items", "shop.warehouse_backlog_items",
             "shop.warehouse_open_order_items", "shop.warehouse_availability")  # fmt: skip
"""Lists of a warehouse that come whole: by offset in a link, by token, by offset, by number, in one answer."""
ONE_BY_ONE = ("shop.stock_objects", "shop.comments", "shop.labels", "shop.supplier_orders")
"""Lookups that ask for one key after the other, within caps; the first one's keys come from the mirror."""
DATED = ("shop.sales_transactions", "shop.service_items", *RECENT, *REPAIRS, *PAYMENTS)
"""Lists that are asked for by windows of days."""
PUSHED = ("shop.store_orders",)
"""Never asked for, so that no fault of an answer can strike: the vendor sends them, right or wrong, to
tests/integration/test_webhooks.py."""
WHOLE = ("shop.stores", "shop.platform_keys", "lease.dealers", "lease.cyclists", "cars.models", "parts.account")
LOOKUPS = ("shop.stock", "shop.leads", "cars.contacts", "parts.products")
SESSIONS = ("cars.vehicles", "cars.models", "parts.orders", "parts.products")
LIMITED = ("shop.customers", "shop.stock", "shop.sales_orders")
SEVERAL = ("shop.customers", "shop.sales_orders", "shop.stock", "cars.vehicles", "cars.models", "parts.orders",
           "parts.products")  # fmt: skip
"""Streams of which even a small run takes several requests."""
WIRE = ("shop.customers", "shop.stock", "lease.orders", "cars.vehicles", "parts.orders", "parts.products")
"""What goes wrong below the form of an answer meets all streams of a source alike: lists, a POST, single records."""
ROWS = ("shop.customers", "shop.stock_items", "lease.orders", "cars.vehicles", "parts.orders")
"""An odd value in a row: one stream of each source, and the one with a flag of deletion."""
NUMBERS = ("shop.customers", "shop.stock_items", "lease.orders", "cars.vehicles", "parts.products")
"""An odd number: one stream of each source whose records hold any."""
CHILDREN = ("shop.customer_phone_numbers", "parts.urgent_messages")
SIZES = {
    "customers": 14, "stock_items": 12, "leads": 4, "sales_orders": 14, "companies": 4, "cyclists": 10,
    "cyclis_orders": 14, "dealers": 6, "vehicles": 14, "makes": 3, "contacts": 6, "products": 14, "orders": 104,
    "sales_transactions": 70, "payments": 30, "workshop_orders": 30,
}  # fmt: skip
