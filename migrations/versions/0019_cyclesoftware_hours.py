"""More of the mirror of cyclesoftware: trading hours."""

from alembic import op

revision = "0019"
down_revision = "0018"
oldest_program = "0015"


STATEMENTS = (
    """
    CREATE TABLE cyclesoftware.trading_hours (
        source TEXT NOT NULL,
        store_id BIGINT NOT NULL,
        date DATE NOT NULL,
        store_name TEXT,
        capacity_minutes BIGINT,
        scheduled_minutes BIGINT,
        available_minutes BIGINT,
        day_id BIGINT,
        week_no BIGINT,
        is_closed BOOLEAN,
        workshop_trading_hours JSONB,
        _first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _deleted_at TIMESTAMP WITH TIME ZONE,
        _extra JSONB,
        _hash BYTEA,
        PRIMARY KEY (source, store_id, date)
    )
    """,
    "COMMENT ON TABLE cyclesoftware.trading_hours IS 'What a store''s workshop can take on, by day; past days stay as last seen. Needs the scope resources'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours.store_id IS 'Store within the account: the second part of stores.store_id'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours.date IS 'The day'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours.store_name IS 'Name of the store'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours.capacity_minutes IS 'Minutes that the workshop can work'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours.scheduled_minutes IS 'Minutes that are planned'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours.available_minutes IS 'Minutes that are left'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours.day_id IS 'Day of the week: 0 for Sunday to 6 for Saturday'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours.week_no IS 'Number of the week'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours.is_closed IS 'True if the workshop is closed that day'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours.workshop_trading_hours IS 'When the workshop is open, as sent; its durations need not add up'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours._first_seen_at IS 'When syncd first saw this row'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours._changed_at IS 'When the mirrored content last changed'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours._deleted_at IS 'When the row was found gone upstream; null while it exists there'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours._extra IS 'Fields without a column and values that do not fit theirs, under their upstream names, as sent'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours._hash IS 'Fingerprint of the content as sent; null forces a comparison'",
    """
    CREATE TABLE cyclesoftware.trading_hours_employees (
        source TEXT NOT NULL,
        store_id BIGINT NOT NULL,
        date DATE NOT NULL,
        employee_id BIGINT NOT NULL,
        capacity_minutes BIGINT,
        scheduled_minutes BIGINT,
        available_minutes BIGINT,
        available_slots JSONB,
        _first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _deleted_at TIMESTAMP WITH TIME ZONE,
        _extra JSONB,
        _hash BYTEA,
        PRIMARY KEY (source, store_id, date, employee_id)
    )
    """,
    "COMMENT ON TABLE cyclesoftware.trading_hours_employees IS 'What each mechanic of a store can take on that day; lives with its day'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours_employees.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours_employees.store_id IS 'Store within the account: the second part of stores.store_id'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours_employees.date IS 'The day'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours_employees.employee_id IS 'The mechanic: employees.employee_id'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours_employees.capacity_minutes IS 'Minutes that the mechanic can work'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours_employees.scheduled_minutes IS 'Minutes that are planned'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours_employees.available_minutes IS 'Minutes that are left'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours_employees.available_slots IS 'Free times, as sent'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours_employees._first_seen_at IS 'When syncd first saw this row'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours_employees._changed_at IS 'When the mirrored content last changed'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours_employees._deleted_at IS 'When the row was found gone upstream; null while it exists there'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours_employees._extra IS 'Fields without a column and values that do not fit theirs, under their upstream names, as sent'",
    "COMMENT ON COLUMN cyclesoftware.trading_hours_employees._hash IS 'Fingerprint of the content as sent; null forces a comparison'",
)

TABLES = (
    "trading_hours",
    "trading_hours_employees",
)


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for statement in STATEMENTS:
        execute(statement)
    for table in TABLES:
        execute(f"SELECT history.add('cyclesoftware', '{table}')")
