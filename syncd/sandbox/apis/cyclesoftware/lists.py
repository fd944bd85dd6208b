"""How CycleSoftware's endpoints answer: envelopes, whole lists, and pages with `next_offset`."""

import msgspec

from syncd.sandbox.answer import Answer, Ask
from syncd.sandbox.world import Collection, Key, Pace, Record, World

API = "cyclesoftware"
V1, V2 = "/api/v1", "/api/v2"
NO_ERROR = {"error": False, "error_message": None}
STORES_ENVELOPE = {"error_message": None, "error": False}  # the order of the documented samples
SELDOM = Pace(changed=1, added=0, deletion_percent=0)  # what a shop sets up once, and mends now and then
DEFAULT_LIMIT, MAX_LIMIT = 150, 1000  # rows of a page of repair objects
FIRST_NEW_ID = 5_000_000  # of customers and orders that were not seeded: a number is never given out twice


class Lists:
    """The answers of one account over one world."""

    def __init__(self, world: World, *, page_size: int) -> None:
        self.world = world
        self.skew: dict[str, tuple[int, int]] = {}  # stream → (offset, rows): later offsets move; a fault sets it
        self.page_size = page_size

    def error(self, status: int, message: str) -> Answer:
        """Return an error in the documented JSON form."""
        return Answer(status=status, body={"error": True, "error_message": message})

    def all(self, stream: str) -> list[msgspec.Raw]:
        """Return every row of a stream."""
        collection = self.world[API, stream]
        return [collection.raw(key) for key in collection.keys()]  # noqa: SIM118 (a method of ours)

    @staticmethod
    def encoded(records: list[Record]) -> list[msgspec.Raw]:
        """Return records as rows of an answer."""
        return [msgspec.Raw(msgspec.json.encode(record)) for record in records]

    def linked_page(self, ask: Ask, collection: Collection, keys: list[Key], rows_at: str) -> Answer:
        """Return the page at `offset`, of at most `limit` rows (150 by default), with a link to the next one.

        As in the vendor's samples the link leads to another host and version, and names another limit than was asked.
        """
        try:
            limit = min(ask.number("limit", DEFAULT_LIMIT), MAX_LIMIT)
        except ValueError:
            return self.error(400, "Invalid value for limit")
        ask.page_limit = min(limit, ask.page_limit or limit)
        answer = self.page(ask, collection, keys, rows_at)
        if answer.status == 200:
            offset = answer.body["pagination"]["next_offset"]
            link = f"https://s01.cyclesoftware.nl{V2}/{ask.stream}.json?offset={offset}&limit={DEFAULT_LIMIT}"
            answer.body["pagination"] = {"next_url": link if offset is not None else None}
            answer.paging = ""
        return answer

    def page(self, ask: Ask, collection: Collection, keys: list[Key], rows_at: str) -> Answer:
        """Return the page of `keys` that begins at the request's `offset`."""
        try:
            offset = ask.number("offset", 0)
        except ValueError:
            return self.error(400, "Invalid value for offset")
        size = min(self.page_size, ask.page_limit or self.page_size)
        point, shift = self.skew.get(ask.stream, (0, 0))
        if offset < point - 1 or not offset:  # one row early is still the same walk
            self.skew.pop(ask.stream, None)
            shift = 0
        start = max(0, offset - shift)
        rows = [collection.raw(key) for key in keys[start : start + size]]
        more = start + size < len(keys)
        pagination = {"count": len(rows), "next_offset": offset + size if more else None}
        body = {**NO_ERROR, rows_at: rows, "pagination": pagination}
        return Answer(body=body, rows_at=(rows_at,), paging="next_offset", more=more)
