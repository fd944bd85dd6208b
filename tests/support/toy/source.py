"""Toy: a club's members with their visits, listed by offset, and labels, asked for one by one."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from syncd.contract import (
    BIGINT,
    TEXT,
    TIMESTAMP,
    Answer,
    Auth,
    Child,
    FixedHeaders,
    Options,
    Page,
    Scope,
    Source,
    Stream,
    Table,
    Walk,
    column,
)
from syncd.contract.errors import BadPayload, NotFound
from syncd.contract.options import secret_option
from syncd.contract.toolkit import fault_text
from syncd.records.readers import elements, envelope, members, scalar

API_KEY = secret_option("api_key", "the key of the club")
VISITS = Table(
    schema="toy",
    name="member_visits",
    key=("member_id", "visit_id"),
    comment="Visits of members",
    personal=("place",),
    columns=(
        column("member_id", BIGINT, "The member who came"),
        column("visit_id", BIGINT, "Number of the visit"),
        column("place", TEXT, "Where the member sat"),
    ),
)
MEMBERS = Table(
    schema="toy",
    name="members",
    key=("member_id",),
    comment="Members of the club",
    person=True,
    personal=("member_id", "name"),
    children=(Child(field="visits", table=VISITS),),
    columns=(
        column("member_id", BIGINT, "Number of the member"),
        column("name", TEXT, "Name"),
        column("joined_at", TIMESTAMP, "When the member joined"),
    ),
)
LABELS = Table(
    schema="toy",
    name="labels",
    key=("label_id",),
    comment="Labels",
    columns=(column("label_id", TEXT, "Identifies the label"), column("colour", TEXT, "Colour")),
)


async def _walk_members(walk: Walk) -> AsyncIterator[Page]:
    """List all members: every pass is a full listing."""
    start: Any = 0
    while start is not None:
        answer = await walk.upstream.request("GET", "/members", params=[("from", str(start))])
        fields = envelope(answer.body)
        following = scalar(fields.get("next"))
        if following is not None and not (isinstance(following, int) and following > start):
            raise BadPayload(f"next is {following!r} after {start}: a greater number is expected")
        start = following
        yield Page(
            records=elements(fields.get("members"), "members"),
            cursor={"as_of": answer.safe_at.isoformat()} if start is None else None,
            requested_at=answer.sent_at,
            scope=Scope() if start is None else None,
            whole_walk=start is None,
        )


async def _walk_labels(walk: Walk) -> AsyncIterator[Page]:
    """Ask for labels one by one; a label that is not found is gone."""
    for label in walk.lookup.get("ids", ()):
        scope, asked_at = Scope(column="label_id", values=(label,), guarded=False), walk.now()
        try:
            answer = await walk.upstream.request("GET", f"/labels/{quote(label, safe='')}")
        except NotFound:
            yield Page(records=[], cursor=walk.cursor, requested_at=asked_at, scope=scope)
            continue
        cursor = {"as_of": answer.safe_at.isoformat()}
        yield Page(records=[answer.body], cursor=cursor, requested_at=answer.sent_at, scope=scope)


def _auth(options: Options) -> Auth:
    return FixedHeaders(lambda: {"X-Toy-Key": API_KEY.of(options).reveal()})


def _fault_of(answer: Answer) -> str | None:
    told = scalar(members(answer.body).get("error"))
    return fault_text(told) if isinstance(told, str) else None


SOURCE = Source(
    type="toy",
    contract="1.0",
    schema_comment="Mirror of a club",
    example_name="club",
    base_url=None,
    auth=_auth,
    fault_of=_fault_of,
    options=(API_KEY,),
    streams=(
        Stream(name="members", table=MEMBERS, walk=_walk_members, every_s=900.0, sweep_s=None),
        Stream(name="labels", table=LABELS, walk=_walk_labels, every_s=900.0, lookup=("ids",)),
    ),
)
