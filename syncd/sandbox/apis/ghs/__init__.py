"""GHS Automotive as its vendor documents it: endpoints and records."""

from syncd.sandbox.answer import Api
from syncd.sandbox.apis.ghs.api import CREDENTIALS, PREFIX, Ghs
from syncd.sandbox.apis.ghs.records import FAMILY
from syncd.sandbox.world import World

FAMILIES = (FAMILY,)
ZONE = "UTC"


def open_api(world: World, *, page_size: int) -> Api:
    """Return the endpoints over a world; this API has no page size of its own."""
    return Ghs(world)


__all__ = ["CREDENTIALS", "FAMILIES", "PREFIX", "ZONE", "Ghs", "open_api"]
