"""Cyclis' API: its token, its faults, and how its lists are asked for, page by linked page.

What all streams of this API share. Knows none of them.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

from syncd.contract import (
    TEXT,
    UUID,
    Answer,
    Auth,
    Column,
    FixedHeaders,
    Kind,
    Options,
    Table,
    Walk,
    column,
)
from syncd.contract.errors import BadPayload
from syncd.contract.options import secret_option, text_option, zone_option
from syncd.contract.toolkit import fault_text
from syncd.records.readers import elements, envelope, scalar

SCHEMA = "cyclis"

API_TOKEN = secret_option("api_token", "the API key that Cyclis gave")
ZONE = zone_option("zone", "zone of times that are sent without one", default="Europe/Brussels")
PATHS = {
    stream: text_option(f"{stream}_path", f"path of the {stream} below base_url", default=f"/{stream}")
    for stream in ("orders", "cyclists", "dealers", "companies")
}
LINK_CHARS = 8_000
"""Longest next link that is followed; servers refuse longer addresses (8,190 bytes is usual)."""
STALE_PAGES = 50
"""Most linked pages in a row that bring nothing new: no such paging is documented, so none may go on for ever."""


def attribute(name: str, kind: Kind, comment: str) -> Column:
    """Return the column of an attribute."""
    return column(name, kind, comment, "attributes", name)


def relation(name: str, comment: str) -> tuple[Column, Column]:
    """Return the columns of a relationship: the id, and the type that stands beside it in every record."""
    path = ("relationships", name, "data")
    return (
        column(f"{name}_id", UUID, comment, *path, "id"),
        column(f"{name}_type", TEXT, f"Type of the relationship as sent, always {name} in the samples", *path, "type"),
    )


def resource_table(name: str, comment: str, kind: str, *columns: Column, **more: Any) -> Table:
    """Return the table of a JSON:API resource of that type."""
    own = column("id", UUID, f"Identifies the {kind}"), column("type", TEXT, f"JSON:API type, always {kind}")
    return Table(schema=SCHEMA, name=name, key=("id",), columns=(*own, *columns), comment=comment, **more)


def token_auth(options: Options) -> Auth:
    """Sign every request with the API key."""
    return FixedHeaders(lambda: {"API-TOKEN": API_TOKEN.of(options).reveal()})


def fault_of(answer: Answer) -> str | None:
    """Read the vendor's error: `error` and `message`, at the top or nested under `data` or `data.data`."""
    raw: Answer | bytes = answer
    for _depth in range(3):
        try:
            fields = envelope(raw)
        except BadPayload:
            return None
        code, message = scalar(fields.get("error")), scalar(fields.get("message"))
        match code:
            case dict():  # as Odoo's JSON-RPC has it
                code, message = code.get("code", "error"), code.get("message")
        if code not in (None, False, 0, "", "0", "false"):
            words = [str(part) for part in (code, message) if isinstance(part, str | int) and part is not True and part]
            return fault_text(": ".join(words)) or "an error without a message"
        raw = fields.get("data", b"")
    return None


def records_of(fields: Mapping[str, bytes]) -> Sequence[bytes]:
    """Return the records at `data`: an array, or the single object of a detail."""
    raw = fields.get("data")
    return [raw] if raw and raw[:1] == b"{" else elements(raw, "data")


def _next_link(fields: Mapping[str, bytes]) -> str | None:
    """Return `links.next`, a text or an object with `href`; None at the end, which is all that is documented."""
    links = scalar(fields.get("links"))
    link = links.get("next") if isinstance(links, dict) else None
    if isinstance(link, dict):
        link = link.get("href")
    if link is not None and link is not False and not isinstance(link, str):
        raise BadPayload(f"expected a text or null in `links.next`, got a {type(link).__name__}")
    return link or None


def _followed(walk: Walk, path: str, link: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the path (below base_url) and the query of a next link; raises BadPayload if it leads elsewhere."""
    base = urlsplit(walk.base_url)
    if len(link) > LINK_CHARS or not link.isprintable():
        told = f"{len(link):,} characters" if len(link) > LINK_CHARS else "control characters"
        raise BadPayload(f"`links.next` is no address that can be asked for: it holds {told}")
    try:
        target = urlsplit(urljoin(f"{walk.base_url}{path}", link))
        same = (target.scheme, target.hostname, _port(target)) == (base.scheme, base.hostname, _port(base))
        place = f"{target.scheme}://{target.hostname or ''}" + (f":{target.port}" if target.port else "")
    except ValueError:
        raise BadPayload("`links.next` is no valid address") from None
    if not same:
        raise BadPayload(
            f"`links.next` leads to another host, {place}: not followed, for it would be given the API token"
        )
    prefix = base.path.rstrip("/")
    inside = target.path.removeprefix(prefix) if target.path.startswith(f"{prefix}/") else target.path
    return "/" + inside.lstrip("/"), parse_qsl(target.query, keep_blank_values=True)


def _port(parts: Any) -> int | None:
    return parts.port or {"https": 443, "http": 80}.get(parts.scheme)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The records of one response; `is_last` if no next link follows."""

    records: Sequence[bytes]
    answer: Answer
    is_last: bool


async def fetch_pieces(walk: Walk, stream: str, params: Sequence[tuple[str, str]] = ()) -> AsyncIterator[Piece]:
    """Ask for a list and follow its next links. Raises BadPayload on a loop or a link to another host."""
    path, query = path_of(walk, stream), list(params)
    asked: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
    met: set[bytes] = set()
    stale = 0
    while True:
        asked.add((path, tuple(query)))
        answer = await walk.upstream.request("GET", path, params=query)
        fields = envelope(answer)
        records, link = records_of(fields), _next_link(fields)
        yield Piece(records=records, answer=answer.without_body(), is_last=link is None)
        if link is None:
            return
        path, query = _followed(walk, path, link)
        if (path, tuple(query)) in asked:
            raise BadPayload("paging loop: `links.next` leads to a page that was read already")
        stale = stale + 1 if met.issuperset(records) else 0
        if stale > STALE_PAGES:
            raise BadPayload(f"paging loop: {STALE_PAGES} pages in a row brought nothing new, each with a next link")
        met.update(records)


def path_of(walk: Walk, stream: str) -> str:
    """Return the path of a stream below base_url."""
    return "/" + PATHS[stream].of(walk.options).strip("/")
