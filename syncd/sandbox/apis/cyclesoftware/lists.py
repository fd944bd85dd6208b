"""How CycleSoftware's endpoints answer: envelopes, whole lists, and pages with `next_offset`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

import msgspec

from syncd.sandbox.answer import Answer, Ask
from syncd.sandbox.world import Collection, Dice, Key, Pace, Record, World

API = "cyclesoftware"
V1, V2, V3 = "/api/v1", "/api/v2", "/api/v3"
NO_ERROR = {"error": False, "error_message": None}
STORES_ENVELOPE = {"error_message": None, "error": False}  # the order of the documented samples
SELDOM = Pace(changed=1, added=0, deletion_percent=0)  # what a shop sets up once, and mends now and then
DEFAULT_LIMIT, MAX_LIMIT = 150, 1000  # rows of a page of repair objects
ELSEWHERE = "https://s01.cyclesoftware.nl"  # where the vendor's own samples lead
TOKEN_SIZES = (7, 13, 50)  # rows of the pages of a walk by tokens, in turn
TOKEN_LIVES_S = 1_800
WIDEST_DAYS = 31  # of a range of dates, where the vendor's page names a limit
DAY_S = 86_400
FIRST_NEW_ID = 5_000_000  # of customers and orders that were not seeded: a number is never given out twice


class _Place(NamedTuple):
    """Where a walk by tokens goes on."""

    stream: str
    good_until_s: float
    collection: Collection
    keys: list[Key]
    start: int
    turn: int


class Lists:
    """The answers of one account over one world."""

    def __init__(self, world: World, *, page_size: int) -> None:
        self.world = world
        self.skew: dict[str, tuple[int, int]] = {}  # stream → (offset, rows): later offsets move; a fault sets it
        self.page_size = page_size
        self.token_sizes: Sequence[int] = TOKEN_SIZES
        self._walks: dict[str, _Place] = {}  # by token
        self._tokens = 0

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

    def days(self, ask: Ask, first: str, last: str, *, widest: int | None = None) -> tuple[float, float] | Answer:
        """Return from when to when two dates of the query reach, as epoch seconds, the end not included; or the error.

        Faults say in which zone the days are, whether the last one counts, how wide a range may be, and how many days
        of it are answered for.
        """
        try:
            start, end = (self._midnight(ask, ask.query[name]) for name in (first, last))
        except (KeyError, ValueError):
            return self.error(400, f"{first} and {last} are required")
        most = ask.widest_days or widest
        if not ask.lenient and most and not -DAY_S / 2 <= end - start <= (most + 0.5) * DAY_S:
            return self.error(400, f"The range of {first} and {last} is limited to {most} days")
        until = self._midnight(ask, ask.query[last], later=1) if ask.last_day_counts else end
        if ask.answered_days and ask.answers_end:
            start = max(start, until - ask.answered_days * DAY_S)
        elif ask.answered_days:
            until = min(until, start + ask.answered_days * DAY_S)
        return start, until

    def _midnight(self, ask: Ask, text: str, *, later: int = 0) -> float:
        day = (date.fromisoformat(text) + timedelta(days=later)).isoformat()
        return self.world.parsed(API, f"{day}T00:00:00{'+00:00' if ask.days_in_utc else ''}")

    def token_page(self, ask: Ask, collection: Collection, keys: list[Key]) -> Answer:
        """Return the first page of a list whose next pages are asked for by a token alone."""
        return self._token_page(ask, _Place(ask.stream, 0.0, collection, keys, start=0, turn=0))

    def token_walk(self, ask: Ask) -> Answer | None:
        """Return the page of the token that was sent, or the error; None where none was sent.

        A token must come back byte for byte and alone. It is good for a while.
        """
        if "token" not in ask.query:
            return None
        token = ask.raw_query.removeprefix("token=")
        place = self._walks.get(token)
        if place is None or place.stream != ask.stream or "&" in ask.raw_query:
            return self.error(400, "Invalid token")
        if self.world.now().timestamp() > place.good_until_s:
            return self.error(400, "Invalid token")
        return self._token_page(ask, place)

    def _token_page(self, ask: Ask, place: _Place) -> Answer:
        sizes, collection = self.token_sizes, place.collection
        size = min(sizes[place.turn % len(sizes)], self.page_size, ask.page_limit or self.page_size)
        end = place.start + size
        rows = [collection.raw(key) for key in place.keys[place.start : end] if key in collection]
        link, more = None, end < len(place.keys)
        now_s = self.world.now().timestamp()
        if more:
            self._tokens += 1
            self._walks = {
                held: each for held, each in self._walks.items() if each.good_until_s > now_s - TOKEN_LIVES_S
            }
            token = f"+/{Dice(self.world.seed, ask.stream, 'token', self._tokens).uuid()}%2b=="
            self._walks[token] = place._replace(good_until_s=now_s + TOKEN_LIVES_S, start=end, turn=place.turn + 1)
            link = f"{ELSEWHERE}{ask.path.replace(V3, V2)}?token={token}"
        return Answer(body={"data": rows, "pagination": {"next_url": link}}, rows_at=("data",), more=more)
