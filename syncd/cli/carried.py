"""The files that syncd brings along for other programs: what each is for, where it goes, and which version it is of.

In a checkout they lie in `deploy/`, in an installed package in `syncd/deploy/`. Whatever is handed out bears a line
with the version, by which a copy elsewhere can be told from the one of today.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from syncd import __version__
from syncd.errors import UsageError

PROGRAM: Final = "/opt/syncd/current/bin/syncd"
"""The program that the unit starts, unless it is told another path (deploy/install.md)."""
UNITS: Final = "/etc/systemd/system"
_STAMP: Final = re.compile(r"syncd (\d[\w.+-]*): ")

State = Literal["absent", "current", "another version", "changed", "elsewhere"]


@dataclass(frozen=True, kw_only=True)
class Carried:
    """One file: its name, what it is for, and where it goes; no place: wherever its program wants it."""

    name: str
    purpose: str
    place: str = ""

    @property
    def text(self) -> str:
        """The file of this version, with its stamp."""
        return stamped(self.name, (_folder() / self.name).read_text("utf-8"))

    @property
    def state(self) -> State:
        """How the file at its place stands; one that cannot be read counts as absent."""
        if not self.place:
            return "elsewhere"
        try:
            found = Path(self.place).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return "absent"
        if found == self.text:
            return "current"
        stamp = _STAMP.search(found)
        return "another version" if stamp and stamp[1] != __version__ else "changed"


def _folder() -> Path:
    """Return where the files lie: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "deploy"
    return inside if inside.is_dir() else package.parent / "deploy"


def _below(name: str) -> list[str]:
    """Return the names of all files of a folder."""
    return sorted(path.relative_to(_folder()).as_posix() for path in (_folder() / name).rglob("*") if path.is_file())


FILES: Final = tuple(
    Carried(name=name, purpose=purpose, place=place)
    for name, purpose, place in (
        ("syncd.service", "systemd unit of the daemon", f"{UNITS}/syncd.service"),
        ("syncd-worker@.service", "systemd unit of workers that share the accounts", f"{UNITS}/syncd-worker@.service"),
        ("sysusers.conf", "account of the service, for systemd-sysusers", "/etc/sysusers.d/syncd.conf"),
        ("tmpfiles.conf", "directories of the service, for systemd-tmpfiles", "/etc/tmpfiles.d/syncd.conf"),
        ("roles.sql", "roles and database on your own PostgreSQL server, for psql", ""),
        ("config.example.toml", "configuration with every option", ""),
        ("prometheus-alerts.yaml", "alerts and recording rules for Prometheus", "/etc/prometheus/syncd-alerts.yaml"),
        ("grafana-dashboard.json", "dashboard for Grafana: import it", ""),
        ("dbt/dbt_project.yml", "dbt package over the mirror", ""),
        ("dbt/profiles.yml", "how dbt reaches the mirror", ""),
        ("dbt/models/sources.yml", "the mirror's tables and views as sources of dbt, with tests and freshness", ""),
        ("dbt/models/models.yml", "what the example models hold, with tests", ""),
        ("dbt/models/store_stock.sql", "example model: stock by store and brand", ""),
        ("dbt/models/customer_orders.sql", "example model: orders of each customer", ""),
        ("dbt/snapshots/stock_levels.sql", "example snapshot: the past of store_stock", ""),
        ("metabase/dashboard.json", "dashboard for Metabase", ""),
        ("metabase/load.py", "loads it into Metabase", ""),
        *((name, "dashboard for Superset: pack the folder and import it", "") for name in _below("superset")),
        ("kubernetes/worker.yaml", "workers on Kubernetes", ""),
        ("kubernetes/migrate.yaml", "brings the database to this version, on Kubernetes", ""),
        ("man/syncd.1", "manual page of the commands", ""),
        ("man/syncd-config.5", "manual page of the configuration", ""),
        ("install.md", "how to install syncd on a server, step by step", ""),
    )
)
"""Every file, in the order in which an installation needs them."""


def find(name: str) -> Carried:
    """Return the file of that name; its folder may be left out. Raises UsageError with all names."""
    for one in FILES:
        if name in (one.name, one.name.rpartition("/")[2]):
            return one
    names = ", ".join(one.name for one in FILES)
    raise UsageError(f"syncd brings no file {name!r}", hint=f"It brings {names}.")


def stamped(name: str, text: str) -> str:
    """Return the text with a line that names file and version, as a comment of the file's own language."""
    stamp = f"syncd {__version__}: {name}"
    match name.rpartition(".")[2]:
        case "json":
            return json.dumps({"__stamp": stamp, **json.loads(text)}, indent=2, ensure_ascii=False) + "\n"
        case "sql":
            return f"-- {stamp}\n{text}"
        case "md":
            return f"<!-- {stamp} -->\n{text}"
        case "1" | "5":
            return f'.\\" {stamp}\n{text}'
    return f"# {stamp}\n{text}"


def with_program(text: str, program: str) -> str:
    """Return the unit with another program than that of deploy/install.md."""
    return text.replace(PROGRAM, program)
