"""What passes between the server, the vendors' handlers and the faults: a request and the answer to it.

Owns no behaviour of any API. Rows travel as encoded JSON (`msgspec.Raw`), so that a page of a thousand cached records
is joined, not encoded again; faults decode the one row that they spoil.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import msgspec
from multidict import CIMultiDict, MultiDict

from syncd.sandbox.world import Record, World

JSON_TYPE = "application/json; charset=utf-8"


@dataclass(kw_only=True)
class Ask:
    """One request, as a handler sees it; faults may change the query and the page size before it does."""

    api: str
    stream: str
    method: str
    path: str
    params: Mapping[str, str]  # from the path
    query: MultiDict[str]
    raw_query: str  # as it was sent, undecoded
    headers: Mapping[str, str]
    body: bytes
    world: World
    page_limit: int | None = None  # rows at most, whatever is asked for
    lenient: bool = False  # limits on the range of times are not looked at
    widest_days: int | None = None  # of a range of dates, for lists whose page names no limit
    answered_days: int | None = None  # of a range of dates, at most so many days are answered for
    answers_end: bool = False  # and these are the last ones, not the first
    days_in_utc: bool = False  # days of a range are days of UTC, not local ones
    last_day_counts: bool = True  # the last day of a range belongs to it

    def number(self, name: str, default: int) -> int:
        """Return a whole number of the query; ValueError if it is none or is negative."""
        value = int(self.query.get(name, default))
        if value < 0:
            raise ValueError(name)
        return value


@dataclass(kw_only=True)
class Answer:
    """One answer before it is encoded; `rows_at` is the path in the body to the list of rows, or to the one row."""

    body: Any
    status: int = 200
    rows_at: tuple[str, ...] | None = None
    paging: str = ""  # "next_offset", "total" or "take": the vendor's form of it
    more: bool = False  # there are rows after this page
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    content_type: str = JSON_TYPE

    def encoded(self) -> bytes:
        """Return the body as it goes out."""
        return self.body if isinstance(self.body, bytes) else msgspec.json.encode(self.body)

    @property
    def rows(self) -> list[msgspec.Raw]:
        """The rows of the answer; a lone record counts as one."""
        if self.rows_at is None:
            return []
        place = self.body
        for name in self.rows_at:
            place = place[name]
        if isinstance(place, list):
            return place
        return [place if isinstance(place, msgspec.Raw) else msgspec.Raw(msgspec.json.encode(place))]

    @rows.setter
    def rows(self, rows: list[msgspec.Raw]) -> None:
        self.set_rows(rows if self.is_list else rows[0] if rows else msgspec.Raw(b"null"))

    def set_rows(self, value: Any) -> None:
        """Put anything, of any type, where the rows belong."""
        if not self.rows_at:
            self.body = value
            return
        place = self.body
        for name in self.rows_at[:-1]:
            place = place[name]
        place[self.rows_at[-1]] = value

    @property
    def is_list(self) -> bool:
        """Whether the answer holds a list of rows, not a lone record."""
        place = self.body
        for name in self.rows_at or ():
            place = place[name]
        return isinstance(place, list)


@dataclass(frozen=True, kw_only=True)
class Route:
    """One endpoint: `stream` is what it gives ("auth" for logins), `limited` whether it spends the vendor's budget."""

    method: str
    path: str
    stream: str
    handler: Callable[[Ask], Answer]
    limited: bool = False
    public: bool = False  # answers without a session or token


class Api(Protocol):
    """One vendor's behaviour: endpoints, authentication and the form of its errors."""

    name: str
    prefix: str  # of all paths
    source_name: str  # in a ready-made configuration
    credentials: dict[str, str | int]  # of the one account, under the names of syncd's configuration
    gzips: bool
    tells_limits: bool  # in headers, and only some endpoints spend them; else all do and no header tells

    def routes(self) -> list[Route]:
        """Return all endpoints."""
        ...

    def refusal(self, ask: Ask) -> Answer | None:
        """Return the 401 for wrong credentials, or None if they are right."""
        ...

    def error(self, status: int, message: str) -> Answer:
        """Return an error in the vendor's documented form."""
        ...

    def end_session(self, ask: Ask) -> None:
        """Make the request's session or token invalid; nothing where there is none."""
        ...

    def login_failure(self) -> Answer:
        """Return a login that reports its failure inside a 200."""
        ...

    def lookups(self) -> dict[str, dict[str, list[Any]]]:
        """Return, by stream and option, the keys that a configuration could ask for; all exist now."""
        ...


@dataclass(frozen=True, kw_only=True)
class LogEntry:
    """One request as it was answered; without credentials. Status 0: the connection was cut without an answer."""

    api: str
    stream: str
    method: str
    path: str
    endpoint: str  # the path with placeholders, as routed; empty for what is no endpoint
    query: dict[str, str]
    status: int
    at: datetime


def decoded(row: msgspec.Raw) -> Record:
    """Decode a row, odd ones (NaN, lone surrogates) too."""
    record: Record = json.loads(bytes(row).decode("utf-8", "replace"))
    return record


def spoiled(record: Any) -> msgspec.Raw:
    """Encode a row that proper JSON encoders refuse: NaN, lone surrogates, integers of any size."""
    return msgspec.Raw(json.dumps(record).encode())
