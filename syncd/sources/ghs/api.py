"""GHS' API: its session, its faults, and how its lists are asked for.

What all streams of this API share. Knows none of them.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from syncd.contract import (
    Answer,
    Send,
    Walk,
)
from syncd.contract.errors import BadCredentials, BadPayload
from syncd.contract.options import secret_option, text_option
from syncd.contract.paging import Slice
from syncd.contract.second_ways import either
from syncd.contract.toolkit import FAULT_CHARS, fault_text
from syncd.records.readers import (
    elements,
    envelope,
    keys_at,
    members,
    scalar,
    whole_number,
)

SCHEMA: Final = "ghs"

API_KEY: Final = secret_option("api_key", "API key of the application, sent when logging in")
USERNAME: Final = text_option("username", "User name")
PASSWORD: Final = secret_option("password", "Password")
OPTIONS: Final = (API_KEY, USERNAME, PASSWORD)

IDLE: Final = timedelta(minutes=19)  # sessions live "about twenty minutes" (vendor's page, Sessions)
DEFAULT_TAKE: Final = 25  # the vendor's default (FACTS, P)
FEWER_ROWS: Final = f"the server refuses our number of rows (take); {DEFAULT_TAKE} are asked for"
EMPTY: Final = (b"", b"[]", b"{}", b"null", b'""')
EMPTY_CHARS: Final = 1_000
"""A longer value is not empty, however much of it is white space."""
LOGIN_HINT: Final = "Check api_key, username and password in the configuration."
_CODE = re.compile(r"[A-Za-z0-9{}]+(?:-[A-Za-z0-9{}]+)+")


class Session:
    """Signs requests with the session's cookies, which any answer may rotate."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._api_key = API_KEY.of(options)
        self._username = USERNAME.of(options)
        self._password = PASSWORD.of(options)
        self._id: str | None = None
        self._permanent_id: str | None = None
        self._used_at: datetime | None = None

    def headers(self) -> Mapping[str, str]:
        """Return the cookies, written by hand: their values hold `/` and `+` and must travel unquoted."""
        if not self._id:
            return {}
        return {"Cookie": f"ss-id={self._id}" + (f"; ss-pid={self._permanent_id}" if self._permanent_id else "")}

    def due(self, now: datetime) -> bool:
        """Say whether there is no session, or one that was idle for so long that it may have expired."""
        return self._id is None or self._used_at is None or now - self._used_at > IDLE

    async def login(self, send: Send, now: datetime) -> None:
        """Open a new session; the API key is sent here only, as documented."""
        self.refused()
        who = {"UserName": self._username, "Password": self._password.reveal(), "RememberMe": False}
        key = {"X-ApiKey": self._api_key.reveal()}
        try:
            answer = await send("POST", "/api/auth/credentials", headers=key, json=who)
        except BadPayload as error:
            if error.status != 200:
                raise
            raise BadCredentials(str(error), hint=LOGIN_HINT, status=200) from None
        session_id = scalar(envelope(answer).get("sessionId"))
        if (fault := fault_of(answer)) or not (isinstance(session_id, str) and session_id):
            told = fault or "the answer has no `sessionId`"
            raise BadCredentials(f"the login gave no session: {told}", hint=LOGIN_HINT, status=answer.status)
        if ";" in session_id:
            raise BadPayload("the login gave a `sessionId` that no cookie can carry: it holds a semicolon")
        self._id, self._used_at = session_id, now

    def refused(self) -> bool:
        """Forget the session; a new one may help (expired, or `broken-session`)."""
        self._id = self._permanent_id = None
        return True

    def received(self, answer: Answer, cookies: Mapping[str, str], now: datetime) -> None:
        """Take rotated cookies; an ss-id that comes without a login signs nothing."""
        self._used_at = now
        self._permanent_id = cookies.get("ss-pid") or self._permanent_id
        if self._id and "ss-id" in cookies:
            self._id = cookies["ss-id"] or None


def fault_of(answer: Answer) -> str | None:
    """Read `responseStatus{errorCode,message}` at any status; of a failure also a bare code such as broken-session."""
    fields = members(answer)
    status = members(fields.get("responseStatus", b"{}"))
    told = [scalar(status.get("errorCode")), scalar(status.get("message"))]
    if answer.status < 300 and not told[0]:
        return None
    if answer.status >= 300:
        told += [scalar(fields.get("errorCode")), scalar(fields.get("message"))]
        text = answer.body[:FAULT_CHARS].decode("utf-8", "replace").strip(' \t\r\n"')
        told += [text] if _CODE.fullmatch(text) else []
    texts = dict.fromkeys(text for text in told if isinstance(text, str) and text)
    return fault_text(": ".join(texts)) or None


async def ask(
    walk: Walk, path: str, *params: tuple[str, str], filled: str | None = None
) -> tuple[Answer, dict[str, bytes]]:
    """Ask, and return the answer with its members.

    An expired session may be answered by a 200 with nothing in it. So where `filled` comes back missing or empty, the
    same is asked once more before it is believed; should the session be gone, that answer is a 401 and mends it.
    """
    for _ in range(2):
        answer = await walk.upstream.request("GET", path, params=params)
        fields = envelope(answer)
        if not filled or not _is_empty(fields.get(filled, b"")):
            break
    return answer, fields


def _is_empty(raw: bytes) -> bool:
    return len(raw) <= EMPTY_CHARS and bytes(raw).translate(None, b" \r\n\t") in EMPTY


def take_of(walk: Walk, wanted: int) -> int:
    """Return how many rows to ask for: as many as we want, or the vendor's default where more was refused."""
    return DEFAULT_TAKE if FEWER_ROWS in walk.ways else wanted


async def ask_page(
    walk: Walk, path: str, *params: tuple[str, str], skip: int, wanted: int, filled: str
) -> tuple[Answer, dict[str, bytes], int]:
    """Ask for a page of a list: `wanted` rows, or the vendor's default if that is refused; return which it was, too."""

    async def of(take: int) -> tuple[Answer, dict[str, bytes], int]:
        paging = (("skip", str(skip)), ("take", str(take)))
        return *(await ask(walk, path, *params, *paging, filled=filled)), take

    if skip or wanted <= DEFAULT_TAKE:
        return await of(take_of(walk, wanted))
    return await either(walk, FEWER_ROWS, lambda: of(wanted), lambda: of(DEFAULT_TAKE))


def riders_of(fields: Mapping[str, bytes]) -> dict[str, Sequence[bytes]]:
    """Return the urgent messages that came along; an odd `urgentMessages` never costs the page it rides on."""
    try:
        return {"urgent_messages": elements(fields.get("urgentMessages"), "urgentMessages")}
    except BadPayload:
        return {}


def slice_of(
    answer: Answer, fields: Mapping[str, bytes], rows: tuple[str, str], asked: int, new: int, take: int
) -> Slice:
    """Read one list answer: `rows` names it and its key, `new` is where rows not met before begin (`asked`, or +1).

    The list ends with a page that is not full, unless `totalResults` promises more (then `take` was clamped); with no
    rows at `new` it ends in doubt if more were promised.
    """
    records = elements(fields.get(rows[0]), rows[0])
    total = whole_number(fields.get("totalResults"))
    following: int | None = asked + len(records)
    doubt = None
    if not records or (asked == new - 1 and following == new):
        doubt = f"the list ends after {new} rows, its totalResults says {total}" if (total or 0) > new else None
        following = None
    elif len(records) < take and (total or 0) <= asked + len(records):
        following = None
    keys = keys_at(rows[1], records)
    return Slice(
        records=records, keys=keys, next_offset=following, answer=answer.without_body(), total=total, doubt=doubt
    )


def bare_record(fields: Mapping[str, bytes]) -> bytes:
    """Return the record that is the body itself, without what rides along."""
    own = {
        name: msgspec.Raw(bytes(raw))
        for name, raw in fields.items()
        if name not in ("urgentMessages", "responseStatus")
    }
    return msgspec.json.encode(own)
