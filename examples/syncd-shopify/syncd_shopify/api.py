"""What all streams of Shopify share: the login, the limits, the faults, and how a list is walked.

Knows none of the streams.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from syncd.contract import Answer, Cursor, Limits, Options, Page, Scope, Send, Walk
from syncd.contract.errors import BadCredentials, BadPayload
from syncd.contract.links import Linked, members_of, query_of, walk_links
from syncd.contract.options import OVERLAP, secret_option, text_option
from syncd.contract.toolkit import cursor_time, fault_text, overlap_of
from syncd.records.readers import elements, envelope, keys_at, members, scalar

CLIENT_ID: Final = text_option("client_id", "Client ID of the app")
CLIENT_SECRET: Final = secret_option("client_secret", "Client secret of the app")
API_VERSION: Final = text_option("api_version", "Version of the API that is asked", default="2025-10")
OPTIONS: Final = (CLIENT_ID, CLIENT_SECRET, API_VERSION, OVERLAP)

PAGE_ROWS: Final = 250  # the most that the vendor gives
RENEW_EARLY: Final = timedelta(minutes=5)  # before a token expires; our choice
LOGIN_HINT: Final = "Check client_id and client_secret, and that the app is installed in the shop."
_BUCKET: Final = re.compile(r"(\d{1,6})/(\d{1,6})")
_NEXT: Final = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')


class Login:
    """Signs requests with an access token, which the client's credentials buy for a day."""

    def __init__(self, options: Options) -> None:
        self._id = CLIENT_ID.of(options)
        self._secret = CLIENT_SECRET.of(options)
        self._token: str | None = None
        self._renew_at = datetime.min.replace(tzinfo=UTC)

    def headers(self) -> Mapping[str, str]:
        """Return the token, if there is one."""
        return {"X-Shopify-Access-Token": self._token} if self._token else {}

    def due(self, now: datetime) -> bool:
        """Say whether there is no token, or one near its end."""
        return self._token is None or now >= self._renew_at

    async def login(self, send: Send, now: datetime) -> None:
        """Buy a token."""
        self._token = None
        asked = {
            "client_id": self._id, "client_secret": self._secret.reveal(), "grant_type": "client_credentials",
        }  # fmt: skip
        try:
            fields = envelope(await send("POST", "/admin/oauth/access_token", json=asked))
        except BadPayload as error:
            raise BadCredentials(f"the login gave no token: {error}", hint=LOGIN_HINT, status=error.status) from None
        token, life_s = scalar(fields.get("access_token")), scalar(fields.get("expires_in"))
        if not (isinstance(token, str) and token):
            raise BadCredentials("the login gave no token: no `access_token`", hint=LOGIN_HINT, status=200)
        life = timedelta(seconds=life_s) if isinstance(life_s, int) and 0 < life_s < 10**9 else timedelta(days=1)
        self._token, self._renew_at = token, now + max(life - RENEW_EARLY, timedelta(minutes=1))

    def refused(self) -> bool:
        """Forget the token; a new one may help."""
        self._token = None
        return True

    def received(self, answer: Answer, cookies: Mapping[str, str], now: datetime) -> None:
        """Do nothing: no answer but that of a login carries anything for the session."""


def limits_of(headers: Mapping[str, str]) -> Limits | None:
    """Read "32/40": a bucket of 40 that leaks 2 a second never overflows by 40 requests in a moving minute."""
    found = _BUCKET.fullmatch(headers.get("X-Shopify-Shop-Api-Call-Limit", "").strip())
    if found is None or int(found[2]) < 1:
        return None
    level, size = int(found[1]), int(found[2])
    return Limits(per_minute=size, minute_left=max(0, size - level))


def fault_of(answer: Answer) -> str | None:
    """Read `errors` (a text, or texts by field), or the `error` of a login."""
    fields = members(answer)
    told = fields.get("errors") or fields.get("error_description") or fields.get("error")
    if told is None or told == b"null":
        return None
    text = scalar(told)
    return fault_text(text if isinstance(text, str) else told.decode("utf-8", "replace")) or "an error without words"


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One pass through a list: since when it asks (None: everything), when it began, and where it goes on."""

    asked: str | None
    began_at: datetime | None = None
    query: str = ""

    @staticmethod
    def of(walk: Walk) -> "Pass":
        """Return the pass that a cursor names, or a new one since that cursor."""
        cursor = (walk.cursor or {}) if walk.kind == "live" else {}
        if going := cursor.get("pass"):
            return Pass(asked=going["asked"], began_at=cursor_time(going["began_at"]), query=going["query"])
        since = cursor_time(cursor["since"]) if "since" in cursor else None
        return Pass(asked=instant(since - overlap_of(walk)) if since else None)


def instant(at: datetime) -> str:
    """Write an instant as the API reads it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def path_of(walk: Walk, name: str) -> str:
    """Return the path of a list."""
    return f"/admin/api/{API_VERSION.of(walk.options)}/{name}.json"


async def listed(
    walk: Walk, name: str, params: list[tuple[str, str]], *, resume: str = "", rows: int = PAGE_ROWS
) -> AsyncIterator[Linked]:
    """Yield each page of a list; `params` go with the first page only, because a link stands for all of them."""

    async def fetch(query: str) -> Linked:
        asked = members_of(query) if query else [("limit", str(rows)), *params]
        answer = await walk.upstream.request("GET", path_of(walk, name), params=asked)
        records = elements(envelope(answer).get(name), name)
        following = _NEXT.search(answer.headers.get("Link", ""))
        return Linked(
            records=records,
            keys=keys_at("id", records),
            following=query_of(following[1]) if following else None,
            answer=answer,
        )

    async for piece in walk_links(fetch, resume=resume):
        yield piece


async def changed(walk: Walk, name: str) -> AsyncIterator[tuple[Page, bool]]:
    """Yield the pages of a list that is filtered by time of change; with each, whether it is the last.

    The last page has the cursor that ends the pass: the instant at which it began.
    """
    going = Pass.of(walk)
    cursor: Cursor = (walk.cursor or {}) if walk.kind == "live" else {}
    keep = {"since": cursor["since"]} if "since" in cursor else {}
    params = [("updated_at_min", going.asked)] if going.asked else []
    began_at, whole = going.began_at, going.asked is None
    async for piece in listed(walk, name, params, resume=going.query):
        began_at = began_at or piece.answer.safe_at
        ends = piece.following is None
        since = max(began_at, cursor_time(keep["since"])) if keep else began_at
        so_far = {"asked": going.asked, "began_at": began_at.isoformat(), "query": piece.following}
        ends_listing = ends and whole
        yield Page(
            records=piece.records,
            cursor={"since": since.isoformat()} if ends else {**keep, "pass": so_far} if walk.kind == "live" else None,
            requested_at=piece.answer.sent_at,
            scope=Scope() if ends_listing else None,
            whole_walk=ends_listing,
            starts_over=piece.starts_over,
        ), ends  # fmt: skip
