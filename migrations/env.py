"""Runs the migrations on the connection that `syncd.database.migrate` hands over; imports nothing of syncd."""

from alembic import context
from sqlalchemy import text

connection = context.config.attributes["connection"]
connection.execute(text("CREATE SCHEMA IF NOT EXISTS syncd"))
context.configure(
    connection=connection,
    target_metadata=None,
    version_table="migrations",
    version_table_schema="syncd",
)
with context.begin_transaction():
    context.run_migrations()
