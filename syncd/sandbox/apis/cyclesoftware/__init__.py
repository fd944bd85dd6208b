"""CycleSoftware as its vendor documents it: a file per family of streams, its records beside its endpoints."""

from syncd.sandbox.answer import Api
from syncd.sandbox.apis.cyclesoftware.api import CREDENTIALS, FAMILIES, PREFIX, CycleSoftware
from syncd.sandbox.world import World

ZONE = "Europe/Amsterdam"


def open_api(world: World, *, page_size: int) -> Api:
    """Return the endpoints over a world; `page_size` is that of lists with pages."""
    return CycleSoftware(world, page_size=page_size)


__all__ = ["CREDENTIALS", "FAMILIES", "PREFIX", "ZONE", "CycleSoftware", "open_api"]
