"""Who may act on the page: pure decisions about tokens, cookies and forms. Stores nothing.

Whoever knows the operator's token gets a cookie that says until when they are signed in, signed with the token. So a
restart signs nobody out, and a new token signs everybody out. Each form holds a word that only this page can know, so
that no other web site can send it in the reader's name (CSRF); the cookie is also never sent along from other sites.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from syncd.config import Secret

COOKIE: Final = "syncd_operator"
SIGNED_IN_FOR: Final = timedelta(hours=12)
"""A sign-in lasts for a shift; our choice."""
OWN_SITES: Final = ("same-origin", "none")
"""Values of Sec-Fetch-Site that browsers send for our own pages, and for what the user typed."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """One sign-in, and the word that its forms must hold."""

    until: datetime
    form_key: str


def is_token(given: str, token: Secret) -> bool:
    """Say whether this is the operator's token; the time that it takes tells nothing of it."""
    return hmac.compare_digest(_bytes(given), _bytes(token.reveal()))


def new_cookie(token: Secret, now: datetime) -> str:
    """Return the cookie of a new sign-in."""
    until = int((now + SIGNED_IN_FOR).timestamp())
    body = f"{until}.{secrets.token_urlsafe(16)}"
    return f"{body}.{_signed('session', body, token)}"


def session_of(cookie: str, token: Secret, now: datetime) -> Session | None:
    """Return the sign-in that a cookie stands for; None if it is none of ours, or is over."""
    body, _, signature = cookie.rpartition(".")
    if not body or not hmac.compare_digest(_bytes(signature), _bytes(_signed("session", body, token))):
        return None
    until = datetime.fromtimestamp(int(body.partition(".")[0]), UTC)
    return Session(until=until, form_key=_signed("form", body, token)) if now < until else None


def is_own_form(session: Session, given: str, headers: Mapping[str, str]) -> bool:
    """Say whether a form is one of this page's, sent by this sign-in."""
    return is_own_site(headers) and hmac.compare_digest(_bytes(given), _bytes(session.form_key))


def is_own_site(headers: Mapping[str, str]) -> bool:
    """Say whether a browser says that a request comes from our own pages; an old one says nothing."""
    return headers.get("Sec-Fetch-Site", "none") in OWN_SITES


def bearer_of(headers: Mapping[str, str]) -> str:
    """Return what a script gives as its token; empty for a browser, or for the Authorization of a proxy."""
    kind, _, given = headers.get("Authorization", "").partition(" ")
    return given.strip() if kind.lower() == "bearer" else ""


def _signed(purpose: str, body: str, token: Secret) -> str:
    return hmac.new(_bytes(token.reveal()), _bytes(f"syncd {purpose} {body}"), hashlib.sha256).hexdigest()


def _bytes(text: str) -> bytes:
    """Return a text as bytes; one that was no UTF-8 in a request holds surrogates."""
    return text.encode("utf-8", "surrogatepass")
