"""Schema reporting: views that speak the business, without bookkeeping and tombstones."""

from alembic import op

revision = "0006"
down_revision = "0005"


SCHEMA = (
    "CREATE SCHEMA reporting",
    "COMMENT ON SCHEMA reporting IS 'The mirror for people and BI tools: no bookkeeping, no tombstones, business words; days and months are those of Europe/Amsterdam, amounts are euros'",
    """
    CREATE FUNCTION reporting.now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS $$
      SELECT coalesce(nullif(current_setting('reporting.now', true), '')::timestamptz, pg_catalog.now())
    $$
    """,
    "COMMENT ON FUNCTION reporting.now() IS 'The instant from which ages and lags are counted: now, unless the session says otherwise (SET reporting.now = ''2026-06-30''), so that a report can be made again'",
)

# For each view its comment, its columns in order with theirs, and its query.
VIEWS: dict[str, tuple[str, tuple[tuple[str, str], ...], str]] = {
    "freshness": (
        "How fresh each stream is; a stream that was taken out of the configuration stays while its runs are kept",
        (
            ("source", "Configured name of the source"),
            ("stream", "Name of the stream"),
            ("as_of", "What had changed upstream by then is mirrored: start of the last live run that ended well"),
            ("lag", "Time since as_of"),
            ("lag_s", "The same in seconds"),
            ("last_outcome", "How the last live run or sweep ended: ok, throttled, failed or aborted"),
            ("last_error", "What went wrong in it, and what to do; null if nothing did"),
            ("last_started_at", "When it began"),
            ("last_finished_at", "When it ended"),
            ("swept_at", "Start of the last sweep that ended well: deletions up to then are known"),
            ("rejects", "Records that could not become a row"),
            ("drifted_fields", "Fields that are not as the vendor documents them"),
        ),
        """
        WITH RECURSIVE known AS (  -- one step in the index for each stream, however many runs there are
          (SELECT source, stream FROM syncd.runs ORDER BY source, stream LIMIT 1)
          UNION ALL
          SELECT following.source, following.stream FROM known CROSS JOIN LATERAL (
            SELECT runs.source, runs.stream FROM syncd.runs
            WHERE (runs.source, runs.stream) > (known.source, known.stream)
            ORDER BY runs.source, runs.stream LIMIT 1
          ) AS following
        )
        SELECT known.source, known.stream, good.started_at AS as_of,
               greatest(reporting.now() - good.started_at, interval '0') AS lag,
               greatest(extract(epoch FROM reporting.now() - good.started_at), 0)::double precision AS lag_s,
               last.outcome AS last_outcome, last.error AS last_error, last.started_at AS last_started_at,
               last.finished_at AS last_finished_at, sweep.started_at AS swept_at,
               (SELECT count(*) FROM syncd.rejects
                WHERE rejects.source = known.source AND rejects.stream = known.stream) AS rejects,
               (SELECT count(*) FROM syncd.drift
                WHERE drift.source = known.source AND drift.stream = known.stream) AS drifted_fields
        FROM known
        LEFT JOIN LATERAL (
          SELECT started_at FROM syncd.runs
          WHERE runs.source = known.source AND runs.stream = known.stream AND kind = 'live' AND outcome = 'ok'
          ORDER BY run_id DESC LIMIT 1
        ) AS good ON true
        LEFT JOIN LATERAL (
          SELECT started_at FROM syncd.runs
          WHERE runs.source = known.source AND runs.stream = known.stream AND kind = 'sweep' AND outcome = 'ok'
          ORDER BY run_id DESC LIMIT 1
        ) AS sweep ON true
        LEFT JOIN LATERAL (
          SELECT newest.* FROM (VALUES ('live'), ('sweep')) AS kinds (kind)
          CROSS JOIN LATERAL (
            SELECT run_id, outcome, error, started_at, finished_at FROM syncd.runs
            WHERE runs.source = known.source AND runs.stream = known.stream AND runs.kind = kinds.kind
              AND outcome <> 'running'
            ORDER BY run_id DESC LIMIT 1
          ) AS newest
          ORDER BY run_id DESC LIMIT 1
        ) AS last ON true
        """,
    ),
    "sync_history": (
        "Every run of every stream, for as long as runs are kept",
        (
            ("run_id", "Number of the run; ascending"),
            ("source", "Configured name of the source"),
            ("stream", "Name of the stream"),
            ("kind", "live, sweep, backfill or verify"),
            ("started_at", "When it began"),
            ("finished_at", "When it ended; null while it is running"),
            ("duration_s", "Seconds it took, or has taken so far"),
            ("outcome", "running, ok, throttled, failed or aborted"),
            ("error", "What went wrong, and what to do; null if nothing did"),
            ("requests", "Requests sent, each try counted"),
            ("budget_wait_s", "Seconds of it waited for the budget"),
            ("rows_seen", "Records received"),
            ("rows_inserted", "Rows new to the mirror"),
            ("rows_updated", "Rows whose content changed, or that returned"),
            ("rows_unchanged", "Records equal to what was stored"),
            ("rows_deleted", "Rows found gone upstream"),
            ("rows_rejected", "Records that could not become a row"),
        ),
        """
        SELECT run_id, source, stream, kind, started_at, finished_at,
               extract(epoch FROM coalesce(finished_at, reporting.now()) - started_at)::double precision AS duration_s,
               outcome, error, requests, budget_wait_s, rows_seen, rows_inserted, rows_updated, rows_unchanged,
               rows_deleted, rows_rejected
        FROM syncd.runs
        """,
    ),
}


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for statement in SCHEMA:
        execute(statement)
    for view, (comment, columns, query) in VIEWS.items():
        names = ", ".join(name for name, _ in columns)
        execute(f"CREATE VIEW reporting.{view} ({names}) AS {query}")
        execute(f"COMMENT ON VIEW reporting.{view} IS {_quoted(comment)}")
        for name, told in columns:
            execute(f"COMMENT ON COLUMN reporting.{view}.{name} IS {_quoted(told)}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
