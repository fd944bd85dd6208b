"""Cyclis as its vendor documents it: endpoints, records, and the callbacks that it makes."""

from syncd.sandbox.answer import Api
from syncd.sandbox.apis.cyclis.api import CREDENTIALS, PREFIX, Cyclis
from syncd.sandbox.apis.cyclis.records import FAMILY
from syncd.sandbox.world import World

FAMILIES = (FAMILY,)
ZONE = "UTC"


def open_api(world: World, *, page_size: int) -> Api:
    """Return the endpoints over a world; this API has no page size of its own."""
    return Cyclis(world)


__all__ = ["CREDENTIALS", "FAMILIES", "PREFIX", "ZONE", "Cyclis", "open_api"]
