"""Autengo as its vendor documents it: endpoints and records."""

from syncd.sandbox.answer import Api
from syncd.sandbox.apis.autengo import filter_values
from syncd.sandbox.apis.autengo.api import CREDENTIALS, PREFIX, Autengo
from syncd.sandbox.apis.autengo.records import FAMILY
from syncd.sandbox.world import World

FAMILIES = (FAMILY, filter_values.FAMILY)
ZONE = "Europe/Berlin"


def open_api(world: World, *, page_size: int) -> Api:
    """Return the endpoints over a world; this API has no page size of its own."""
    return Autengo(world)


__all__ = ["CREDENTIALS", "FAMILIES", "PREFIX", "ZONE", "Autengo", "open_api"]
