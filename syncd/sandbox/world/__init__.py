"""What the upstreams hold: seeded records, their changes, and the truth that a mirror must show. Knows no API."""

from syncd.sandbox.world.collection import Collection, Key, Record
from syncd.sandbox.world.dice import Dice
from syncd.sandbox.world.samples import samples
from syncd.sandbox.world.sizes import Sizes
from syncd.sandbox.world.world import Child, Family, Pace, World

__all__ = ["Child", "Collection", "Dice", "Family", "Key", "Pace", "Record", "Sizes", "World", "samples"]
