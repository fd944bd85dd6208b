"""The configuration: one TOML file and those that it includes, checked whole, handed out as frozen values.

`loader` finds and reads the file; `general` and `sources` read its tables, `fragments` files of accounts, and `rows`
accounts that a query gave. `toml` takes keys from a table and names what is wrong. `model` holds the values.
What a source type accepts comes in as a registry of `SourceSpec`.
"""

from syncd.config.account import SourceConfig
from syncd.config.address import host_of, is_loopback, normal_form, without_password
from syncd.config.loader import find, load, read_shown
from syncd.config.model import (
    FROM_ROWS,
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
    SourcesFrom,
    SourceSpec,
    StreamConfig,
    StreamSpec,
    Timeouts,
)
from syncd.config.option import (
    REQUIRED,
    Option,
    OptionSpec,
    by_name,
    duration_option,
    flag_option,
    optional_day,
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
from syncd.config.rows import Json, Row, RowsDigest, RowsReader
from syncd.config.secrecy import masked, missing_secrets, secrets
from syncd.config.secret import Secret
from syncd.config.selection import count_on, is_off, left_out_by, matching, require_some, select
from syncd.config.shown import Shown
from syncd.config.sources import SOURCE_NAME, SOURCE_NAME_RULE, variable

__all__ = [
    "FROM_ROWS", "PART", "REQUIRED",
    "SOURCE_NAME",
    "SOURCE_NAME_RULE",
    "Auto",
    "BudgetConfig",
    "Config",
    "DatabaseConfig",
    "Http",
    "Json",
    "Log",
    "Notify",
    "Option",
    "OptionSpec",
    "Privacy",
    "Proxy",
    "Retention",
    "Row",
    "RowsDigest",
    "RowsReader",
    "Scale",
    "Schemas",
    "Secret",
    "Shown",
    "SourceConfig",
    "SourceSpec",
    "SourcesFrom",
    "StreamConfig",
    "StreamSpec",
    "Timeouts",
    "by_name",
    "count_on",
    "duration_option",
    "find",
    "flag_option",
    "host_of",
    "is_loopback",
    "is_off",
    "left_out_by",
    "load",
    "masked",
    "matching",
    "missing_secrets",
    "normal_form",
    "optional_day",
    "optional_secret",
    "optional_text",
    "optional_url",
    "read_shown",
    "require_some",
    "secret_option",
    "secrets",
    "select",
    "text_option",
    "variable",
    "variable_of",
    "whole_list_option",
    "whole_option",
    "without_password",
    "zone_option",
]  # fmt: skip
