"""CycleSoftware's account: Basic authentication, the form of errors, and the endpoints of all families of streams.

A new stream goes into the file of its family, a new family into a file of its own and into `PARTS`.
"""

import base64
import binascii
from typing import Any

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.cyclesoftware import (
    article_terms,
    articles,
    comments,
    common,
    customers,
    hours,
    insurances,
    packing,
    payments,
    proforma,
    rental,
    repairs,
    sales,
    service,
    shops,
    stock,
    stock_objects,
    store_orders,
    supplier_orders,
    transactions,
    warehouse,
    workshop,
)
from syncd.sandbox.apis.cyclesoftware.lists import API, Lists
from syncd.sandbox.apis.cyclesoftware.webhooks import Webhooks
from syncd.sandbox.world import World

PARTS = (
    customers,
    shops,
    stock,
    sales,
    common,
    workshop,
    rental,
    article_terms,
    articles,
    insurances,
    proforma,
    service,
    hours,
    packing,
    transactions,
    store_orders,
    payments,
    repairs,
    stock_objects,
    supplier_orders,
    comments,
    warehouse,
)
FAMILIES = tuple(part.FAMILY for part in PARTS)
PREFIX = "/cyclesoftware"
# Made up, under the names of syncd's configuration.
CREDENTIALS: dict[str, str | int] = {"username": "sandbox-shop", "password": "shop-pass:with/odd+signs"}


class CycleSoftware:
    """The endpoints of CycleSoftware over one world."""

    name = API
    prefix = PREFIX
    source_name = "shop"
    credentials = CREDENTIALS
    gzips = True
    tells_limits = True  # documented: only some endpoints implement limits, and tell of them

    def __init__(self, world: World, *, page_size: int) -> None:
        self.lists = Lists(world, page_size=page_size)
        self.skew = self.lists.skew
        self.webhooks = Webhooks(world)

    def routes(self) -> list[Route]:
        """Return all endpoints."""
        return [route for part in PARTS for route in part.routes(self.lists)]

    def refusal(self, ask: Ask) -> Answer | None:
        """Return the 401 for wrong credentials, or None if they are right."""
        scheme, _, encoded = ask.headers.get("Authorization", "").partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            given = ""
        right = scheme.lower() == "basic" and given == f"{CREDENTIALS['username']}:{CREDENTIALS['password']}"
        return None if right else self.error(401, "Unauthorized")

    def error(self, status: int, message: str) -> Answer:
        """Return an error in the documented JSON form."""
        return self.lists.error(status, message)

    def end_session(self, ask: Ask) -> None:
        """Do nothing: there are no sessions."""

    def login_failure(self) -> Answer:
        """Return an error inside a 200."""
        return self.error(200, "Unauthorized")

    def lookups(self) -> dict[str, dict[str, list[Any]]]:
        """Return the keys that lookup streams can be asked for; all exist now."""
        world = self.lists.world
        return {
            "stock": stock.lookups(world),
            "leads": sales.lookups(world),
            **comments.lookups(world),
            "supplier_orders": supplier_orders.lookups(world),
        }
