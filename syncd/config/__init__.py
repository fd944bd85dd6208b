"""The configuration: one TOML file, read once, checked whole, handed out as frozen values.

`loader` finds and reads the file. `toml` reads its tables and names what is wrong. `model` holds the values.
What a source type accepts comes in as a registry of `SourceSpec`.
"""

from syncd.config.address import is_loopback
from syncd.config.loader import SOURCE_NAME, SOURCE_NAME_RULE, find, load, variable
from syncd.config.model import (
    REQUIRED,
    BudgetConfig,
    Config,
    Database,
    Http,
    Log,
    OptionSpec,
    Privacy,
    Retention,
    SourceConfig,
    SourceSpec,
    StreamConfig,
    StreamSpec,
    is_off,
    missing_secrets,
    secrets,
    select,
)
from syncd.config.secret import Secret

__all__ = [
    "REQUIRED", "SOURCE_NAME", "SOURCE_NAME_RULE", "BudgetConfig", "Config", "Database", "Http", "Log", "OptionSpec",
    "Privacy", "Retention", "Secret", "SourceConfig", "SourceSpec", "StreamConfig", "StreamSpec",
    "find", "is_loopback", "is_off", "load", "missing_secrets", "secrets", "select", "variable",
]  # fmt: skip
