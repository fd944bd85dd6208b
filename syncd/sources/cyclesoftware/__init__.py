"""CycleSoftware: customers, stores, stock, sales, and what their numbers stand for, of one bike dealer's account.

Owns every fact about this API; `docs/sources/cyclesoftware.md` says which page each rests on. Only ever reads.
"""

from syncd.contract import Source
from syncd.sources.cyclesoftware.api import OPTIONS, SCHEMA, USERNAME, basic_auth, fault_of
from syncd.sources.cyclesoftware.article_terms import ARTICLE_PROPERTIES_STREAM, CODE_LIST_ENTRIES_STREAM
from syncd.sources.cyclesoftware.articles import ARTICLES_STREAM
from syncd.sources.cyclesoftware.comments import COMMENTS_STREAM, LABELS_STREAM
from syncd.sources.cyclesoftware.common import EMPLOYEES_STREAM, ENUMS_STREAM, SUPPLIERS_STREAM
from syncd.sources.cyclesoftware.customers import CUSTOMERS_STREAM
from syncd.sources.cyclesoftware.insurances import INSURANCES_STREAM
from syncd.sources.cyclesoftware.leads import LEADS_STREAM
from syncd.sources.cyclesoftware.packing_lists import PACKING_LIST_ITEMS_STREAM
from syncd.sources.cyclesoftware.payments import PAYMENTS_STREAM
from syncd.sources.cyclesoftware.proforma import PROFORMA_INVOICES_STREAM
from syncd.sources.cyclesoftware.rental import RENTAL_OBJECTS_STREAM
from syncd.sources.cyclesoftware.sales import SALES_ORDERS_STREAM
from syncd.sources.cyclesoftware.service_items import SERVICE_ITEMS_STREAM
from syncd.sources.cyclesoftware.stock import STOCK_ITEMS_STREAM, STOCK_STREAM
from syncd.sources.cyclesoftware.stock_objects import STOCK_OBJECTS_STREAM
from syncd.sources.cyclesoftware.store_orders import STORE_ORDERS_STREAM
from syncd.sources.cyclesoftware.stores import PLATFORM_KEYS_STREAM, STORES_STREAM
from syncd.sources.cyclesoftware.supplier_orders import SUPPLIER_ORDERS_STREAM
from syncd.sources.cyclesoftware.trading_hours import TRADING_HOURS_STREAM
from syncd.sources.cyclesoftware.transactions import SALES_TRANSACTIONS_STREAM
from syncd.sources.cyclesoftware.warehouse import WAREHOUSE_STREAMS
from syncd.sources.cyclesoftware.webhooks import WEBHOOKS
from syncd.sources.cyclesoftware.workshop import REPAIR_CODES_STREAM, REPAIR_OBJECTS_STREAM
from syncd.sources.cyclesoftware.workshop_orders import WORKSHOP_ORDERS_STREAM

SOURCE = Source(
    type=SCHEMA,
    contract="1.0",
    schema_comment="Mirror of CycleSoftware, the shop system of bike dealers",
    example_name="shop",
    base_url="https://api.cyclesoftware.nl",
    zone="Europe/Amsterdam",
    account=(USERNAME,),
    auth=basic_auth,
    fault_of=fault_of,
    options=OPTIONS,
    streams=(
        STORES_STREAM,
        CUSTOMERS_STREAM,
        STOCK_ITEMS_STREAM,
        STOCK_STREAM,
        PLATFORM_KEYS_STREAM,
        LEADS_STREAM,
        SALES_ORDERS_STREAM,
        SALES_TRANSACTIONS_STREAM,
        PAYMENTS_STREAM,
        WORKSHOP_ORDERS_STREAM,
        ENUMS_STREAM,
        EMPLOYEES_STREAM,
        SUPPLIERS_STREAM,
        REPAIR_CODES_STREAM,
        RENTAL_OBJECTS_STREAM,
        CODE_LIST_ENTRIES_STREAM,
        ARTICLE_PROPERTIES_STREAM,
        PROFORMA_INVOICES_STREAM,
        REPAIR_OBJECTS_STREAM,
        SERVICE_ITEMS_STREAM,
        TRADING_HOURS_STREAM,
        PACKING_LIST_ITEMS_STREAM,
        STORE_ORDERS_STREAM,
        STOCK_OBJECTS_STREAM,
        SUPPLIER_ORDERS_STREAM,
        COMMENTS_STREAM,
        LABELS_STREAM,
        ARTICLES_STREAM,
        INSURANCES_STREAM,
        *WAREHOUSE_STREAMS,
    ),
    webhooks=WEBHOOKS,
)
