"""Two numbers of `workshop_mechanics` get the twins with limits that those of all other views have (0037)."""

from alembic import op

revision = "0042"
down_revision = "0041"
oldest_program = "0015"

TWINS = ("load_percent", "repair_minutes")


def upgrade() -> None:
    execute = op.get_bind().exec_driver_sql
    # null from ten to the fifteenth on; digits that a double cannot hold are cut off
    columns = ", ".join(
        f"(nullif(nullif(greatest(least(round(v.{name}, 12), 1e15), -1e15), 1e15), -1e15))::double precision AS {name}_float"
        for name in TWINS
    )
    execute(
        f"""
        DO $$ BEGIN
          EXECUTE 'CREATE OR REPLACE VIEW reporting.workshop_mechanics AS SELECT v.*, {columns} FROM ('
            || rtrim(pg_get_viewdef('reporting.workshop_mechanics'::regclass), ';') || ') AS v';
        END $$
        """
    )
    for name, told in (
        ("load_percent", "Share of the capacity that is planned; null where there is none"),
        ("repair_minutes", "How long these take: as planned by hand, else what their lines take"),
    ):
        execute(f"COMMENT ON COLUMN reporting.workshop_mechanics.{name}_float IS '{told} (as double precision)'")
