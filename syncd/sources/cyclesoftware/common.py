"""What an account's records refer to by number: lists of values, employees, and suppliers with their brands."""

from collections.abc import AsyncIterator, Hashable
from datetime import datetime

from syncd.contract import (
    BIGINT,
    BOOLEAN,
    JSON,
    SHA256,
    TEXT,
    Answer,
    Cost,
    Page,
    Scope,
    Stream,
    Table,
    Walk,
    column,
)
from syncd.contract.options import DAY_S, HOUR_S
from syncd.contract.paging import walk_offsets
from syncd.records.readers import Keys, envelope
from syncd.sources.cyclesoftware.api import SCHEMA, fetch_slices, listing
from syncd.sources.cyclesoftware.forms import DATA, data_of, map_of, respelled, rows_of, with_member

ENUMS = Table(
    schema=SCHEMA,
    name="enums",
    key=("subject", "id"),
    comment="What the numbers in other tables stand for, by subject; every shop may add to it",
    columns=(
        column(
            "subject", TEXT, "What the list is about, an open set: sales_order_types, payment_methods, pos_groups, …"
        ),
        column("id", BIGINT, "The number that other tables hold, e.g. 6"),
        column("description", TEXT, "What it stands for, in the language of the account, e.g. Reparatie"),
        column("description_en", TEXT, "The same in English", optional=True),
    ),
)

EMPLOYEES = Table(
    schema=SCHEMA,
    name="employees",
    key=("employee_id",),
    comment="Employees of the account; needs the scope common",
    personal=("employee_name", "sso_username", "avatar"),
    columns=(
        column("employee_id", BIGINT, "Number of the employee, as in sales_employee_id of sales orders"),
        column("employee_name", TEXT, "Name of the employee"),
        column("sso_username", TEXT, "User name for single sign-on", optional=True),
        column(
            "verification_hash_sha256",
            SHA256,
            "SHA-256 in hexadecimal of the employee's verification hash, which is never stored",
            "verification_hash",
        ),
        column("roles", JSON, "Roles as sent"),
        column("is_active", BOOLEAN, "False for one who left"),
        column("is_default", BOOLEAN, "True for the account's default employee"),
        column("is_administrator", BOOLEAN, "True for an administrator"),
        column("avatar", TEXT, "Address of a picture", optional=True),
        column("authorizations", JSON, "What the employee may do, as sent; also sent as authorization", optional=True),
        column("authorizations_warehouse", JSON, "What the employee may do in the warehouse, as sent", optional=True),
    ),
)

SUPPLIERS = Table(
    schema=SCHEMA,
    name="suppliers",
    key=("supplier_id",),
    comment="Suppliers, and brands of bikes and mopeds, which are suppliers too; needs the scope common",
    columns=(
        column("supplier_id", BIGINT, "Number of the supplier or brand"),
        column("type", TEXT, "supplier, bike-brand or moped-brand"),
        column("supplier_name", TEXT, "Name of the supplier or brand"),
        column("parent_supplier_id", BIGINT, "Supplier of a brand", optional=True),
    ),
)
_SUPPLIER_LISTS = ("bike-brands", "moped-brands", "suppliers")
"""In this order: a later list is believed over an earlier one."""


def _enums_of(answer: Answer) -> list[bytes]:
    """Return one record for each value of each subject: its own fields, and the subject."""
    subjects = map_of(envelope(answer).get(DATA), DATA)
    return [
        with_member(record, "subject", subject)
        for subject, values in subjects.items()
        for record in rows_of(values, f"{DATA}.{subject}")
    ]


async def _walk_suppliers(walk: Walk) -> AsyncIterator[Page]:
    """Give all suppliers on one page, each once: a brand stands in two of the three lists."""
    keys_of = Keys(SUPPLIERS).of_all
    found: dict[Hashable, bytes] = {}
    keyless: list[bytes] = []
    as_of: datetime | None = None
    sent_at: datetime | None = None
    doubt: str | None = None
    unproven: str | None = None
    for name in _SUPPLIER_LISTS:
        path = f"/api/v1/common/{name}.json"
        fetch = fetch_slices(walk, path, DATA, keys_of, paged=False, records_of=data_of)
        async for piece, _ in walk_offsets(fetch, walk=walk):
            as_of, sent_at = as_of or piece.answer.safe_at, sent_at or piece.answer.sent_at
            doubt, unproven = doubt or piece.doubt, piece.unproven
            for key, record in zip(piece.keys, piece.records, strict=True):
                if key is None:
                    keyless.append(record)
                else:
                    found[key] = record
    yield Page(
        records=[*found.values(), *keyless],
        cursor={"as_of": as_of.isoformat()} if as_of else None,
        requested_at=sent_at or walk.now(),
        scope=Scope(),
        whole_walk=True,
        doubt=doubt,
        unproven=unproven,
    )


ENUMS_STREAM = Stream(
    name="enums",
    table=ENUMS,
    walk=listing(ENUMS, "/api/v1/common/enum.json", DATA, records_of=_enums_of),
    every_s=DAY_S,
)

EMPLOYEES_STREAM = Stream(
    name="employees",
    table=EMPLOYEES,
    walk=listing(
        EMPLOYEES,
        "/api/v1/common/employees.json",
        DATA,
        records_of=respelled("authorization", "authorizations", data_of),
    ),
    every_s=6 * HOUR_S,
)

SUPPLIERS_STREAM = Stream(
    name="suppliers",
    table=SUPPLIERS,
    walk=_walk_suppliers,
    every_s=DAY_S,
    cost=Cost(live=3.0),
)
