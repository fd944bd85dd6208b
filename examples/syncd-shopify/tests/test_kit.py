"""The promises of syncd, kept by this source against its own sandbox."""

from syncd_shopify import SOURCE

from syncd.testing import Kit


class TestKit(Kit):
    source = SOURCE
