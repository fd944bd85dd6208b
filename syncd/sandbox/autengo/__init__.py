"""Autengo as its vendor documents it: endpoints and records."""

from syncd.sandbox.autengo.api import CREDENTIALS, Autengo
from syncd.sandbox.autengo.records import FAMILY

FAMILIES = (FAMILY,)
ZONE = "Europe/Berlin"

__all__ = ["CREDENTIALS", "FAMILIES", "ZONE", "Autengo"]
