"""A ready-to-use configuration of syncd for a served sandbox; owns its text only."""

import json

from syncd.sandbox.credentials import CREDENTIALS
from syncd.sandbox.sandbox import Sandbox
from syncd.sandbox.server import Address

SOURCE_NAMES = {"cyclesoftware": "shop", "cyclis": "lease", "autengo": "cars", "ghs": "parts"}
LOOKUP_STREAMS = {"cyclesoftware": ("stock", "leads"), "cyclis": (), "autengo": ("contacts",), "ghs": ("products",)}


def config_text(sandbox: Sandbox, address: Address) -> str:
    """Return TOML with all four sources, their credentials as plain text, and every suggested lookup key."""
    lookups = sandbox.lookups
    lines: list[str] = []
    for api, name in SOURCE_NAMES.items():
        lines += [f"[sources.{name}]", f'type = "{api}"', f'base_url = "{address.base_url(api)}"']
        lines += [f"{key} = {_value(value)}" for key, value in CREDENTIALS[api].items()]
        for stream in LOOKUP_STREAMS[api]:
            lines.append(f"[sources.{name}.streams.{stream}]")
            lines += [f"{key} = {_value(values)}" for key, values in lookups[stream].items()]
        lines.append("")
    return "\n".join(lines)


def _value(value: object) -> str:
    """Return text, a number or a list of them as TOML, which writes them as JSON does."""
    return json.dumps(value, ensure_ascii=False)
