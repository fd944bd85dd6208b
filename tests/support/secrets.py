"""The secrets of the sandbox accounts."""

import base64

from syncd.sandbox import CREDENTIALS


def secrets() -> dict[str, str]:
    """Return every secret of the sandbox's accounts, and what they look like on the wire."""
    found = {
        f"{api} {name}": str(value)
        for api, values in CREDENTIALS.items()
        for name, value in values.items()
        if name in ("password", "api_key", "api_token")
    }
    for api in ("cyclesoftware", "ghs"):
        pair = f"{CREDENTIALS[api]['username']}:{CREDENTIALS[api]['password']}"
        found[f"{api} basic"] = base64.b64encode(pair.encode()).decode().rstrip("=")
    return found
