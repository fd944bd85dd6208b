"""Cyclis' endpoints: an API-TOKEN header, JSON:API lists without paging, and the one address that is called back.

Owns the form of its answers; `callbacks.py` does the calling. A fault that limits the page size splits lists into pages
with `links.next`: that is not documented, but JSON:API's way, should Cyclis ever do it.
"""

import json
from typing import Any
from urllib.parse import urlencode

from syncd.sandbox.answer import Answer, Ask, Route, decoded
from syncd.sandbox.apis.cyclis.callbacks import Callbacks
from syncd.sandbox.world import World

PREFIX = "/cyclis"
# Made up, under the names of syncd's configuration.
CREDENTIALS: dict[str, str | int] = {"api_token": "sandbox-cyclis-token-3f9a"}
STREAMS = ("orders", "cyclists", "companies", "dealers")


class Cyclis:
    """The endpoints of Cyclis over one world."""

    name = "cyclis"
    prefix = PREFIX
    source_name = "lease"
    credentials = CREDENTIALS
    gzips = False
    tells_limits = False

    def __init__(self, world: World) -> None:
        self._world = world
        self.callbacks = Callbacks(world)

    def routes(self) -> list[Route]:
        """Return all endpoints."""
        lists = [Route(method="GET", path=f"/{stream}", stream=stream, handler=self._list) for stream in STREAMS]
        registration = {"GET": self._registered, "POST": self._register, "DELETE": self._clear}
        return [
            *lists,
            Route(method="GET", path="/orders/{uuid}", stream="orders", handler=self._order),
            *(
                Route(method=method, path="/callbacks", stream="callbacks", handler=handler)
                for method, handler in registration.items()
            ),
        ]

    def refusal(self, ask: Ask) -> Answer | None:
        """Return the 401 for a wrong token, or None if it is right."""
        right = ask.headers.get("API-TOKEN") == CREDENTIALS["api_token"]
        return None if right else self.error(401, "The API token is missing or not valid")

    def error(self, status: int, message: str) -> Answer:
        """Return an error in the documented form."""
        codes = {400: "BADREQ", 401: "NOAUTH", 403: "NOACC", 404: "NOTFOUND", 429: "LIMIT"}
        return Answer(status=status, body={"error": codes.get(status, "ERROR"), "message": message})

    def end_session(self, ask: Ask) -> None:
        """Do nothing: there are no sessions."""

    def login_failure(self) -> Answer:
        """Return an error inside a 200."""
        return self.error(200, "The API token is missing or not valid")

    def lookups(self) -> dict[str, dict[str, list[Any]]]:
        """Return nothing: no stream is asked for by keys."""
        return {}

    def _list(self, ask: Ask) -> Answer:
        collection = self._world[self.name, ask.stream]
        keys = collection.keys()
        if ask.stream == "orders" and "updated_since" in ask.query:
            try:
                keys = collection.since(self._world.parsed(self.name, ask.query["updated_since"]))
            except ValueError:
                return self.error(400, "updated_since is not a date or date-time")
        rows = [collection.raw(key) for key in self._world.visible(self.name, ask.stream, keys)]
        filters = {
            "company": ask.query.get("company_id"),
            "cyclist": ask.query.get("cyclist_id") if ask.stream == "orders" else None,
        }
        for relation, wanted in filters.items():
            if wanted is not None and ask.stream in {"orders", "cyclists"}:
                rows = [row for row in rows if decoded(row)["relationships"][relation]["data"]["id"] == wanted]
        if ask.stream == "cyclists" and (email := ask.query.get("filter[email]")) is not None:
            rows = [row for row in rows if str(decoded(row)["attributes"]["email"]).lower() == email.lower()]
        return self._paged(ask, rows)

    def _order(self, ask: Ask) -> Answer:
        key = ask.params["uuid"].lower()
        if key not in self._world[self.name, "orders"] or not self._world.visible(self.name, "orders", [key]):
            return self.error(404, "There is no such order")
        return Answer(body={"data": self._world[self.name, "orders"].raw(key)}, rows_at=("data",))

    def _registered(self, _ask: Ask) -> Answer:
        if not self.callbacks.tells:
            return self.error(404, "Not Found")
        url = self.callbacks.url
        return Answer(body={"data": {"type": "callback", "attributes": {"url": url}} if url else None})

    def _register(self, ask: Ask) -> Answer:
        try:
            url = json.loads(ask.body)["url"]
        except (ValueError, KeyError, TypeError):
            return self.error(400, "The body names no url")
        if self.callbacks.url:
            return self.error(400, "A callback URL is active; clear it first")
        self.callbacks.url = str(url)
        return Answer(body={})

    def _clear(self, _ask: Ask) -> Answer:
        if self.callbacks.url is None:
            return self.error(404, "No callback URL is active")
        self.callbacks.url = None
        return Answer(body={})

    def _paged(self, ask: Ask, rows: list[Any]) -> Answer:
        size = ask.page_limit
        if size is None:
            return Answer(body={"data": rows}, rows_at=("data",))
        start = ask.number("page[offset]", 0)
        body: dict[str, Any] = {"data": rows[start : start + size], "links": {"next": None}}
        more = start + size < len(rows)
        if more:
            query = {**ask.query, "page[offset]": str(start + size)}
            body["links"]["next"] = f"http://{ask.headers['Host']}{self.prefix}/{ask.stream}?{urlencode(query)}"
        return Answer(body=body, rows_at=("data",), paging="links", more=more)
