"""The kit with which a plugin tests its source against its own sandbox (docs/add-an-api.md).

    class TestKit(Kit):
        source = SOURCE

It needs pytest: `pip install 'syncd[testing]'`.
"""

from syncd.testing.kit import Kit

__all__ = ["Kit"]
