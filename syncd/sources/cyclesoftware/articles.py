"""Articles, walked by tokens: what was modified since, or all; confirmed by barcode before they are buried."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, Final

from syncd.contract import Cost, Cursor, Page, Scope, Stream, Walk
from syncd.contract.errors import BadPayload, NotFound
from syncd.contract.links import walk_links
from syncd.contract.options import DAY_S, MINUTE_S
from syncd.contract.paging import EndUnknown
from syncd.contract.toolkit import cursor_time, earliest_reading, overlap_of
from syncd.records.readers import Keys
from syncd.sources.cyclesoftware.api import zone_of
from syncd.sources.cyclesoftware.article_tables import ARTICLES
from syncd.sources.cyclesoftware.forms import data_of
from syncd.sources.cyclesoftware.nested import respeller
from syncd.sources.cyclesoftware.paged_lists import fetch_linked

OVERLAP_MIN: Final = timedelta(minutes=10)
"""How far before its cursor a live walk asks again, at least: `modified_since` excludes the second that it names."""

_PATH = "/api/v4/articledata/entries.json"
_KEYS = Keys(ARTICLES)
_respelled = respeller(ARTICLES)
_UNPROVEN = "pages that go on by tokens cannot show that rows slid past"


async def _walk_articles(walk: Walk) -> AsyncIterator[Page]:
    """Walk what was modified since the cursor; without a cursor, or in a sweep, all articles.

    A first live walk is charged to the backfill lane, for it is long. A live walk that goes on in the middle asks once
    more at its end: what changed meanwhile may lie before the place to go on from.
    """
    cursor = walk.cursor or {}
    while True:
        went_on = walk.kind == "live" and "pass" in cursor
        since = cursor_time(cursor["since"]) if walk.kind == "live" and "since" in cursor else None
        is_full = since is None and not went_on
        if since is None:
            walk.charge_to_backfill()
        async for page in _pass(walk, cursor.get("pass") if went_on else None, since, is_full=is_full):
            cursor = page.cursor or cursor
            went_on = went_on and not page.starts_over
            yield page
        if not went_on:
            return


async def _pass(walk: Walk, going: Cursor | None, since: datetime | None, *, is_full: bool) -> AsyncIterator[Page]:
    """Give the pages of one pass, which goes on with the question it began with.

    A place that the server no longer knows starts the pass over; what was modified since then counts as asked for.
    """
    asked = going["asked_since"] if going else _modified_since(walk, since)
    started = cursor_time(going["started_at"]) if going else None
    fetch = fetch_linked(walk, _PATH, _KEYS.of_all, [("modified_since", asked)] if asked else [], absent_ends=True)
    keep: Cursor = {"since": since.isoformat()} if since else {}
    try:
        async for piece in walk_links(fetch, resume=going["query"] if going else ""):
            if piece.starts_over:
                started = None
                is_full = is_full or (since is None and not asked)
            started = started or piece.answer.safe_at
            so_far = {"asked_since": asked, "started_at": started.isoformat(), "query": piece.following}
            is_last = piece.following is None
            yield Page(
                records=_respelled(piece.records),
                cursor={**keep, "pass": so_far} if not is_last else _finished(walk, started, since),
                requested_at=piece.answer.sent_at,
                keys=[key if isinstance(key, tuple) else None for key in piece.keys],
                scope=Scope() if is_last and is_full else None,
                whole_walk=is_last and is_full,
                starts_over=piece.starts_over,
                unproven=_UNPROVEN if is_last and is_full else None,
            )
    except EndUnknown as error:
        yield Page(records=_respelled(error.records), cursor=None, requested_at=error.answer.sent_at)
        raise


def _finished(walk: Walk, started: datetime, since: datetime | None) -> Cursor:
    if walk.kind == "sweep":
        return {"swept_at": started.isoformat()}
    return {"since": (max(started, since) if since else started).isoformat()}


def _modified_since(walk: Walk, since: datetime | None) -> str | None:
    """Write an instant as 14 digits: right or too early, whether the vendor reads local time or UTC."""
    if since is None:
        return None
    return f"{earliest_reading(since - max(overlap_of(walk), OVERLAP_MIN), zone_of(walk)):%Y%m%d%H%M%S}"


async def _confirm_article(walk: Walk, key: tuple[Any, ...]) -> bytes:
    """Return one article as sent, asked for by its barcode; an empty list says that it is gone."""
    answer = await walk.upstream.request("GET", _PATH, params=[("barcode", str(key[0]))])
    records = data_of(answer)
    for record, found in zip(_respelled(records), _KEYS.of_all(records), strict=True):
        if found == key:
            return record
    if records:
        raise BadPayload(f"asked for the article {key[0]}, got others")
    raise NotFound(f"there is no article with barcode {key[0]}", status=200)


ARTICLES_STREAM = Stream(
    name="articles",
    table=ARTICLES,
    walk=_walk_articles,
    every_s=15 * MINUTE_S,
    sweep_s=DAY_S,
    confirm=_confirm_article,
    cost=Cost(live=1.5, page_rows=750),
)
