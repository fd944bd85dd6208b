"""Autengo's API: its token, its faults, and how its lists are asked for.

What all streams of this API share. Knows none of them.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from syncd.contract import (
    TEXT,
    Answer,
    Column,
    Kind,
    Send,
    Walk,
    column,
    snake,
)
from syncd.contract.errors import BadCredentials, BadPayload, Throttled, UpstreamError
from syncd.contract.options import MINUTE_S, duration_option, secret_option, text_option, whole_option, zone_option
from syncd.contract.paging import Slice, walk_offsets
from syncd.contract.toolkit import cursor_time, fault_text
from syncd.records.readers import elements, envelope, keys_at, scalar, whole_number

SCHEMA: Final = "autengo"

API_KEY: Final = secret_option("api_key", "API key, sent as X-Api-Key")
DEALER: Final = whole_option("dealer_alzura_id", "Alzura id of the dealer", minimum=1)
USER: Final = whole_option("user_alzura_id", "Alzura id of the user", minimum=1)
TOKEN_HEADERS: Final = ("X-Authorization: Bearer", "Authorization: JWT", "Authorization: Bearer")
TOKEN_HEADER: Final = text_option(
    "token_header",
    "Header and scheme of the token; the vendor's page names both headers",
    default=TOKEN_HEADERS[0],
    choices=TOKEN_HEADERS,
)
LANGUAGE: Final = text_option("language", "Language of the `_text` columns", default="de", choices=("de", "en"))
ZONE: Final = zone_option("zone", "Zone of the times, which come without one", default="Europe/Berlin")
OVERLAP: Final = duration_option(
    "overlap", "How far before its watermark a live pass starts", default=10 * MINUTE_S, minimum=0
)
LIMIT: Final = whole_option("limit", "Vehicles asked for in a request", default=100, minimum=1, maximum=1000)
OPTIONS: Final = (API_KEY, DEALER, USER, TOKEN_HEADER, LANGUAGE, ZONE, OVERLAP, LIMIT)

RENEW_AT: Final = 0.9  # of a token's life; our choice
TOKEN_LIFE_S: Final = 3600.0  # where expires_in cannot be read; the sample says 86400, a 401 corrects either
SHORTEST_LIFE_S: Final = 60.0  # an expires_in below this would make every request log in first
FAULT_BYTES: Final = 10_000  # a larger member is a list, not a text to be read for faults
LOGIN_HINT: Final = "Check api_key, dealer_alzura_id and user_alzura_id in the configuration."
STALE: Final = timedelta(hours=1)  # after this an interrupted listing starts again; our choice


def choice_columns(name: str, kind: Kind, comment: str) -> tuple[Column, Column]:
    """Make the two columns of a `{key, text}` value; where there is no text in the language, the key comes alone."""
    wording = f"Text of {snake(name)} in the language that the source's option `language` asks for"
    return (
        column(snake(name), kind, comment, name, "key", bare=True),
        column(f"{snake(name)}_text", TEXT, wording, name, "text"),
    )


class Login:
    """Signs requests with the API key and a token; renews the token before it expires."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._api_key = API_KEY.of(options)
        self._ids = {"dealerAlzuraId": DEALER.of(options), "userAlzuraId": USER.of(options)}
        self._places = [TOKEN_HEADER.of(options)]
        if self._places == [TOKEN_HEADERS[0]]:  # whoever names another one knows why
            self._places += TOKEN_HEADERS[1:]
        self._is_proved = False
        self._token: str | None = None
        self._renew_at = self._expires_at = datetime.min.replace(tzinfo=UTC)

    def headers(self) -> Mapping[str, str]:
        """Return the key, and the token if there is one."""
        signed = {"X-Api-Key": self._api_key.reveal()}
        header, _, scheme = self._places[0].partition(": ")
        return signed | {header: f"{scheme} {self._token}"} if self._token else signed

    def due(self, now: datetime) -> bool:
        """Say whether there is no token, or one near its end."""
        return self._token is None or now >= self._renew_at

    async def login(self, send: Send, now: datetime) -> None:
        """Renew the token; where that fails, or there is none, ask for a new one."""
        if self._token and now < self._expires_at:
            try:
                self._take(await send("GET", "/auth/refresh", headers=self.headers()), now)
                return
            except Throttled:
                raise
            except UpstreamError:
                pass
        self._token = None
        try:
            self._take(await send("POST", "/auth/token", headers=self.headers(), json=self._ids), now)
        except BadPayload as error:
            if error.status != 200:
                raise
            raise BadCredentials(str(error), hint=LOGIN_HINT, status=200) from None

    def refused(self) -> bool:
        """Forget the token; a new one may help.

        Where no token was ever taken in the header that we chose, the next one goes into another that the page names.
        """
        if self._token and not self._is_proved:
            self._places.append(self._places.pop(0))
        self._token = None
        return True

    def received(self, answer: Answer, cookies: Mapping[str, str], now: datetime) -> None:
        """Note that a token was taken, in the header where it stood."""
        self._is_proved = self._is_proved or (self._token is not None and answer.status < 300)

    def _take(self, answer: Answer, now: datetime) -> None:
        fields = envelope(answer)
        token = scalar(fields.get("token"))
        if (fault := fault_of(answer)) or not (isinstance(token, str) and token):
            told = fault or "the answer has no `token`"
            raise BadCredentials(f"the login gave no token: {told}", hint=LOGIN_HINT, status=answer.status)
        try:
            life = timedelta(seconds=max(float(scalar(fields.get("expires_in"))), SHORTEST_LIFE_S))
            self._renew_at, self._expires_at = now + life * RENEW_AT, now + life
        except (TypeError, ValueError, OverflowError):
            life = timedelta(seconds=TOKEN_LIFE_S)
            self._renew_at, self._expires_at = now + life * RENEW_AT, now + life
        self._token = token


def fault_of(answer: Answer) -> str | None:
    """Read `message`, `error` or `statusText`; inside a 200 only if `status` or `error` tells of an error."""
    try:
        fields = {name: scalar(raw) for name, raw in envelope(answer).items() if len(raw) < FAULT_BYTES}
    except BadPayload:
        return None
    error = fields.get("error")
    told = error not in (None, False, "", {}, []) or str(fields.get("status")).lower() in ("error", "fail", "failed")
    if answer.status < 300 and not told:
        return None
    inner = error if isinstance(error, dict) else {}
    texts = (fields.get("message"), inner.get("message"), error, fields.get("statusText"), fields.get("status"))
    return next((fault_text(text) for text in texts if isinstance(text, str) and text), "error" if told else None)


async def fetch_slice(
    walk: Walk, path: str, params: Sequence[tuple[str, str]], key: str, *, asked: int, position: int, limit: int | None
) -> Slice:
    """Ask for one slice of a list; rows not met before begin at `position`, which may be one after `asked`.

    The list ends where `total` says so, if the page is not full as well; with no rows at the position it ends in doubt
    if `total` promises more. Without a `limit` (a list that documents no paging) `total` alone counts. An empty list is
    asked for twice before it is believed, because an expired session may answer so.
    """
    for _ in range(2):
        answer = await walk.upstream.request("GET", path, params=params)
        fields = envelope(answer)
        if records := elements(fields.get("list"), "list"):
            break
    total, echoed, clamped = (whole_number(fields.get(name)) for name in ("total", "offset", "limit"))
    if echoed != asked and (limit is not None or echoed is not None):
        raise BadPayload(f"asked for offset {asked}, the answer is for offset {echoed}: is the offset ignored?")
    following: int | None = asked + len(records)
    promised, doubt = (total or 0) > asked + len(records), None
    if not records or (asked == position - 1 and following == position):
        doubt = f"the list ends after {position} rows, its total says {total}" if (total or 0) > position else None
        following = None
    elif not promised and (limit is None or (total is not None and len(records) < min(limit, clamped or limit))):
        following = None
    keys = keys_at(key, records)
    return Slice(
        records=records, keys=keys, next_offset=following, answer=answer.without_body(), total=total, doubt=doubt
    )


async def reference_list(walk: Walk, path: str, key: str) -> tuple[list[bytes], datetime, str | None]:
    """Fetch a whole reference list: its records, when it was asked for, and why it may be incomplete.

    No paging is documented; if `total` says that there is more, the rest is asked for by offset.
    """
    records: list[bytes] = []
    known: set[Hashable] = set()
    position, doubt, started_at = 0, None, walk.now()

    async def fetch(offset: int) -> Slice:
        params = (("offset", str(offset)), ("limit", str(LIMIT.of(walk.options)))) if offset else ()
        piece = await fetch_slice(walk, path, params, key, asked=offset, position=position, limit=None)
        if offset and piece.records and known.issuperset(piece.keys):
            told = f"the list ends after {position} rows, its total says {piece.total}"
            return replace(piece, next_offset=None, doubt=told)
        return piece

    async for piece, after in walk_offsets(fetch, walk=walk):
        records.extend(piece.records)
        known.update(piece.keys)
        position, doubt = after.offset if after else position, piece.doubt or piece.unproven
    return records, started_at, doubt


def is_stale(walk: Walk, stored: Mapping[str, Any] | None) -> bool:
    """Say whether an unfinished listing is too old to go on: what was deleted behind it would stay alive."""
    return stored is not None and walk.now() - cursor_time(stored["started_at"]) > STALE


def inner_object(fields: Mapping[str, bytes], name: str) -> bytes:
    """Return the object that a detail answer wraps. Raises BadPayload if there is none."""
    if fields.get(name, b"null")[:1] != b"{":
        raise BadPayload(f"expected an object in `{name}`")
    return fields[name]
