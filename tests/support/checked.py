"""What syncd check found, by what it looked at."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.command import Ended, syncd


@dataclass
class Found:
    """What a check found, by what it looked at."""

    ended: Ended
    by_name: dict[str, dict[str, Any]]

    def failed(self, what: str) -> str:
        """Return detail and mending step of something that failed."""
        assert self.by_name[what]["state"] == "failed", self.by_name[what]
        return f"{self.by_name[what]['detail']} → {self.by_name[what]['hint']}"

    def warned(self, what: str) -> str:
        assert self.by_name[what]["state"] == "warning", self.by_name[what]
        return f"{self.by_name[what]['detail']} → {self.by_name[what]['hint']}"


async def check(path: Path, env: dict[str, str] | None = None) -> Found:
    ended = await syncd("check", "--json", "--config", path, env=env)
    return Found(ended, {found["what"]: found for found in ended.json})
