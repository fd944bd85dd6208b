"""A ready-to-use configuration of syncd for a served sandbox; owns its text only."""

import json

from syncd.sandbox.sandbox import Sandbox
from syncd.sandbox.server import Address


def config_text(sandbox: Sandbox, address: Address) -> str:
    """Return TOML with a source for every API, their credentials as plain text, and every suggested lookup key."""
    lines: list[str] = []
    for api in sandbox.apis:
        lines += [f"[sources.{api.source_name}]", f'type = "{api.name}"', f'base_url = "{address.base_url(api.name)}"']
        lines += [f"{key} = {_value(value)}" for key, value in api.credentials.items()]
        for stream, keys in api.lookups().items():
            lines.append(f"[sources.{api.source_name}.streams.{stream}]")
            lines += [f"{option} = {_value(values)}" for option, values in keys.items()]
        lines.append("")
    return "\n".join(lines)


def _value(value: object) -> str:
    """Return text, a number or a list of them as TOML, which writes them as JSON does."""
    return json.dumps(value, ensure_ascii=False)
