"""What can go wrong at an upstream: the table of faults, and what each of them does to a request."""

from syncd.sandbox.faults import data, limits, paging, strangers, windows, wire  # importing them fills the table
from syncd.sandbox.faults.table import KINDS, Armed, Faults, Moment, Stage, parse_fault

FAULTS: dict[str, str] = {name: kind.description for name, kind in sorted(KINDS.items())}

__all__ = [
    "FAULTS",
    "KINDS",
    "Armed",
    "Faults",
    "Moment",
    "Stage",
    "data",
    "limits",
    "paging",
    "parse_fault",
    "strangers",
    "windows",
    "wire",
]
