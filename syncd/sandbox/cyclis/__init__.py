"""Cyclis as its vendor documents it: endpoints, records, and the callbacks that it makes."""

from syncd.sandbox.cyclis.api import CREDENTIALS, Cyclis
from syncd.sandbox.cyclis.records import FAMILY

FAMILIES = (FAMILY,)
ZONE = "UTC"

__all__ = ["CREDENTIALS", "FAMILIES", "ZONE", "Cyclis"]
