"""The values that the account's vehicles have in the fields that lists can be filtered by."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

import msgspec

from syncd.contract import TEXT, Answer, Page, Scope, Stream, Table, Walk, column
from syncd.contract.options import DAY_S
from syncd.records.readers import elements, envelope
from syncd.sources.autengo.api import SCHEMA

FIELDS: Final = (
    "makeId", "modelId", "vehicleTypeId", "climatisationType", "conditionType", "fuelType", "transmissionType",
    "isPluginHybrid", "driveType",
)  # fmt: skip
"""All that the vendor documents; asked for in one request."""

FILTER_VALUES: Final = Table(
    schema=SCHEMA,
    name="filter_values",
    key=("field", "value"),
    comment="Values that the account's vehicles have, by field; also in vehicles, so only worth it to check the mirror",
    needed=("field",),
    columns=(
        column("field", TEXT, "The field, e.g. makeId"),
        column("value", TEXT, "A value that at least one vehicle has; numbers and booleans as their text"),
    ),
)


async def _walk_filter_values(walk: Walk) -> AsyncIterator[Page]:
    """Ask for all fields at once; what a field's list lacks is gone from that field only.

    Fields without any value are given last: should the breaker refuse one, the others are written already. Nothing at
    all is asked for twice before it is believed, because an expired session may answer so.
    """
    for _ in range(2):
        answer, found = await _ask(walk)
        if any(found.values()):
            break
    for field, values in sorted(found.items(), key=lambda pair: not pair[1]):
        records = [_record(field, raw) for raw in values if raw not in (b"null", b'""')]
        if len(records) < len(values):
            walk.note(f"{field}: null is listed too, which is no value")
        yield Page(
            records=records,
            cursor=None,
            requested_at=answer.sent_at,
            scope=Scope(column="field", values=(field,)),
        )
    yield Page(records=[], cursor={"as_of": answer.safe_at.isoformat()}, requested_at=answer.sent_at)


async def _ask(walk: Walk) -> tuple[Answer, dict[str, Sequence[bytes]]]:
    """Return the answer and its lists by field. A field that was not asked for counts too if it holds a list."""
    params = [("fields[]", name) for name in FIELDS]
    answer = await walk.upstream.request("GET", "/vehicle/filter/values", params=params)
    sent = envelope(answer)
    named = {name: raw for name, raw in sent.items() if name in FIELDS or raw[:1] == b"["}
    return answer, {name: elements(raw, name) for name, raw in named.items()}


def _record(field: str, raw: bytes) -> bytes:
    """Make a record of a bare value: a number or boolean becomes its text, anything else stays as sent."""
    value = msgspec.Raw(raw) if raw[:1] in b'"[{' else raw.decode()
    return msgspec.json.encode({"field": field, "value": value})


FILTER_VALUES_STREAM: Final = Stream(name="filter_values", table=FILTER_VALUES, walk=_walk_filter_values, every_s=DAY_S)
