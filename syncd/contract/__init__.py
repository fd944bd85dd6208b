"""The contract between the engine and an API: what a source declares, and what a walk through a stream gives.

Types and pure functions only. One package in `syncd/sources/` fills them in for one API; the engine knows nothing else
about that API.

    Source ── Auth                  how requests are signed, and when a login is due
       ├───── Stream ── Table       where its rows go (and Child tables)
       │         └───── walk(Walk)  an async generator of Pages: one page is committed in one transaction
       ├───── Callbacks             where the API tells us of changes, if it does
       └───── Webhooks              the same by calls that are signed

The names of this module are what every source needs. Beside it: `errors` (what a source raises and catches), `options`
(what it asks of the configuration), `paging` (lists that are paged by offset), `links` (lists that go on by links),
`lookups` (keys that are asked for one by one, within caps), `windows` (lists that are asked for by ranges of time),
`second_ways` (where a server refuses a question of ours) and `toolkit` (times of cursors, fault texts). Beyond that a
source imports only `syncd.records.readers`, which take answers apart. All of it has one version, `VERSION`, which says
what a plugin may build on: docs/contract.md.
"""

from syncd.config import Timeouts
from syncd.contract.auth import Auth, FixedHeaders, Keeper, Send, keeper_of
from syncd.contract.cost import Cost
from syncd.contract.identity import Identity
from syncd.contract.lookups import Feed
from syncd.contract.schema import (
    ALIVE,
    BIGINT,
    BOOLEAN,
    DATE,
    EMAIL,
    JSON,
    NUMERIC,
    SHA256,
    TEXT,
    TIMESTAMP,
    UUID,
    Child,
    Column,
    Index,
    Kind,
    Table,
    camel_column,
    column,
    month_of,
    snake,
)
from syncd.contract.source import Callbacks, CannotTell, Limits, Source, Stream, Windows
from syncd.contract.version import VERSION
from syncd.contract.walk import Answer, Cursor, Due, Lane, Options, Page, RunKind, Scope, Upstream, Walk
from syncd.contract.webhooks import AccountColumn, Hint, Told, Webhooks

__all__ = [
    "ALIVE",
    "BIGINT",
    "BOOLEAN",
    "DATE",
    "EMAIL",
    "JSON",
    "NUMERIC",
    "SHA256",
    "TEXT",
    "TIMESTAMP",
    "UUID",
    "VERSION",
    "AccountColumn",
    "Answer",
    "Auth",
    "Callbacks",
    "CannotTell",
    "Child",
    "Column",
    "Cost",
    "Cursor",
    "Due",
    "Feed",
    "FixedHeaders",
    "Hint",
    "Identity",
    "Index",
    "Keeper",
    "Kind",
    "Lane", "Limits",
    "Options",
    "Page",
    "RunKind",
    "Scope",
    "Send",
    "Source",
    "Stream",
    "Table",
    "Timeouts",
    "Told",
    "Upstream",
    "Walk",
    "Webhooks",
    "Windows",
    "camel_column",
    "column",
    "keeper_of",
    "month_of",
    "snake",
]  # fmt: skip
