"""Runs the migrations on the connection that `syncd.storage.postgres.migrations` hands over; imports nothing of syncd.

A migration that leaves everything in place for programs of earlier revisions says so: `oldest_program` is the newest
revision that the oldest of these programs has. Without a word it admits only programs that know it.

The migrations are those of one branch: syncd's own, or a plugin's. The table of versions holds a row of each branch, and
rows of branches that are not installed; only the row of this one is looked at.
"""

from typing import Any

from alembic import context
from sqlalchemy import text

KEEP_OLDEST = text(
    "INSERT INTO syncd.compatibility (revision, oldest_program) VALUES (:revision, :oldest)"
    " ON CONFLICT (revision) DO UPDATE SET oldest_program = excluded.oldest_program"
)


WATCH = text("""
    SELECT syncd.watch(n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND to_regclass(format('history.%I', n.nspname || '_' || c.relname)) IS NOT NULL
      AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'syncd_deleted')
""")
"""Watches the tables of the mirror, which are those that have a history, also those of plugins."""


def keep_oldest(*, step: Any, **_more: Any) -> None:
    """Store which programs the database admits after a migration, in the migration's own transaction."""
    if not step.is_upgrade or connection.scalar(text("SELECT to_regclass('syncd.compatibility')")) is None:
        return
    applied = step.up_revision
    oldest = getattr(applied.module, "oldest_program", applied.revision)
    connection.execute(KEEP_OLDEST, {"revision": applied.revision, "oldest": oldest})


connection = context.config.attributes["connection"]
connection.execute(text("CREATE SCHEMA IF NOT EXISTS syncd"))
context.configure(
    connection=connection,
    target_metadata=None,
    version_table="migrations",
    version_table_schema="syncd",
    on_version_apply=keep_oldest,
)


all_heads = context.get_context().get_current_heads


def own_heads() -> tuple[str, ...]:
    """Return the row of this branch."""
    own = {step.revision for step in context.script.walk_revisions()}
    return tuple(head for head in all_heads() if head in own)


context.get_context().get_current_heads = own_heads
with context.begin_transaction():
    context.run_migrations()
    if connection.scalar(text("SELECT to_regproc('syncd.watch')")) is not None:
        connection.execute(WATCH)
