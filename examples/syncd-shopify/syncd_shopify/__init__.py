"""Shopify's REST Admin API as a source of syncd. Where each fact comes from: docs/shopify.md."""

from pathlib import Path

from syncd.contract import Source, Stream
from syncd.contract.options import DAY_S, MINUTE_S
from syncd_shopify.api import CLIENT_ID, OPTIONS, Login, fault_of, limits_of
from syncd_shopify.customers import CUSTOMERS, walk_customers
from syncd_shopify.products import PRODUCTS, walk_products

SOURCE = Source(
    type="shopify",
    contract="1.2",
    migrations=Path(__file__).parent / "migrations",
    reports=Path(__file__).parent / "reports",
    schema_comment="Mirror of Shopify, the web shop",
    example_name="web",
    base_url=None,
    auth=Login,
    fault_of=fault_of,
    options=OPTIONS,
    account=(CLIENT_ID,),
    per_minute=40,
    limits_of=limits_of,
    streams=(
        Stream(name="products", table=PRODUCTS, walk=walk_products, every_s=10 * MINUTE_S, sweep_s=30 * DAY_S),
        Stream(name="customers", table=CUSTOMERS, walk=walk_customers, every_s=15 * MINUTE_S, sweep_s=7 * DAY_S),
    ),
)
