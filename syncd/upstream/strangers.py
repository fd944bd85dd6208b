"""Whether an answer is the API's own: a firewall, a proxy or a captive portal may answer in its place.

Pure functions over one answer. Knows no API: whether the vendor's error text was found is told by who asks.
"""

import re
from typing import Final

from syncd.contract import Answer
from syncd.contract.toolkit import fault_text

LOOKED_AT_BYTES: Final = 20_000
"""A title stands at the beginning of a page."""
CHALLENGES: Final = ("cf-mitigated", "x-amzn-waf-action", "x-vercel-mitigated", "x-datadome", "x-sucuri-block")
"""Headers with which firewalls mark their own answers (their vendors' pages)."""
_HTML: Final = re.compile(
    rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*"
    rb"<(!doctype\s+html|html|head|body|title|meta|script|center|h1|p|div)\b",
    re.IGNORECASE | re.DOTALL,
)
_TITLE: Final = re.compile(r"<(title|h1)[^>]*>(.*?)</\1", re.IGNORECASE | re.DOTALL)
_TAG: Final = re.compile(r"<[^>]*>")


def of_stranger(answer: Answer, *, has_reason: bool) -> str | None:
    """Return in words what came in place of the API's own answer; None if it may well be the API's own.

    A refusal (403) is the API's own only if it has the form of an API: JSON, XML, or an error text that the source
    knows (`has_reason`). Of any other answer it is enough that it is no HTML page and bears no firewall's mark.
    """
    if mark := next((name for name in CHALLENGES if name in answer.headers), None):
        return f"what a firewall sends (header {mark})"
    body = answer.body[:LOOKED_AT_BYTES]
    if _HTML.match(body):
        title = _TITLE.search(body.decode("utf-8", "replace"))
        words = fault_text(_TAG.sub(" ", title[2])) if title else ""
        return f'an HTML page ("{words}")' if words else "an HTML page"
    if b'"cloudflare_error"' in body:
        return "what a firewall sends (Cloudflare)"
    if answer.status != 403 or has_reason or body.lstrip()[:1] in (b"{", b"[", b"<"):
        return None
    return "a text that is no JSON" if body.strip() else "an empty body"
