"""Comments and labels, asked for by the customers or other things that the configuration names."""

import re
from collections.abc import Hashable, Sequence
from typing import Final

import msgspec

from syncd.contract import BIGINT, JSON, TEXT, TIMESTAMP, Cost, Page, Scope, Stream, Table, Walk, column
from syncd.contract.errors import BadPayload, BadRequest, NotFound
from syncd.contract.lookups import Incomplete, one_by_one
from syncd.contract.options import HOUR_S
from syncd.contract.paging import Slice, walk_offsets
from syncd.records.readers import Keys, envelope, shown, whole_number
from syncd.sources.cyclesoftware.api import SCHEMA
from syncd.sources.cyclesoftware.forms import DATA, rows_of
from syncd.sources.cyclesoftware.paged_lists import offset_of_link
from syncd.sources.cyclesoftware.stock_objects import number_of

PER_RUN: Final = 100
"""Customers or other things that are asked for in a run (STREAMS section 6)."""

COMMENTS = Table(
    schema=SCHEMA,
    name="comments",
    key=("comment_id",),
    comment="Comments on customers and other things, for those that are asked for; needs the scopes resources and crm",
    personal=("customer_id", "comment"),
    refers={"customer_id": "customers"},
    needed=("entity_type_id", "entity_id"),
    columns=(
        column("comment_id", BIGINT, "Number of the comment"),
        column("comment_type_id", BIGINT, "Kind of comment: enums, subject comment_types"),
        column("comment_type_name", TEXT, "Kind of comment by its name"),
        column("comment_type_label", TEXT, "Kind of comment in words"),
        column("employee_id", BIGINT, "Who wrote it"),
        column("entity_id", BIGINT, "Number of the thing that it is about"),
        column("entity_type_id", BIGINT, "Kind of thing that it is about: enums, subject entity_types"),
        column("entity_type_name", TEXT, "Kind of thing by its name"),
        column("customer_id", BIGINT, "The customer"),
        column("comment", TEXT, "Text of the comment"),
        column("created_at", TIMESTAMP, "When it was written; sent in local time", optional=True),
        column("modified_at", TIMESTAMP, "When it was last modified; sent in local time", optional=True),
    ),
)

LABELS = Table(
    schema=SCHEMA,
    name="labels",
    key=("entity_type_id", "entity_id"),
    comment="Labels of orders and other things, for those that are asked for; needs the scope common",
    columns=(
        column("entity_type_id", BIGINT, "Kind of thing: enums, subject entity_types, e.g. 7 for a sales order"),
        column("entity_id", BIGINT, "Number of the thing"),
        column("labels", JSON, "Its labels, an array of texts"),
    ),
)

_KEYS = Keys(COMMENTS)
_ENTITY = re.compile(r"\s*([0-9]{1,18})/([0-9]{1,18})\s*")
_LINK: Final = "next_resultset"


async def _ask_comments(walk: Walk, option: str, key: str) -> Page:
    """Ask for all comments of a customer or another thing. One that is missing is gone if its own request says so."""
    if option == "customer_ids":
        customer = number_of("comments", key)
        path, scope = f"/api/v1/customers/{customer}/comments.json", Scope(column="customer_id", values=(customer,))
    else:
        type_id, entity = _entity_of("comments", key)
        path = f"/api/v1/comments/{type_id}/{entity}.json"
        scope = Scope(column="entity_id", values=(entity,), also=(("entity_type_id", type_id),))
    asked_at = walk.now()
    records, doubt, fault = await _listed(walk, path)
    if fault:
        raise Incomplete(fault, Page(records=records, cursor=None, requested_at=asked_at))
    seen = {found for found in _KEYS.of_all(records) if found}
    gone = []
    for missing in [] if doubt else [found for found in await walk.held(scope) if found not in seen]:
        try:
            records.append(await _confirmed(walk, int(missing[0])))
        except NotFound:
            gone.append(missing[0])
    return Page(
        records=records,
        cursor=None,
        requested_at=asked_at,
        scope=Scope(column="comment_id", values=tuple(gone), guarded=False) if gone else None,
        doubt=doubt,
    )


async def _listed(walk: Walk, path: str) -> tuple[list[bytes], str | None, str | None]:
    """Return all comments at a path, why some may be missing, and why the end is unknown. What does not exist has none.

    The vendor's sample goes on after the only comment: so the list also ends where nothing new comes.
    """
    records: list[bytes] = []
    known: set[Hashable] = set()
    promised, fault = 0, None

    async def fetch(offset: int) -> Slice:
        nonlocal promised, fault
        answer = await walk.upstream.request("GET", path, params=[("offset", str(offset))] if offset else [])
        fields = envelope(answer)
        found = rows_of(fields.get("comments"), "comments")
        keys = _KEYS.of_all(found)
        promised = max(promised, whole_number(fields.get("results")) or 0)
        if _LINK not in fields:
            fault = f"`{_LINK}` is missing beside `comments`: the end of the list would be a guess"
        overlaps = offset > 0 and len(found) <= 1 and known.issuperset(keys)
        following = None if not found or overlaps or fault else offset_of_link(fields[_LINK])
        known.update(key for key in keys if key)
        return Slice(records=found, keys=keys, next_offset=following, answer=answer)

    try:
        async for piece, _ in walk_offsets(fetch, walk=walk):
            records += piece.records
    except NotFound:
        if records:
            raise
    unique = {key or (at,): record for at, (key, record) in enumerate(zip(_KEYS.of_all(records), records, strict=True))}
    doubt = f"`results` says {promised}, but {len(unique)} comments came" if promised > len(unique) else None
    return list(unique.values()), doubt, fault


async def _confirmed(walk: Walk, comment_id: int) -> bytes:
    """Return one comment as sent, asked for by its number. Raises NotFound if it is gone."""
    answer = await walk.upstream.request("GET", f"/api/v1/comments/{comment_id}.json")
    fields = envelope(answer)
    held = next(
        (fields[name] for name in ("comments", "comment", DATA) if fields.get(name, b"")[:1] in (b"{", b"[")),
        answer.body,
    )
    found = rows_of(held, "comment")
    if len(found) != 1 or _KEYS.of(found[0]) != (comment_id,):
        raise BadPayload(f"asked for comment {comment_id}, got {shown(held) if not found else 'another or several'}")
    return found[0]


async def _ask_labels(walk: Walk, _option: str, key: str) -> Page:
    """Ask for the labels of one thing; one that does not exist is gone."""
    type_id, entity = _entity_of("labels", key)
    asked_at = walk.now()
    scope = Scope(column="entity_id", values=(entity,), also=(("entity_type_id", type_id),), guarded=False)
    try:
        answer = await walk.upstream.request("GET", f"/api/v1/labels/{type_id}/{entity}/get.json")
    except NotFound:
        return Page(records=[], cursor=None, requested_at=asked_at, scope=scope)
    fields = {"labels": answer.body} if answer.body.lstrip()[:1] == b"[" else envelope(answer)
    if fields.get(DATA, b"")[:1] == b"{":
        fields = envelope(fields[DATA])
    labels = fields.get("labels", fields.get(DATA))
    if labels is None:
        raise BadPayload(f"expected an array in `labels`, got {shown(labels)}")
    whole = {"entity_type_id": type_id, "entity_id": entity, "labels": _texts(labels)}
    return Page(records=[msgspec.json.encode(whole)], cursor=None, requested_at=answer.sent_at)


def _texts(labels: bytes) -> Sequence[msgspec.Raw]:
    """Return the labels as sent; a map of numbers is a list, and null is none."""
    return [msgspec.Raw(label) for label in ([] if labels == b"null" else rows_of(labels, "labels"))]


def _entity_of(stream: str, key: str) -> tuple[int, int]:
    """Read a kind of thing and its number. Raises BadRequest."""
    found = _ENTITY.fullmatch(key)
    if not found:
        hint = "Correct it in the configuration."
        raise BadRequest(f'{stream}: expected an entity such as "7/51208", found {key[:60]!r}', hint=hint)
    return int(found[1]), int(found[2])


COMMENTS_STREAM = Stream(
    name="comments",
    table=COMMENTS,
    walk=one_by_one(_ask_comments, per_run=PER_RUN),
    every_s=HOUR_S,
    lookup=("customer_ids", "entities"),
    cost=Cost(keys_a_run=PER_RUN),
)

LABELS_STREAM = Stream(
    name="labels",
    table=LABELS,
    walk=one_by_one(_ask_labels, per_run=PER_RUN),
    every_s=HOUR_S,
    lookup=("entities",),
    cost=Cost(keys_a_run=PER_RUN),
)
