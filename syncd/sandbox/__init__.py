"""Simulated upstreams: the four trade APIs as their vendors document them, with every misbehaviour that was ever seen.

    sandbox = Sandbox(seed=1)
    async with serve(sandbox) as address:
        sandbox.faults.add("reset", api="cyclesoftware", stream="customers", times=1)
        ...  # point a client at address.base_url("cyclesoftware")
        assert mirrored == sandbox.truth("cyclesoftware", "customers")

Imports nothing of the rest of syncd, so that neither can share the other's mistakes.
"""

from syncd.sandbox.answer import LogEntry
from syncd.sandbox.catalog import CREDENTIALS
from syncd.sandbox.config import config_text
from syncd.sandbox.faults import FAULTS, parse_fault
from syncd.sandbox.limits import Limits
from syncd.sandbox.sandbox import Sandbox
from syncd.sandbox.server import Address, serve

__all__ = ["CREDENTIALS", "FAULTS", "Address", "Limits", "LogEntry", "Sandbox", "config_text", "parse_fault", "serve"]
