"""Shopify as its vendor documents it: tokens of a day, Link headers, a bucket that leaks, and a feed of events."""

import base64
import json
import secrets
from typing import Any

from syncd.sandbox.answer import Answer, Api, Ask, Route
from syncd.sandbox.world import Child, Dice, Family, Pace, Record, Sizes, World

NAME = "shopify"
PREFIX = "/shopify"
ZONE = "UTC"
CREDENTIALS: dict[str, str | int] = {
    "client_id": "sandbox-client-7c1f", "client_secret": "shpss_sandbox-secret-of-the-shop",
}  # fmt: skip
PRODUCTS, CUSTOMERS = 18, 18
BUCKET, LEAK_PER_S = 40, 2.0
TOKEN_LIFE_S = 86_399
VERSION = "2025-10"


# --- What the shop holds ----------------------------------------------------------------------------------------------


def _seed(world: World, _sizes: Sizes) -> None:
    for stream, count in (("products", PRODUCTS), ("customers", CUSTOMERS)):
        for number in range(1, count + 1):
            at = world.before(number * 3_600)
            record = _fresh(world, stream, number)
            _stamp(world, stream, record, at)
            world[NAME, stream].put(record, at.timestamp())


def _fresh(world: World, stream: str, number: int) -> Record:
    created_at = world.zoned(NAME, world.before(number * 7_200))
    if stream == "customers":
        address = {"id": number * 10, "address1": f"Street {number}", "city": "Utrecht", "country_code": "NL"}
        return {
            "id": number, "email": f"customer{number}@example.com", "phone": None, "first_name": "An",
            "last_name": f"Other {number}", "state": "enabled", "verified_email": True, "orders_count": number % 5,
            "total_spent": f"{number}.50", "note": None, "tags": "", "addresses": [address],
            "created_at": created_at, "updated_at": None,
        }  # fmt: skip
    variants = [
        {"id": number * 100 + place, "product_id": number, "title": f"Size {place}", "sku": f"SKU-{number}-{place}",
         "barcode": None, "price": f"{number}.95", "inventory_quantity": place, "position": place + 1}
        for place in range(1 + number % 3)
    ]  # fmt: skip
    return {
        "id": number, "title": f"Helmet {number}", "body_html": "<p>Light.</p>", "vendor": "Shop", "product_type": "",
        "handle": f"helmet-{number}", "status": "active", "tags": "new, sale", "created_at": created_at,
        "updated_at": None, "published_at": created_at, "variants": variants,
    }  # fmt: skip


def _changed(stream: str, record: Record, dice: Dice) -> Record:
    if stream == "customers":
        record["note"] = f"called {dice.below(9_999)} times"
    else:
        record["title"] = f"Helmet {record['id']}, edition {dice.below(9_999)}"
        record["variants"][0]["inventory_quantity"] = dice.below(50)
    return record


def _stamp(world: World, _stream: str, record: Record, at: Any) -> None:
    record["updated_at"] = world.zoned(NAME, at)


def _follow(world: World, stream: str, before: Record | None, after: Record | None, stamp: float) -> None:
    """Let the feed tell of a product that was destroyed."""
    if stream == "products" and before is not None and after is None:
        events = world[NAME, "events"]
        event = {
            "id": len(events) + 1, "subject_id": before["id"], "subject_type": "Product", "verb": "destroy",
            "created_at": world.zoned(NAME, world.at(stamp)), "message": f"{before['title']} was deleted",
        }  # fmt: skip
        events.put(event, stamp)


FAMILIES = (
    Family(
        api=NAME,
        keys={"products": ("id",), "customers": ("id",), "product_variants": ("_product_id", "id")},
        aside={"events": ("id",)},
        pace={
            "products": Pace(changed=2, added=1, deletion_percent=20),
            "customers": Pace(changed=1, added=1, deletion_percent=5),
        },
        seed=_seed,
        fresh=_fresh,
        changed=_changed,
        stamp=_stamp,
        follow=_follow,
        children={
            "product_variants": Child(
                parent="products", parent_key=("id",), field=("variants",), owner=("_product_id",), number="id"
            )
        },
    ),
)


# --- How it answers ---------------------------------------------------------------------------------------------------


class Shopify:
    """The endpoints of the shop."""

    name = NAME
    prefix = PREFIX
    source_name = "web"
    credentials = CREDENTIALS
    gzips = True
    tells_limits = False

    def __init__(self, world: World, page_size: int) -> None:
        self._world = world
        self._page_size = page_size
        self._tokens: dict[str, float] = {}
        self._level, self._leaked_at = 0.0, 0.0

    def routes(self) -> list[Route]:
        """Return all endpoints."""
        lists = [
            Route(method="GET", path=f"/admin/api/{VERSION}/{name}.json", stream=stream, handler=self._list)
            for name, stream in (("products", "products"), ("customers", "customers"), ("events", "events"))
        ]
        return [
            *lists,
            Route(method="POST", path="/admin/oauth/access_token", stream="auth", handler=self._login, public=True),
        ]

    def refusal(self, ask: Ask) -> Answer | None:
        """Return a 401 for a wrong or expired token, a 429 where the bucket is full."""
        if ask.stream == "auth":
            return None
        now = self._world.now().timestamp()
        if self._tokens.get(ask.headers.get("X-Shopify-Access-Token", ""), 0.0) <= now:
            return self.error(401, "[API] Invalid API key or access token (unrecognized login or wrong password)")
        self._level = max(0.0, self._level - (now - self._leaked_at) * LEAK_PER_S) + 1
        self._leaked_at = now
        if self._level <= BUCKET:
            return None
        self._level -= 1
        answer = self.error(429, "Exceeded 2 calls per second for api client. Reduce request rates to resume.")
        answer.headers["Retry-After"] = "2.0"
        return answer

    def error(self, status: int, message: str) -> Answer:
        """Return an error in the documented form."""
        return Answer(status=status, body={"errors": message})

    def end_session(self, ask: Ask) -> None:
        """Let every token be dead."""
        self._tokens.clear()

    def login_failure(self) -> Answer:
        """Return a login that failed inside a 200."""
        return Answer(body={"error": "invalid_client", "error_description": "Client authentication failed"})

    def lookups(self) -> dict[str, dict[str, list[Any]]]:
        """Return the keys that a configuration could ask for: there are no lookups."""
        return {}

    def _login(self, ask: Ask) -> Answer:
        try:
            given = json.loads(ask.body)
        except ValueError:
            given = {}
        if given != {**CREDENTIALS, "grant_type": "client_credentials"}:
            return Answer(status=400, body={"error": "invalid_client", "error_description": "Client not found"})
        token = f"shpat_{secrets.token_hex(16)}"
        self._tokens[token] = self._world.now().timestamp() + TOKEN_LIFE_S
        return Answer(body={"access_token": token, "scope": "read_products", "expires_in": TOKEN_LIFE_S})

    def _list(self, ask: Ask) -> Answer:
        """Answer a list by id; `page_info` stands for the filter and the last id, and no other filter goes with it."""
        rows, since_by = self._world[NAME, ask.stream], "created_at_min" if ask.stream == "events" else "updated_at_min"
        place = {"after": 0, "since": ask.query.get(since_by)}
        if info := ask.query.get("page_info"):
            if set(ask.query) - {"page_info", "limit"}:
                return self.error(400, "page_info: Invalid value with other parameters")
            try:
                place = json.loads(base64.urlsafe_b64decode(info + "=" * (-len(info) % 4)))
            except ValueError:
                return self.error(400, "page_info: Invalid value.")
        keys = rows.since(self._world.parsed(NAME, place["since"])) if place["since"] else rows.keys()
        rest = sorted(key for key in keys if key > place["after"])
        count = min(ask.number("limit", 50), self._page_size, ask.page_limit or self._page_size)
        shown, more = rest[:count], len(rest) > count
        answer = Answer(body={ask.stream: [rows.raw(key) for key in shown]}, rows_at=(ask.stream,), more=more)
        answer.headers["X-Shopify-Shop-Api-Call-Limit"] = f"{int(self._level)}/{BUCKET}"
        if more:
            following = json.dumps({"after": shown[-1], "since": place["since"]}).encode()
            info = base64.urlsafe_b64encode(following).decode().rstrip("=")
            link = f"https://shop.example.com{ask.path}?limit={count}&page_info={info}"
            answer.headers["Link"] = f'<{link}>; rel="next"'
        return answer


def open_api(world: World, *, page_size: int) -> Api:
    """Return the endpoints over a world."""
    return Shopify(world, page_size)
