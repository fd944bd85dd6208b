"""More of the mirror of cyclesoftware: insurances."""

from alembic import op

revision = "0028"
down_revision = "0027"
oldest_program = "0015"


STATEMENTS = (
    """
    CREATE TABLE cyclesoftware.insurances (
        source TEXT NOT NULL,
        insurance_id BIGINT NOT NULL,
        customer_id BIGINT,
        created_at DATE,
        stock_object_id BIGINT,
        insurance_company TEXT,
        reference_id TEXT,
        policy_number TEXT,
        insurance_starting_date DATE,
        description TEXT,
        policy_costs BIGINT,
        insured_amount BIGINT,
        premium_amount BIGINT,
        _first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        _deleted_at TIMESTAMP WITH TIME ZONE,
        _extra JSONB,
        _hash BYTEA,
        PRIMARY KEY (source, insurance_id)
    )
    """,
    "COMMENT ON TABLE cyclesoftware.insurances IS 'Insurances as applied for in the shop; the insurer may know better. Needs the scope sales-export'",
    "COMMENT ON COLUMN cyclesoftware.insurances.source IS 'Configured name of the source'",
    "COMMENT ON COLUMN cyclesoftware.insurances.insurance_id IS 'Number of the insurance'",
    "COMMENT ON COLUMN cyclesoftware.insurances.customer_id IS 'The customer who is insured'",
    "COMMENT ON COLUMN cyclesoftware.insurances.created_at IS 'Day of the application; sent with the day first'",
    "COMMENT ON COLUMN cyclesoftware.insurances.stock_object_id IS 'The object: stock_items.object_id'",
    "COMMENT ON COLUMN cyclesoftware.insurances.insurance_company IS 'Name of the insurer'",
    "COMMENT ON COLUMN cyclesoftware.insurances.reference_id IS 'Reference at the insurer'",
    "COMMENT ON COLUMN cyclesoftware.insurances.policy_number IS 'Number of the policy; 0 if there is none'",
    "COMMENT ON COLUMN cyclesoftware.insurances.insurance_starting_date IS 'First day of the insurance'",
    "COMMENT ON COLUMN cyclesoftware.insurances.description IS 'What is insured, in words'",
    "COMMENT ON COLUMN cyclesoftware.insurances.policy_costs IS 'Costs of the policy in euro cents'",
    "COMMENT ON COLUMN cyclesoftware.insurances.insured_amount IS 'Amount insured in euro cents'",
    "COMMENT ON COLUMN cyclesoftware.insurances.premium_amount IS 'Premium in euro cents'",
    "COMMENT ON COLUMN cyclesoftware.insurances._first_seen_at IS 'When syncd first saw this row'",
    "COMMENT ON COLUMN cyclesoftware.insurances._changed_at IS 'When the mirrored content last changed'",
    "COMMENT ON COLUMN cyclesoftware.insurances._deleted_at IS 'When the row was found gone upstream; null while it exists there'",
    "COMMENT ON COLUMN cyclesoftware.insurances._extra IS 'Fields without a column and values that do not fit theirs, under their upstream names, as sent'",
    "COMMENT ON COLUMN cyclesoftware.insurances._hash IS 'Fingerprint of the content as sent; null forces a comparison'",
)

TABLES = ("insurances",)


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    for statement in STATEMENTS:
        execute(statement)
    for table in TABLES:
        execute(f"SELECT history.add('cyclesoftware', '{table}')")
