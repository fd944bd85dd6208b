"""Where operators sign in and act: forms of the page, and requests of scripts that give the token.

Owns who is let in and how it is answered. What is done belongs to `syncd.service.operations`.
"""

import ipaddress
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from aiohttp import web

from syncd import log
from syncd.clock import Clock
from syncd.config import Http, Secret
from syncd.config.duration import parse_duration
from syncd.errors import UsageError
from syncd.service.listeners.seldom import Seldom
from syncd.service.operations import ACTIONS, ACTOR_CHARS, OPERATOR, Asked, Operations
from syncd.service.web import sessions
from syncd.service.web.answers import as_json
from syncd.service.web.pages import Pages, Visitor

FORM_BYTES: Final = 16_384
"""A form of this page takes some hundred bytes."""

_log = log.get(__name__)


class Desk:
    """Who may act. Without a token in the configuration nobody may, and its routes are not there."""

    def __init__(self, http: Http, clock: Clock) -> None:
        self._token = http.operator_token
        self._user_header = http.user_header
        self._trusted = http.trusted_proxies
        self._path = http.path or "/"
        self._clock = clock

    @property
    def is_open(self) -> bool:
        """Whether anybody may sign in."""
        return self._token is not None

    def visitor(self, request: web.Request) -> Visitor:
        """Return who reads a page."""
        session = self._session(request)
        if session is None:
            return Visitor(may_sign_in=self.is_open)
        return Visitor(may_sign_in=True, is_operator=True, actor=self._actor(request), form_key=session.form_key)

    def refusal(self, request: web.Request, form: Mapping[str, object]) -> str:
        """Say why a request may not act; empty if it may."""
        if self._is_script(request):
            return ""
        session = self._session(request)
        if session is None:
            return "You are not signed in, or no longer. Sign in and try again."
        if not sessions.is_own_form(session, str(form.get("key", "")), request.headers):
            return "This form is not of the page that you are signed in to. Reload the page and try again."
        return ""

    def asked(self, request: web.Request, form: Mapping[str, object]) -> Asked:
        """Read what is asked for. Raises UsageError."""
        named = str(form.get("action", ""))
        action = next((one for one in ACTIONS if one == named), None)
        if action is None:
            raise UsageError(f"expected one of {', '.join(ACTIONS)} as the action")
        lasts = str(form.get("for", ""))
        try:
            for_s = parse_duration(lasts) if action == "mute" else None
        except ValueError as error:
            raise UsageError(str(error)) from None
        subject = str(form.get("subject", ""))
        return Asked(action=action, subject=subject, actor=self._actor(request), for_s=for_s)

    def signs_in(self, request: web.Request, given: str) -> bool:
        """Say whether a sign-in is right: the token, from a form of ours."""
        return self._token is not None and sessions.is_own_site(request.headers) and _fits(given, self._token)

    def set_cookie(self, request: web.Request, response: web.StreamResponse) -> None:
        """Sign the reader in. The cookie is for https only if the proxy says that it ends TLS."""
        if self._token is not None:
            response.set_cookie(
                sessions.COOKIE, sessions.new_cookie(self._token, self._clock()), path=self._path, httponly=True,
                samesite="Strict", secure=request.headers.get("X-Forwarded-Proto", "") == "https",
                max_age=int(sessions.SIGNED_IN_FOR.total_seconds()),
            )  # fmt: skip

    def drop_cookie(self, response: web.StreamResponse) -> None:
        """Sign the reader out."""
        response.del_cookie(sessions.COOKIE, path=self._path)

    def _is_script(self, request: web.Request) -> bool:
        given = sessions.bearer_of(request.headers)
        return bool(given) and self._token is not None and _fits(given, self._token)

    def _session(self, request: web.Request) -> sessions.Session | None:
        cookie = request.cookies.get(sessions.COOKIE, "")
        if self._token is None or not cookie:
            return None
        now: datetime = self._clock()
        return sessions.session_of(cookie, self._token, now)

    def _actor(self, request: web.Request) -> str:
        """Return the name that a trusted proxy gives, as far as it can be shown; else the word for any operator."""
        is_named = self._user_header and self._is_trusted(request.remote)
        named = request.headers.get(self._user_header, "") if is_named else ""
        return "".join(char for char in named if char.isprintable())[:ACTOR_CHARS].strip() or OPERATOR

    def _is_trusted(self, peer: str | None) -> bool:
        """Say whether the connection itself comes from a proxy of ours; no header counts for that."""
        try:
            address = ipaddress.ip_address((peer or "").partition("%")[0])
        except ValueError:
            return False
        plain = getattr(address, "ipv4_mapped", None) or address  # ::ffff:127.0.0.1, where the socket serves both
        return any(plain in network for network in self._trusted)


def _fits(given: str, token: Secret) -> bool:
    return sessions.is_token(given, token)


async def _form(request: web.Request) -> Mapping[str, object]:
    """Read a form. Raises HTTPBadRequest for one that cannot be read: anybody may send one, in any encoding."""
    try:
        return await request.post()
    except (web.HTTPException, OSError):
        raise
    except Exception:  # noqa: BLE001  the parser raises errors of many kinds for what it cannot read
        raise web.HTTPBadRequest(text="this form cannot be read\n") from None


class Forms:
    """The handlers of the routes that act."""

    def __init__(self, desk: Desk, pages: Pages, operations: Operations, base: str) -> None:
        self._desk = desk
        self._pages = pages
        self._operations = operations
        self._base = base
        self._refused = Seldom()

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """Sign an operator in who knows the token."""
        form = await _form(request)
        if not self._desk.signs_in(request, str(form.get("token", ""))):
            self._tell("sign_in")
            return self._pages.sign_in(request, problem="This is not the token in the configuration.")
        response = self._to("/")
        self._desk.set_cookie(request, response)
        return response

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """Sign an operator out."""
        form = await _form(request)
        if refused := self._desk.refusal(request, form):
            return self._pages.told(request, "Not signed out", refused, status=403)
        response = self._to("/")
        self._desk.drop_cookie(response)
        return response

    async def act(self, request: web.Request) -> web.StreamResponse:
        """Do what is asked for. A browser is sent back to where its form stands, a script hears what was done."""
        form = await _form(request)
        is_script = bool(sessions.bearer_of(request.headers)) and "key" not in form
        if refused := self._desk.refusal(request, form):
            self._tell(str(form.get("action", ""))[:20])
            if is_script:
                return as_json({"error": "the token is not that of the configuration"}, status=403)
            return self._pages.told(request, "Not done", refused, status=403)
        try:
            asked = self._desk.asked(request, form)
            words = await self._operations.act(asked)
        except UsageError as error:
            if is_script:
                return as_json({"error": error.whole}, status=400)
            return self._pages.told(request, "Not done", f"{error.whole.rstrip('.')}.", status=400)
        if is_script:
            return as_json({"done": words})
        is_steered = asked.action in ("sync", "pause", "resume") and "." in asked.subject
        return self._to(f"/streams/{asked.subject.replace('.', '/', 1)}" if is_steered else "/")

    def _to(self, path: str) -> web.Response:
        return web.Response(status=303, headers={"Location": f"{self._base}{path}"})

    def _tell(self, action: str) -> None:
        if count := self._refused.due():
            _log.warning("operator_refused", action=action, count=count)
