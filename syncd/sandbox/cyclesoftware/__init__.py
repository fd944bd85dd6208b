"""CycleSoftware as its vendor documents it: a file per family of streams, its records beside its endpoints."""

from syncd.sandbox.cyclesoftware.api import CREDENTIALS, FAMILIES, ZONE, CycleSoftware

__all__ = ["CREDENTIALS", "FAMILIES", "ZONE", "CycleSoftware"]
