"""A plugin as pip would install it, in a folder of its own that a process has on its path.

Its source is the toy of `tests/support/toy`, unless another text is given.
"""

from collections.abc import Mapping
from pathlib import Path

TOY = Path(__file__).parent / "toy"
FIRST = '''"""The first."""
from alembic import op

revision = "{type}_0001"
down_revision = None
branch_labels = ("{type}",)


def upgrade():
    for statement in {up!r}:
        op.get_bind().exec_driver_sql(statement)


def downgrade():
    for statement in {down!r}:
        op.get_bind().exec_driver_sql(statement)
'''
LATER = '''"""A later one."""
from alembic import op

revision = "{type}_{number:04d}"
down_revision = "{type}_{before:04d}"
{oldest}


def upgrade():
    op.get_bind().exec_driver_sql({up!r})


def downgrade():
    op.get_bind().exec_driver_sql({down!r})
'''


REPORTS = {
    "toy_members_by_month.sql": (
        "-- about: Club\n-- question: How many members joined in each of the last twelve months?\n"
        "SELECT date_trunc('month', joined_at, 'UTC') AS month, count(*) AS members\nFROM toy.members\n"
        "WHERE joined_at >= reporting.now() - interval '12 months'\nGROUP BY month\nORDER BY month;\n"
    ),
    "toy_untitled.sql": "SELECT 1;\n",
    "toy_wrong.sql": "-- about: Club\n-- question: Who?\nSELECT nickname FROM toy.members;\n",
}
"""Questions that the toy brings for `syncd report`, two of them of no use."""


def toy_source() -> str:
    """Return the toy's source with migrations and reports of its own."""
    text = (TOY / "source.py").read_text("utf-8")
    own = '    migrations=Path(__file__).parent / "migrations",\n    reports=Path(__file__).parent / "reports",\n'
    return text.replace("from typing import Any\n", "from pathlib import Path\nfrom typing import Any\n", 1).replace(
        '    contract="1.0",\n', '    contract="1.0",\n' + own, 1
    )


def toy_migration() -> str:
    """Return the toy's migration as that of a plugin."""
    text = (TOY / "migration.py").read_text("utf-8")
    return text.replace(
        'revision = "9999"\ndown_revision = "NEWEST"', 'revision = "toy_0001"\ndown_revision = None'
    ) + (
        'branch_labels = ("toy",)\n\n\n'
        "def downgrade() -> None:\n"
        '    for table in ("members", "member_visits", "labels"):\n'
        '        op.get_bind().exec_driver_sql(f"DROP TABLE history.toy_{table}")\n'
        '    op.get_bind().exec_driver_sql("DROP SCHEMA toy CASCADE")\n'
    )


def first(type_: str, *, up: tuple[str, ...] = (), down: tuple[str, ...] = ()) -> str:
    """Return the first migration of a plugin: one table, unless statements are given."""
    table = (
        f"CREATE TABLE {type_}.things (source TEXT NOT NULL, id BIGINT NOT NULL, _first_seen_at TIMESTAMPTZ NOT NULL,"
        " _changed_at TIMESTAMPTZ NOT NULL, _deleted_at TIMESTAMPTZ, _extra JSONB, _hash BYTEA,"
        " PRIMARY KEY (source, id))"
    )
    up = up or (f"CREATE SCHEMA {type_}", table, f"SELECT history.add('{type_}', 'things')")
    return FIRST.format(
        type=type_, up=up, down=down or (f"DROP TABLE history.{type_}_things", f"DROP SCHEMA {type_} CASCADE")
    )


def later(type_: str, number: int, *, up: str, down: str = "SELECT 1", oldest: int | None = None) -> str:
    """Return another migration of a plugin; `oldest` is the revision of the oldest program that it admits."""
    told = "" if oldest is None else f'oldest_program = "{type_}_{oldest:04d}"'
    return LATER.format(type=type_, number=number, before=number - 1, up=up, down=down, oldest=told)


def install(
    folder: Path,
    type_: str,
    *,
    source: str,
    migrations: Mapping[str, str] = {},
    reports: Mapping[str, str] = {},
    sandbox: str = "",
    distribution: str = "",
    version: str = "1.0",
) -> Path:
    """Put a plugin into a folder, as pip puts one into site-packages, and return the folder."""
    name = distribution or f"syncd-{type_}"
    package = folder / name.replace("-", "_")
    (package / "migrations").mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(source, "utf-8")
    for file, text in migrations.items():
        (package / "migrations" / file).write_text(text, "utf-8")
    for file, text in reports.items():
        (package / "reports").mkdir(exist_ok=True)
        (package / "reports" / file).write_text(text, "utf-8")
    points = f"[syncd.sources]\n{type_} = {package.name}:SOURCE\n"
    if sandbox:
        (package / "sandbox.py").write_text(sandbox, "utf-8")
        points += f"[syncd.sandbox]\n{type_} = {package.name}.sandbox\n"
    info = folder / f"{package.name}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    (info / "entry_points.txt").write_text(points, "utf-8")
    return folder


def install_toy(folder: Path) -> Path:
    """Install the toy as a plugin, with its sandbox."""
    return install(
        folder, "toy", source=toy_source(), migrations={"0001_toy.py": toy_migration()},
        reports=REPORTS, sandbox=(TOY / "sandbox.py").read_text("utf-8"),
    )  # fmt: skip
