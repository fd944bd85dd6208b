"""The configuration: one TOML file, read once, checked whole, handed out as frozen values.

`loader` finds and reads the file; `general` and `sources` read its tables. `toml` takes keys from a table and names
what is wrong. `model` holds the values.
What a source type accepts comes in as a registry of `SourceSpec`.
"""

from syncd.config.address import host_of, is_loopback, normal_form
from syncd.config.loader import find, load, read_shown
from syncd.config.model import (
    PART,
    Auto,
    BudgetConfig,
    Config,
    DatabaseConfig,
    Http,
    Log,
    Notify,
    Privacy,
    Retention,
    Scale,
    Schemas,
    SourceConfig,
    SourceSpec,
    StreamConfig,
    StreamSpec,
    Timeouts,
    is_off,
    matching,
    missing_secrets,
    secrets,
    select,
)
from syncd.config.option import (
    REQUIRED,
    Option,
    OptionSpec,
    by_name,
    duration_option,
    flag_option,
    optional_secret,
    optional_text,
    optional_url,
    secret_option,
    text_option,
    whole_list_option,
    whole_option,
    zone_option,
)
from syncd.config.proxy import Proxy, variable_of
from syncd.config.secret import Secret
from syncd.config.shown import Shown
from syncd.config.sources import SOURCE_NAME, SOURCE_NAME_RULE, variable

__all__ = [
    "PART", "REQUIRED",
    "SOURCE_NAME",
    "SOURCE_NAME_RULE",
    "Auto",
    "BudgetConfig",
    "Config",
    "DatabaseConfig",
    "Http",
    "Log",
    "Notify",
    "Option",
    "OptionSpec",
    "Privacy",
    "Proxy",
    "Retention",
    "Scale",
    "Schemas",
    "Secret",
    "Shown",
    "SourceConfig",
    "SourceSpec",
    "StreamConfig",
    "StreamSpec",
    "Timeouts",
    "by_name",
    "duration_option",
    "find",
    "flag_option",
    "host_of",
    "is_loopback",
    "is_off",
    "load",
    "matching",
    "missing_secrets",
    "normal_form",
    "optional_secret",
    "optional_text",
    "optional_url",
    "read_shown",
    "secret_option",
    "secrets",
    "select",
    "text_option",
    "variable",
    "variable_of",
    "whole_list_option",
    "whole_option",
    "zone_option",
]  # fmt: skip
