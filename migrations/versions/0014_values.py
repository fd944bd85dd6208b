"""Values that drivers and views cannot read become null, infinite days what was sent, names in drift their shape."""

from alembic import op

revision = "0014"
down_revision = "0013"
oldest_program = "0011"


STATEMENTS = (
    # A date of 9999-12-31 was written as infinity, one of 0001-01-01 as -infinity. An instant was stored in any year; it
    # stays in _extra under the name of its column until the record is read again, which it is for want of a fingerprint.
    """
    DO $$
    DECLARE
      place record;
    BEGIN
      FOR place IN
        SELECT format('%I.%I', n.nspname, c.relname) AS relation, a.attname AS name, a.atttypid = 'date'::regtype AS is_day,
               EXISTS (SELECT FROM pg_attribute h WHERE h.attrelid = c.oid AND h.attname = '_hash') AS has_hash
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND left(a.attname, 1) <> '_'
        WHERE c.relkind = 'r' AND a.atttypid IN ('date'::regtype, 'timestamptz'::regtype)
          AND EXISTS (SELECT FROM pg_attribute e WHERE e.attrelid = c.oid AND e.attname = '_extra')
          AND EXISTS (SELECT FROM pg_attribute e WHERE e.attrelid = c.oid AND e.attname = '_changed_at')
          AND a.attname NOT IN ('valid_from', 'valid_to')
      LOOP
        IF place.is_day THEN
          EXECUTE format(
            'UPDATE %1$s SET %2$I = CASE WHEN %2$I = ''infinity'' THEN date ''9999-12-31'' ELSE date ''0001-01-01'' END'
            ' WHERE %2$I IN (''infinity'', ''-infinity'')', place.relation, place.name);
        ELSE
          EXECUTE format(
            'UPDATE %1$s SET %2$I = NULL, _extra = jsonb_build_object(%3$L, %2$I::text) || coalesce(_extra, ''{}'') %4$s'
            ' WHERE %2$I < ''0001-01-02 00:00:00+00'' OR %2$I > ''9999-12-30 23:59:59.999999+00''',
            place.relation, place.name, place.name, CASE WHEN place.has_hash THEN ', _hash = NULL' ELSE '' END);
        END IF;
      END LOOP;
    END
    $$
    """,
    """
    WITH odd AS (
      DELETE FROM syncd.drift
      WHERE field <> '(other fields)' AND (field !~ '^[@$#]?[[:alpha:]_][[:alnum:]_$:-]*(\\[\\])?([.][@$#]?[[:alpha:]_][[:alnum:]_$:-]*(\\[\\])?)*$'
         OR length(regexp_replace(field, '[^0-9]', '', 'g')) > 6)
      RETURNING *
    )
    INSERT INTO syncd.drift (source, stream, field, change, first_seen_at, last_seen_at, occurrences, sample)
    SELECT source, stream, '(other fields)', change, min(first_seen_at), max(last_seen_at), sum(occurrences), NULL
    FROM odd GROUP BY source, stream, change
    ON CONFLICT (source, stream, field, change) DO UPDATE
    SET last_seen_at = greatest(drift.last_seen_at, excluded.last_seen_at),
        occurrences = drift.occurrences + excluded.occurrences
    """,
    """
    WITH surplus AS (
      DELETE FROM syncd.drift WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM (
          SELECT ctid, row_number() OVER (PARTITION BY source, stream ORDER BY last_seen_at DESC, field) AS place
          FROM syncd.drift WHERE field <> '(other fields)'
        ) AS placed WHERE place > 500
      )) RETURNING *
    )
    INSERT INTO syncd.drift (source, stream, field, change, first_seen_at, last_seen_at, occurrences, sample)
    SELECT source, stream, '(other fields)', change, min(first_seen_at), max(last_seen_at), sum(occurrences), NULL
    FROM surplus GROUP BY source, stream, change
    ON CONFLICT (source, stream, field, change) DO UPDATE
    SET last_seen_at = greatest(drift.last_seen_at, excluded.last_seen_at),
        occurrences = drift.occurrences + excluded.occurrences
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
