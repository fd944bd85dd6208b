"""The documented sample records of an API: `samples.json` in the API's package, by stream."""

import json
from functools import cache
from importlib import resources

from syncd.sandbox.world.collection import Record


@cache
def _text(package: str) -> bytes:
    return resources.files(package).joinpath("samples.json").read_bytes()


def samples(package: str) -> dict[str, list[Record]]:
    """Return new copies of the samples that lie in a package."""
    found: dict[str, list[Record]] = json.loads(_text(package))
    return found
