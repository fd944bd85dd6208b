"""Configurations of many accounts that log in."""

import json
from pathlib import Path

from syncd.sandbox import CREDENTIALS
from syncd.sources import registry
from tests.support.bench import Bench
from tests.support.workers import write


def parts(bench: Bench, accounts: int) -> Path:
    """Write a configuration of accounts that log in for a session, each with one stream."""
    path = write(bench, 0, scale="shards = 12\nlease = '3s'")
    lines = [path.read_text()]
    for number in range(accounts):
        lines += [f'[sources.parts{number}]\ntype = "ghs"\nbase_url = "{bench.address.base_url("ghs")}"']
        lines += [f"{key} = {json.dumps(value)}" for key, value in CREDENTIALS["ghs"].items()]
        for name in registry()["ghs"].names:
            said = 'every = "1s"' if name == "urgent_messages" else "enabled = false"
            lines += [f"[sources.parts{number}.streams.{name}]", said]
    path.write_text("\n".join(lines))
    return path
