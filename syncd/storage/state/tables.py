"""The tables of schema `syncd`: what each holds, by column.

Migrations are frozen copies of this; a test compares the two.
"""

from typing import Final

from syncd.storage.state.declared import (
    BOOLEAN,
    BYTES,
    DATE,
    FLOAT,
    INSTANT,
    INTEGERS,
    JSON,
    NUMBER,
    NUMBERS,
    TEXT,
    TEXTS,
    UUID,
    StateIndex,
    StateTable,
    counter,
    key,
    numbered,
    optional,
    required,
)  # fmt: skip

CURSORS: Final = StateTable(
    name="cursors",
    comment="Where each stream resumes; written in the transaction of the page that it follows",
    columns=(
        key("source", TEXT, "Configured name of the source"),
        key("stream", TEXT, "Name of the stream"),
        key("kind", TEXT, "live, sweep, or backfill with its range"),
        required("cursor", JSON, "Where to resume; `pass` holds an unfinished pass"),
        required("updated_at", INSTANT, "When the cursor last moved"),
    ),
)

RUNS: Final = StateTable(
    name="runs",
    comment="Every run of every stream, with its outcome and counts",
    columns=(
        numbered("run_id", "Number of the run"),
        required("source", TEXT, "Configured name of the source"),
        required("stream", TEXT, "Name of the stream"),
        required("kind", TEXT, "live, sweep, backfill, verify or callback"),
        required("lane", TEXT, "Budget lane: live or backfill"),
        required("started_at", INSTANT, "When the run began"),
        optional("finished_at", INSTANT, "When it ended; null while it is running"),
        required("outcome", TEXT, "running, ok, throttled, failed or aborted"),
        optional("error", TEXT, "What went wrong, in a sentence, and what to do"),
        optional("error_kind", TEXT, "Class of the error, e.g. ScopeMissing, Throttled, SweepRefused"),
        counter("requests", "Requests sent, each try counted"),
        counter("pages", "Pages committed"),
        counter("rows_seen", "Records received"),
        counter("rows_inserted", "Rows new to the mirror"),
        counter("rows_updated", "Rows whose content changed, or that returned"),
        counter("rows_unchanged", "Records equal to what was stored"),
        counter("rows_deleted", "Rows buried"),
        counter("rows_rejected", "Records that could not become a row"),
        optional("rows_expected", NUMBER, "Length of the list, if the upstream says so"),
        counter("budget_wait_s", "Seconds waited", FLOAT),
        optional("notes", JSON, "What happened on the way: retries, faults, doubts"),
        optional("host", TEXT, "Host of the process"),
        optional("pid", NUMBER, "Process id"),
    ),
    checks={"runs_outcome": "outcome IN ('running', 'ok', 'throttled', 'failed', 'aborted')"},
    indexes=(
        StateIndex(name="runs_by_stream", on=("source", "stream", "kind", "run_id DESC")),
        StateIndex(name="runs_by_time", on=("started_at",)),
        StateIndex(name="runs_running", on=("source", "stream"), where="outcome = 'running'"),
    ),
)

REJECTS: Final = StateTable(
    name="rejects",
    comment="Records that could not become a row, kept until they can (`syncd rejects replay`)",
    columns=(
        numbered("reject_id", "Number of the reject"),
        required("source", TEXT, "Configured name of the source"),
        required("stream", TEXT, "Name of the stream"),
        required("reason", TEXT, "Why the record could not become a row"),
        required("record", TEXT, "The record as sent (secrets digested)"),
        required("fingerprint", BYTES, "Fingerprint of the record"),
        required("run_id", NUMBER, "The run that last met it"),
        required("first_seen_at", INSTANT, "When it was first met"),
        required("last_seen_at", INSTANT, "When it was last met"),
        counter("occurrences", "How often it was met"),
    ),
    unique={"rejects_once": ("source", "stream", "fingerprint")},
)

DRIFT: Final = StateTable(
    name="drift",
    comment="Fields that appeared, vanished or changed type against the vendor's documents",
    columns=(
        key("source", TEXT, "Configured name of the source"),
        key("stream", TEXT, "Name of the stream"),
        key("field", TEXT, "Upstream name of the field, dotted where nested"),
        key("change", TEXT, "appeared, vanished or type_changed"),
        required("first_seen_at", INSTANT, "When it was first met"),
        required("last_seen_at", INSTANT, "When it was last met"),
        counter("occurrences", "In how many parsed records"),
        optional("sample", TEXT, "Shape of one value: letters as x, digits as 9"),
    ),
)

BUDGETS: Final = StateTable(
    name="budgets",
    comment="What each source may still request; shared by all processes",
    columns=(
        key("source", TEXT, "Configured name of the source"),
        required("version", NUMBER, "Counts the writes, so that processes never overwrite"),
        required("state", JSON, "The windows, as syncd.budget keeps them"),
        optional("minute_limit", NUMBER, "Requests allowed in a moving minute; null if unknown"),
        optional("minute_remaining", NUMBER, "Of these, left at updated_at"),
        optional("day_limit", NUMBER, "Requests allowed in the day; null if unknown"),
        optional("day_remaining", NUMBER, "Of these, left at updated_at"),
        optional("day_reset_at", INSTANT, "When the day's window begins anew"),
        optional("closed_until", INSTANT, "No request before this (429); null if open"),
        counter("day_used_live", "Requests sent today in lane live"),
        counter("day_used_backfill", "Requests sent today in lane backfill"),
        required("updated_at", INSTANT, "When a request was last charged or an answer heeded"),
    ),
)

CHANGES: Final = StateTable(
    name="changes",
    comment="Every change of a row, of streams with changes = true, in the order of the commits: follow it with"
    " syncd.changes_since",
    columns=(
        key("id", NUMBER, "Number of the change: 1, 2, 3, … without a gap, in the order in which they were committed"),
        required("source", TEXT, "Configured name of the source"),
        required("stream", TEXT, "Name of the stream"),
        required("table_name", TEXT, "Table of the row, with its schema; a child row bears that of its own table"),
        required("key", JSON, "Key of the row by column, without source"),
        required(
            "operation",
            TEXT,
            "insert: the row is there (again); update: it changed; delete: it was found gone upstream",
        ),
        optional(
            "changed",
            TEXTS,
            "Names of the columns that an update changed, _extra among them; empty if only child rows did;"
            " null for insert and delete",
        ),
        required("changed_at", INSTANT, "When the row was written; its _changed_at"),
        optional("run_id", NUMBER, "The run that wrote it; null for what a command mended"),
    ),
    checks={"changes_operation": "operation IN ('insert', 'update', 'delete')"},
)

CALLBACKS: Final = StateTable(
    name="callbacks",
    comment="Addresses at which callbacks of a source are accepted, known by a digest only",
    columns=(
        key("source", TEXT, "Configured name of the source"),
        key("digest", BYTES, "SHA-256 of the secret part of the address"),
        required("made_at", INSTANT, "When syncd made it up"),
        optional("registered_at", INSTANT, "When the upstream took it; null while that is not known"),
        optional("heard_at", INSTANT, "When the last callback came here"),
        optional("heard", TEXT, "What became of it, e.g. accepted, repeated, refused: too large"),
    ),
)

WEBHOOKS: Final = StateTable(
    name="webhooks",
    comment="Webhooks that were taken in the last seven days, so that a repeated one is known",
    columns=(
        key("source", TEXT, "Configured name of the source"),
        key("delivery", TEXT, "Number that the vendor gave the webhook"),
        required("taken_at", INSTANT, "When it was taken"),
    ),
    indexes=(StateIndex(name="webhooks_by_time", on=("taken_at",)),),
)

CALLBACK_COUNTS: Final = StateTable(
    name="callback_counts",
    comment="Callbacks and webhooks by day and what became of them",
    columns=(
        key("source", TEXT, "Configured name of the source"),
        key("day", DATE, "Day in UTC"),
        key("result", TEXT, "What became of the calls, e.g. accepted, repeated"),
        required("count", NUMBER, "Calls of which that became"),
        required("last_at", INSTANT, "When the last of them came"),
    ),
)

SOURCES: Final = StateTable(
    name="sources",
    comment="Whose data the rows of each source are; a run for another account is refused",
    columns=(
        key("source", TEXT, "Configured name of the source"),
        required("type", TEXT, "Type of the source: which API it is"),
        required("address", TEXT, "base_url in its normal form"),
        required("account", JSON, "The options that name the account there; of a secret one only its SHA-256"),
        required("known_since", INSTANT, "When this was stored, or last accepted by an operator"),
    ),
)

FORGOTTEN: Final = StateTable(
    name="forgotten",
    comment="Persons whom no sync may bring back; holds no key of theirs, but one that is known can be looked up",
    columns=(
        numbered("marker_id", "Number of the marker"),
        required("source", TEXT, "Configured name of the source"),
        required("stream", TEXT, "Stream whose row the person was"),
        required("salt", BYTES, "Random; the same for all markers of a source"),
        required("digest", BYTES, "BLAKE2b of stream and key, keyed by the salt"),
        required("forgotten_at", INSTANT, "When syncd forget was asked to"),
    ),
    unique={"forgotten_once": ("source", "stream", "digest")},
)

SEEN: Final = StateTable(
    name="seen",
    comment="Keys that an unfinished full listing has seen, one row a page; emptied when the pass ends",
    columns=(
        required("source", TEXT, "Configured name of the source"),
        required("stream", TEXT, "Name of the stream"),
        required("seen_at", INSTANT, "When the page was requested"),
        required("keys", NUMBERS, "hashtextextended of each key, seed 0"),
        numbered("seen_id", "Number of the row"),
    ),
    indexes=(StateIndex(name="seen_by_stream", on=("source", "stream")),),
)

KNOWN_PAGES: Final = StateTable(
    name="known_pages",
    comment="Pages of full listings that changed nothing: if the same text comes again, it need not be read anew",
    columns=(
        key("source", TEXT, "Configured name of the source"),
        key("stream", TEXT, "Name of the stream"),
        key("digest", BYTES, "SHA-256 of the text of the page's records"),
        required("records", NUMBER, "How many records it holds"),
        required("first_bytes", NUMBER, "Length of the first record"),
        required("tail_bytes", NUMBER, "Length of the last five records, with the commas between them"),
        required("recipe", BYTES, "How records became fingerprints"),
        required("fingerprints", BYTES, "SHA-256 of the fingerprints, in the order of the records"),
        required("met_at", INSTANT, "When it was last met; a listing that ends drops those that it did not meet"),
    ),
)

COMPATIBILITY: Final = StateTable(
    name="compatibility",
    comment="For each migration applied, the oldest program that may work on the database as it is then",
    columns=(
        key("revision", TEXT, "Number of the migration"),
        required("oldest_program", TEXT, "Number of the newest migration that this program has"),
    ),
)

LOSSES: Final = StateTable(
    name="losses",
    comment="Rows of the mirror that somebody else deleted; kept until a run has brought them back",
    columns=(
        numbered("loss_id", "Number of the entry"),
        required("source", TEXT, "Configured name of the source whose rows they were"),
        required("table_name", TEXT, "Table of the mirror, with its schema"),
        required("rows_lost", NUMBER, "Rows deleted, tombstones included"),
        required("lost_at", INSTANT, "When they were deleted"),
        required("by_role", TEXT, "Role of the session that deleted them"),
    ),
)

LOCK_SALT: Final = StateTable(
    name="lock_salt",
    comment="Secret of this database that the numbers of its advisory locks are made with; only for its owner",
    columns=(
        key("number", NUMBER, "Always 1"),
        required("salt", BYTES, "Random"),
    ),
)

NOTIFICATIONS: Final = StateTable(
    name="notifications",
    comment="What needed a look and who was told, so that a restart repeats nothing",
    columns=(
        key("cause", TEXT, "What needed a look: source and kind of trouble"),
        key("began_at", INSTANT, "When it was first seen"),
        required("headline", TEXT, "The cause in words, as it was told"),
        required("details", TEXT, "The streams that it concerns, and the next step"),
        required("scope", TEXT, "Host of the only daemon that sees it; empty: every daemon"),
        required("is_event", BOOLEAN, "Whether it happened once and has no end"),
        optional("told_at", INSTANT, "When somebody was told; null: not yet, or never"),
        optional("ended_at", INSTANT, "When it was over; null while it stands"),
        optional("over_told_at", INSTANT, "When somebody was told that it is over"),
    ),
    indexes=(StateIndex(name="notifications_open", on=("cause",), where="ended_at IS NULL", is_unique=True),),
)

WORKERS: Final = StateTable(
    name="workers",
    comment="The processes of syncd worker; one that ended in order is not in it",
    columns=(
        key("worker_id", UUID, "Made anew for each life of a process"),
        required("host", TEXT, "Machine that it runs on"),
        required("pid", NUMBER, "Its process there"),
        required("version", TEXT, "Version of syncd that it runs"),
        required("config_digest", TEXT, "Digest of its configuration, secrets left out"),
        optional("http_address", TEXT, "Address of its status page; null: it has none"),
        required("lease_s", FLOAT, "Seconds without a beat after which it counts as lost"),
        required("started_at", INSTANT, "When it joined"),
        required("beat_at", INSTANT, "When it last said that it lives, by the clock of the database"),
        required("is_leaving", BOOLEAN, "Whether it ends, and takes nothing any more"),
        optional("lost_at", INSTANT, "When another worker declared it lost: from then on it commits nothing"),
        required("shards", INTEGERS, "Numbers of the shards whose accounts it runs"),
        required("reloads_followed", NUMBER, "Number of the last reload of all workers that it followed"),
        optional("refused", TEXT, "Why it refused the configuration of that reload; null: it took it"),
    ),
)

SCALE: Final = StateTable(
    name="scale",
    comment="What all workers agree on; one row, written by the first worker",
    columns=(
        key("number", NUMBER, "Always 1"),
        required("shards", NUMBER, "Into how many shards the accounts are divided"),
        required("reloads", NUMBER, "How often all workers were told to read their configuration again"),
    ),
)

KEPT_SECRETS: Final = StateTable(
    name="kept_secrets",
    comment="The newest secret that an upstream handed out in exchange for the configured one, such as a refresh"
    " token that rotates; only for its owner",
    columns=(
        key("source", TEXT, "Configured name of the source"),
        required(
            "sealed", BYTES, "The secret, encrypted with the one in the configuration; nobody can read it without that"
        ),
        required("kept_at", INSTANT, "When it was stored"),
    ),
)

ACKNOWLEDGEMENTS: Final = StateTable(
    name="acknowledgements",
    comment="What needs a look and somebody knows of; a row goes when the cause or its time is over",
    columns=(
        key("cause", TEXT, "What needs a look: source and kind of trouble"),
        required("acknowledged_at", INSTANT, "When somebody said so"),
        optional("muted_until", INSTANT, "Until when nobody is told of it; null: until it is over"),
        required("actor", TEXT, "Who said so, as the proxy names them; else operator"),
    ),
)

PAUSES: Final = StateTable(
    name="pauses",
    comment="Streams that an operator paused: no daemon starts a run of them",
    columns=(
        key("source", TEXT, "Configured name of the source"),
        key("stream", TEXT, "Name of the stream"),
        required("paused_at", INSTANT, "Since when"),
        required("actor", TEXT, "Who paused it, as the proxy names them; else operator"),
    ),
)

AUDIT: Final = StateTable(
    name="audit",
    comment="What operators did on the status page; nothing is ever deleted here",
    columns=(
        numbered("audit_id", "Number of the entry"),
        required("at", INSTANT, "When it was done"),
        required("actor", TEXT, "Who did it, as the proxy names them; else operator"),
        required("action", TEXT, "acknowledge, mute, withdraw, sync, pause or resume"),
        required("subject", TEXT, "The cause, source or stream"),
        required("details", TEXT, "What became of it, in words"),
    ),
)

BACKFILLS: Final = StateTable(
    name="backfills",
    comment="Parts of backfills that the service was asked for; whoever has the account walks them",
    columns=(
        numbered("part_id", "Number of the part"),
        required("source", TEXT, "Configured name of the source"),
        required("stream", TEXT, "Name of the stream"),
        required("since", INSTANT, "Begin of the range"),
        optional("until", INSTANT, "End of the range; null: up to when it is walked"),
        required("asked_at", INSTANT, "When it was asked for, or asked for again"),
        optional("finished_at", INSTANT, "When it ended; null: not yet"),
        optional("outcome", TEXT, "How it ended: ok, failed or throttled"),
        optional("error", TEXT, "Why, if it did not end well"),
    ),
    indexes=(
        StateIndex(
            name="backfills_once", on=("source", "stream", "since", "coalesce(until, 'infinity')"), is_unique=True
        ),
        StateIndex(name="backfills_open", on=("source", "stream", "since"), where="finished_at IS NULL"),
    ),
)


STATE_TABLES: Final = (
    CURSORS,
    RUNS,
    REJECTS,
    DRIFT,
    BUDGETS,
    CHANGES,
    CALLBACKS,
    WEBHOOKS,
    CALLBACK_COUNTS,
    SOURCES,
    FORGOTTEN,
    SEEN,
    KNOWN_PAGES,
    COMPATIBILITY,
    LOSSES,
    LOCK_SALT,
    NOTIFICATIONS,
    WORKERS,
    SCALE,
    KEPT_SECRETS,
    ACKNOWLEDGEMENTS,
    PAUSES,
    AUDIT,
    BACKFILLS,
)
