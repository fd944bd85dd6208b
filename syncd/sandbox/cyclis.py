"""Cyclis' endpoints: an API-TOKEN header and JSON:API lists without paging.

Owns the form of its answers. A fault that limits the page size splits lists into pages with `links.next`: that is not
documented, but JSON:API's way, should Cyclis ever do it.
"""

from typing import Any
from urllib.parse import urlencode

from syncd.sandbox.answer import Answer, Ask, Route, decoded
from syncd.sandbox.credentials import CREDENTIALS
from syncd.sandbox.world import World

STREAMS = ("orders", "cyclists", "companies", "dealers")


class Cyclis:
    """The endpoints of Cyclis over one world."""

    name = "cyclis"
    prefix = "/cyclis"
    gzips = False

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Return all endpoints."""
        return [Route(method="GET", path=f"/{stream}", stream=stream, handler=self._list) for stream in STREAMS]

    def refusal(self, ask: Ask) -> Answer | None:
        """Return the 401 for a wrong token, or None if it is right."""
        right = ask.headers.get("API-TOKEN") == CREDENTIALS["cyclis"]["api_token"]
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
