"""CycleSoftware: customers, stores, stock, platform keys, leads and sales orders of one bike dealer's account.

Owns every fact about this API; `docs/sources/cyclesoftware.md` says which page each rests on. Only ever reads.
"""

from syncd.config import OptionSpec
from syncd.contract import Source
from syncd.contract.toolkit import DAY_S, MINUTE_S
from syncd.sources.cyclesoftware.api import SCHEMA, basic_auth, fault_of
from syncd.sources.cyclesoftware.customers import CUSTOMERS_STREAM
from syncd.sources.cyclesoftware.leads import LEADS_STREAM
from syncd.sources.cyclesoftware.sales import SALES_ORDERS_STREAM
from syncd.sources.cyclesoftware.stock import STOCK_ITEMS_STREAM, STOCK_STREAM
from syncd.sources.cyclesoftware.stores import PLATFORM_KEYS_STREAM, STORES_STREAM

SOURCE = Source(
    type=SCHEMA,
    schema_comment="Mirror of CycleSoftware, the shop system of bike dealers",
    example_name="shop",
    base_url="https://api.cyclesoftware.nl",
    zone="Europe/Amsterdam",
    auth=basic_auth,
    fault_of=fault_of,
    options={
        "username": OptionSpec(kind="str", comment="user name of the API account"),
        "password": OptionSpec(kind="secret", comment="its password"),
        "zone": OptionSpec(kind="zone", default="Europe/Amsterdam", comment="zone of times that are sent without one"),
        "overlap": OptionSpec(
            kind="duration",
            default=10 * MINUTE_S,
            minimum=MINUTE_S,
            maximum=7 * DAY_S,
            comment="how far before its cursor a live run asks again, for changes that are committed late",
        ),
    },
    streams=(
        STORES_STREAM,
        CUSTOMERS_STREAM,
        STOCK_ITEMS_STREAM,
        STOCK_STREAM,
        PLATFORM_KEYS_STREAM,
        LEADS_STREAM,
        SALES_ORDERS_STREAM,
    ),
)
