"""Reference lists: the makes, and the models of each make."""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec

from syncd.contract import (
    BIGINT,
    TEXT,
    Page,
    Scope,
    Stream,
    Table,
    Walk,
    camel_column,
)
from syncd.contract.early import in_order
from syncd.contract.errors import BadPayload, NotFound
from syncd.contract.options import DAY_S
from syncd.records.readers import (
    envelope,
    members,
    scalar,
)
from syncd.sources.autengo.api import (
    SCHEMA,
    is_stale,
    reference_list,
)

MAKES: Final = Table(
    schema=SCHEMA,
    name="makes",
    key=("make_id",),
    comment="Reference list of the makes (GET /vehicle/reference/make)",
    columns=(
        camel_column("makeId", BIGINT, "Autengo's id of the make"),
        camel_column("makeName", TEXT, "Name of the make, e.g. Audi"),
    ),
)

MODELS: Final = Table(
    schema=SCHEMA,
    name="models",
    key=("make_id", "model_id"),
    comment="Reference list of the models of each make (GET /vehicle/reference/make/:makeId/model)",
    columns=(
        camel_column("makeId", BIGINT, "Id of the make; taken from the request, the answer does not repeat it"),
        camel_column("modelId", BIGINT, "Autengo's id of the model"),
        camel_column("modelName", TEXT, "Name of the model, e.g. A4"),
    ),
)


async def _walk_makes(walk: Walk) -> AsyncIterator[Page]:
    rows, started_at, doubt = await reference_list(walk, "/vehicle/reference/make", "makeId")
    yield Page(records=rows, cursor={}, requested_at=started_at, scope=Scope(), whole_walk=True, doubt=doubt)


def _with_make(record: bytes, make_id: int) -> bytes:
    """Return a model's record with the make id of its request; what is no object stays as it is, to be rejected."""
    try:
        fields = {name: msgspec.Raw(raw) for name, raw in envelope(record).items()}
    except BadPayload:
        return record
    return msgspec.json.encode({"makeId": make_id} | {name: raw for name, raw in fields.items() if name != "makeId"})


async def _walk_models(walk: Walk) -> AsyncIterator[Page]:
    """Walk the models make by make, as one listing: it speaks for the makes whose list came whole, and for lost makes.

    The makes are asked for here, so that a first sync need not wait for their stream. A make without a list (404) is
    left alone: the answer is odd. A listing that goes on where a killed run stopped is followed by a fresh one: what
    was listed before may have changed since.
    """
    listed, _, unsound = await reference_list(walk, "/vehicle/reference/make", "makeId")
    texts = {str(scalar(members(record).get("makeId"))) for record in listed}
    found = {int(text) for text in texts if re.fullmatch("[0-9]{1,18}", text)}
    makes: list[int] = sorted(found.union(await walk.mirrored("makes", "make_id") if unsound else ()))
    stored = (walk.cursor or {}).get("pass")
    new: dict[str, Any] = {"started_at": walk.now().isoformat(), "unsure": []}
    asked_at = walk.now()
    for begun in [new] if not stored or is_stale(walk, stored) else [stored, new]:
        going, starts_over = begun, bool(stored) and begun is new
        left = [make_id for make_id in makes if make_id > going.get("make_id", -1)]
        async for make_id, (models, asked_at, doubt) in in_order(left, partial(_models_of, walk), walk.early):
            going = {**going, "make_id": make_id, "unsure": [*going["unsure"], *([make_id] if doubt else [])]}
            records = [_with_make(record, make_id) for record in models]
            yield Page(records=records, cursor={"pass": going}, requested_at=asked_at, starts_over=starts_over)
            starts_over = False
    lost = [] if unsound else await walk.mirrored("models", "make_id")
    spoken_for = set(makes).union(lost).difference(going["unsure"]) if makes else ()
    scope = Scope(column="make_id", values=tuple(sorted(spoken_for))) if spoken_for else None
    yield Page(records=[], cursor={}, requested_at=asked_at, scope=scope, whole_walk=scope is not None)


async def _models_of(walk: Walk, make_id: int) -> tuple[Sequence[bytes], datetime, str | None]:
    """Return the models of a make, when they were asked for, and why the list may be incomplete."""
    asked_at = walk.now()
    try:
        return await reference_list(walk, f"/vehicle/reference/make/{make_id}/model", "modelId")
    except NotFound:
        return (), asked_at, "no list"


MAKES_STREAM: Final = Stream(name="makes", table=MAKES, walk=_walk_makes, every_s=DAY_S)

MODELS_STREAM: Final = Stream(name="models", table=MODELS, walk=_walk_models, every_s=DAY_S, reads=("makes",))
