"""Accounts as configured, and others that differ from them a little."""

from typing import Any

from syncd.config import SourceConfig

PARTS = ("name", "type", "base_url", "options", "streams", "budget", "proxy", "timeouts", "in_flight", "origin")


def changed(account: SourceConfig, **changes: Any) -> SourceConfig:
    """Return the account with some of its parts changed."""
    parts: dict[str, Any] = {name: getattr(account, name) for name in PARTS}
    return SourceConfig(**(parts | changes))
