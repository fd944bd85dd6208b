"""reporting.customer_cyclists counts the pairs of an address in one pass.

Two counts for each pair read the customers anew each time: the time grew with the square of their number. The join
makes every pair of an address, so that the pairs of one address are the product of the two counts.
"""

from alembic import op

revision = "0034"
down_revision = "0033"
oldest_program = "0015"

VIEW = """
    CREATE OR REPLACE VIEW reporting.customer_cyclists (
        email, customer_source, customer_id, customer_name, cyclist_source, cyclist_id, cyclist_name, company_id,
        company_name, customer_since, matches
    ) AS
    SELECT lower(customers.email), customers.source, customer_id, customers.full_name, cyclists.source, cyclist_id,
           cyclists.full_name, company_id, company_name, created_at,
           count(*) OVER (PARTITION BY lower(customers.email))
    FROM reporting.customers JOIN reporting.cyclists ON lower(cyclists.email) = lower(customers.email)
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(VIEW)
