"""The options that a source declares: their types, how they are declared, and those that several sources share."""

from typing import Final

from syncd.config import (
    Option,
    Secret,
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

__all__ = [
    "CALLBACK_OPTIONS", "CALLBACK_SECRET_IN", "CALLBACK_URL", "DAY_S", "HOUR_S", "LISTENS", "MINUTE_S", "OVERLAP",
    "WEBHOOKS_ON", "WEBHOOK_ACCOUNTS", "WEBHOOK_HASH", "WEBHOOK_OPTIONS", "WEBHOOK_SECRET", "WEBHOOK_SIGNATURE",
    "Option", "Secret", "duration_option", "flag_option", "optional_day", "optional_secret", "optional_text",
    "optional_url", "secret_option", "text_option", "whole_list_option", "whole_option", "zone_option",
]  # fmt: skip

MINUTE_S: Final = 60.0
HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0

OVERLAP: Final = duration_option(
    "overlap",
    "how far before its cursor a live run asks again, for changes that are committed late",
    default=10 * MINUTE_S,
    minimum=MINUTE_S,
    maximum=7 * DAY_S,
)
"""Of a source whose lists can be asked for by time of change; see `toolkit.overlap_of`."""

LISTENS: Final = flag_option("callbacks", "listen for callbacks, too (docs/callbacks.md)", default=False)
CALLBACK_URL: Final = optional_url("callback_url", "public address under which the vendor reaches http.callback_listen")
CALLBACK_SECRET_IN: Final = text_option(
    "callback_secret_in",
    "where the secret of the address stands: its path, or its password, which logs of proxies do not hold",
    default="path",
    choices=("path", "password"),
)
CALLBACK_OPTIONS: Final = (LISTENS, CALLBACK_URL, CALLBACK_SECRET_IN)
"""Of a source that has callbacks."""

WEBHOOKS_ON: Final = flag_option(
    "callbacks", "listen for webhooks once webhook_secret is set (docs/callbacks.md)", default=True
)
WEBHOOK_SECRET: Final = optional_secret("webhook_secret", "secret by which the vendor signs webhooks")
WEBHOOK_HASH: Final = text_option(
    "webhook_hash",
    "hash of the signature, which the vendor does not document",
    default="sha256",
    choices=("sha256", "sha1", "sha512"),
)
WEBHOOK_SIGNATURE: Final = text_option(
    "webhook_signature",
    "what proves that a webhook is the vendor's: its signature, or (off) only the secret part of the address",
    default="body",
    choices=("body", "off"),
)
WEBHOOK_ACCOUNTS: Final = whole_list_option(
    "webhook_accounts", "numbers of the accounts whose webhooks count; without any, those that the mirror holds"
)
WEBHOOK_OPTIONS: Final = (
    WEBHOOKS_ON, WEBHOOK_SECRET, WEBHOOK_HASH, WEBHOOK_SIGNATURE, WEBHOOK_ACCOUNTS, CALLBACK_URL
)  # fmt: skip
"""Of a source that has webhooks."""
