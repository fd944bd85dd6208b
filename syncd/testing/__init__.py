"""The kit with which a plugin tests its source against its own sandbox (docs/add-an-api.md).

    class TestKit(Kit):
        source = SOURCE

What only your API has is tested on a rig of its own (`async with open_rig(SOURCE) as rig`).

It needs pytest: `pip install 'syncd[testing]'`.
"""

from syncd.testing.kit import Kit
from syncd.testing.rig import Rig, open_rig

__all__ = ["Kit", "Rig", "open_rig"]
