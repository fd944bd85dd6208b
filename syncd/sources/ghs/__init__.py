"""GHS Automotive, a wholesaler of car parts: products, orders, the account and its messages.

Owns every fact about this API; what each rule rests on stands in docs/sources/ghs.md. Only reads, and never the cart or
the delivery routes, which are the session's own. `authToken`, which opens the web shop once, is neither kept nor shown.
"""

from typing import Final

from syncd.contract import Source, Timeouts
from syncd.sources.ghs.account import ACCOUNT_STREAM, URGENT_MESSAGES_STREAM
from syncd.sources.ghs.api import OPTIONS, SCHEMA, USERNAME, Session, fault_of
from syncd.sources.ghs.orders import ORDERS_STREAM
from syncd.sources.ghs.products import PRODUCTS_STREAM

SOURCE: Final = Source(
    type=SCHEMA,
    contract="1.0",
    schema_comment="Mirror of GHS Automotive, a wholesaler of car parts",
    example_name="parts",
    base_url="https://api2.ghs-automotive.nl",
    options=OPTIONS,
    streams=(PRODUCTS_STREAM, ORDERS_STREAM, ACCOUNT_STREAM, URGENT_MESSAGES_STREAM),
    account=(USERNAME,),
    auth=Session,
    fault_of=fault_of,
    zone="Europe/Amsterdam",
    timeouts=Timeouts(first_byte_s=120.0, answer_s=300.0),  # three seconds a product with route info
)
