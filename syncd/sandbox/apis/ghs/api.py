"""GHS Automotive's endpoints: sessions in cookies, urgent messages in every answer, skip and take.

Owns the form of its answers and its sessions; data and time come from the world. Cookies are read and written by
hand, because the session ids hold `/` and `+` and must travel unquoted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.ghs.records import ms_of
from syncd.sandbox.world import Dice, Key, Record, World

SESSION_LIFE = timedelta(minutes=20)  # documented: about twenty minutes
ROTATION_AGE = timedelta(minutes=10)  # an id this old is replaced on the way; the old one lives out its time
DEFAULT_TAKE = 25
MOST_RESULTS = 200  # documented: more is an error
COOKIE_SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
PRODUCT_ID_SIZE = 9


PREFIX = "/ghs"
# Made up, under the names of syncd's configuration.
CREDENTIALS: dict[str, str | int] = {"api_key": "sandbox-ghs-key-b02e", "username": "garage", "password": "ghs-pass-öü"}
LOOKUP_SHARE = 3  # every so-many-th product is suggested by its id, and every so-many-th by its EAN


@dataclass(kw_only=True)
class Session:
    """One session; `uses_left` is None unless a fault lets it die early."""

    issued_at: datetime
    expires_at: datetime
    uses_left: int | None = None
    remembered: bool = False


class Ghs:
    """The endpoints of GHS Automotive over one world."""

    name = "ghs"
    prefix = PREFIX
    source_name = "parts"
    credentials = CREDENTIALS
    gzips = False
    tells_limits = False

    def __init__(self, world: World) -> None:
        self._world = world
        self.sessions: dict[str, Session] = {}
        self.shuffle = 0  # products come in another order for each number
        self._born = 0

    def routes(self) -> list[Route]:
        """Return all endpoints."""
        return [
            Route(method="POST", path="/api/auth/credentials", stream="auth", handler=self._login, public=True),
            Route(method="GET", path="/api/products", stream="products", handler=self._rotating(self._products)),
            Route(method="GET", path="/api/products/{id}", stream="products", handler=self._rotating(self._product)),
            Route(method="GET", path="/api/orders", stream="orders", handler=self._rotating(self._orders)),
            Route(method="GET", path="/api/account", stream="account", handler=self._rotating(self._account)),
        ]

    # Sessions

    def refusal(self, ask: Ask) -> Answer | None:
        """Return the 401 for a request without a living session, or None if it has one."""
        if ask.path.endswith("/auth/credentials"):
            return None  # the login tells itself what is wrong
        now = self._world.now()
        session = self.sessions.get(_session_id(ask))
        if session is None or now >= session.expires_at or session.uses_left == 0:
            return self.error(401, "not-authenticated")
        if session.uses_left is not None:
            session.uses_left -= 1
        if session.expires_at - now < SESSION_LIFE and not session.remembered:
            session.expires_at = now + SESSION_LIFE
        return None

    def error(self, status: int, message: str) -> Answer:
        """Return an error: `responseStatus`, and the urgent messages that ride on failures too."""
        answer = self._answer({"responseStatus": {"errorCode": message, "message": message}})
        answer.status = status
        return answer

    def end_session(self, ask: Ask) -> None:
        """Make the request's session invalid."""
        self.sessions.pop(_session_id(ask), None)

    def login_failure(self) -> Answer:
        """Return a login that reports its failure inside a 200, without a session."""
        return self.error(200, "auth-invalid-username-password")

    def lookups(self) -> dict[str, dict[str, list[Any]]]:
        """Return the keys that `products` can be asked for; all exist now."""
        products = self._world.truth(self.name, "products")
        return {
            "products": {
                "ids": [product["id"] for product in products[::LOOKUP_SHARE]],
                "ean_codes": [product["tecDoc"]["eanNumbers"][0] for product in products[1::LOOKUP_SHARE]],
                "search_terms": ["Remblokkenset", "Bosch"],
            }
        }

    def rotate(self, ask: Ask, answer: Answer) -> None:
        """Give the request's session a new id by Set-Cookie; the old one is dead at once."""
        session = self.sessions.pop(_session_id(ask), None)
        if session:
            self._set_cookie(answer, self._open(remembered=session.remembered))

    def _rotating(self, handler: Callable[[Ask], Answer]) -> Callable[[Ask], Answer]:
        """Let a handler replace a session id that has come of age, as the vendor does unasked."""

        def handle(ask: Ask) -> Answer:
            answer, now = handler(ask), self._world.now()
            session = self.sessions.get(_session_id(ask))
            if session and now - session.issued_at >= ROTATION_AGE:
                session.issued_at = now  # once
                self._set_cookie(answer, self._open(remembered=session.remembered))
            return answer

        return handle

    def _open(self, *, remembered: bool) -> str:
        self._born += 1
        dice = Dice(self._world.seed, "session", self._born)
        session_id = f"{dice.text(COOKIE_SIGNS, 2)}/{dice.text(COOKIE_SIGNS, 9)}+{dice.text(COOKIE_SIGNS, 7)}="
        now = self._world.now()
        self.sessions[session_id] = Session(issued_at=now, expires_at=now + SESSION_LIFE, remembered=remembered)
        return session_id

    def _set_cookie(self, answer: Answer, session_id: str) -> None:
        permanent = f"{self._world.now() + timedelta(days=7_300):%a, %d-%b-%Y %H:%M:%S GMT}"
        answer.headers.add("Set-Cookie", f"ss-id={session_id}; path=/; HttpOnly")
        pid = session_id if self.sessions[session_id].remembered else f"I/{self._born}+pid"
        answer.headers.add("Set-Cookie", f"ss-pid={pid}; expires={permanent}; path=/; HttpOnly")

    def _login(self, ask: Ask) -> Answer:
        account = CREDENTIALS
        if ask.headers.get("X-ApiKey") != account["api_key"]:
            return self.error(401, "auth-invalid-api-key")
        try:
            given = msgspec.json.decode(ask.body, type=dict[str, Any])
        except msgspec.DecodeError:
            return self.error(400, "missing-required-parameter")
        if (given.get("UserName"), given.get("Password")) != (account["username"], account["password"]):
            return self.error(401, "auth-invalid-username-password")
        session_id = self._open(remembered=given.get("RememberMe") is True)
        dice = Dice(self._world.seed, "auth_token", self._born)
        answer = self._answer({"sessionId": session_id, "authToken": dice.uuid(), "userName": account["username"]})
        self._set_cookie(answer, session_id)
        return answer

    # Data

    def _answer(self, body: dict[str, Any], rows_at: tuple[str, ...] | None = None) -> Answer:
        messages = self._world[self.name, "urgent_messages"]
        urgent = [messages.raw(key) for key in messages.keys()]  # noqa: SIM118 (a method of ours)
        return Answer(body={"responseStatus": {}, **body, "urgentMessages": urgent}, rows_at=rows_at)

    def _products(self, ask: Ask) -> Answer:
        term, codes = ask.query.get("searchTerm"), ask.query.getall("eanCodes", [])
        wanted = {code for text in codes for code in text.split(",") if code}
        if not wanted and not (term or "").strip():
            return self.error(400, "invalid-searchterm-null-empty-or-whitespace")
        try:
            skip, take = ask.number("skip", 0), ask.number("take", DEFAULT_TAKE)
        except ValueError:
            return self.error(400, "invalid-parameter-value")
        catalogue = self._world[self.name, "products"]
        found = [
            record["id"]
            for record in catalogue.records()
            if (_has_ean(record, wanted) if wanted else _fits(record, term or ""))
        ]
        if len(found) > MOST_RESULTS:
            return self.error(400, "too-many-results-refine-the-search")
        found.sort(key=lambda key: Dice("relevance", self.shuffle, term or "", key).below(1 << 60))  # no promised order
        return self._page(ask, "products", found, skip, take)

    def _page(self, ask: Ask, stream: str, keys: list[Key], skip: int, take: int) -> Answer:
        collection = self._world[self.name, stream]
        rows = [collection.raw(key) for key in keys[skip : skip + min(take, ask.page_limit or take)]]
        extra = {"filterOptions": [], "assets": [], "duration": 12} if stream == "products" else {}
        answer = self._answer({stream: rows, "totalResults": len(keys), **extra}, (stream,))
        answer.paging, answer.more = "take", skip + len(rows) < len(keys)
        return answer

    def _product(self, ask: Ask) -> Answer:
        key = ask.params["id"]
        if len(key) != PRODUCT_ID_SIZE:
            return self.error(400, "invalid-productid")
        if key not in self._world[self.name, "products"]:
            return self.error(404, "not-found")
        return self._answer({"product": self._world[self.name, "products"].raw(key)}, ("product",))

    def _orders(self, ask: Ask) -> Answer:
        if "skip" not in ask.query or "take" not in ask.query:
            return self.error(400, "missing-required-parameter")
        try:
            skip, take = ask.number("skip", 0), ask.number("take", 0)
        except ValueError:
            return self.error(400, "invalid-parameter-value")
        records = self._world[self.name, "orders"].records()
        records.sort(key=lambda record: (ms_of(record["orderDate"]), record["orderId"]), reverse=True)
        return self._page(ask, "orders", [record["orderId"] for record in records], skip, take)

    def _account(self, _ask: Ask) -> Answer:
        return self._answer(self._world[self.name, "account"].records()[0], ())


def _session_id(ask: Ask) -> str:
    """Return the session id as it stands in the Cookie header, quotes and all."""
    cookies = dict(part.strip().partition("=")[::2] for part in ask.headers.get("Cookie", "").split(";"))
    return cookies.get("ss-id") or cookies.get("ss-pid", "")


def _fits(record: Record, term: str) -> bool:
    texts = (record.get(name) for name in ("name", "articleNo", "brandName", "description", "id"))
    return any(term.lower() in text.lower() for text in texts if text)


def _has_ean(record: Record, wanted: set[str]) -> bool:
    return bool(wanted & {*(record.get("tecDoc") or {}).get("eanNumbers", ())})
