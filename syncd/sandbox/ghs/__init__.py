"""GHS Automotive as its vendor documents it: endpoints and records."""

from syncd.sandbox.ghs.api import CREDENTIALS, Ghs
from syncd.sandbox.ghs.records import FAMILY

FAMILIES = (FAMILY,)
ZONE = "UTC"

__all__ = ["CREDENTIALS", "FAMILIES", "ZONE", "Ghs"]
