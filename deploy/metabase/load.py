#!/usr/bin/env python3
"""Loads dashboard.json into Metabase over its API; needs Python 3.9 or newer and nothing else.

    METABASE_API_KEY=mb_… python3 load.py https://metabase.example.com "syncd mirror"

The second argument is the name that the mirror has in Metabase (Admin, Databases). The key comes from Admin, Settings,
Authentication, API keys; its group needs the right to create queries on that database. Every call makes a new
dashboard with cards of its own: delete the old one in Metabase.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


class Metabase:
    """The API of one Metabase."""

    def __init__(self, address: str, key: str) -> None:
        self.address = address.rstrip("/")
        self.key = key

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request; end the program with a sentence if it fails."""
        request = urllib.request.Request(  # noqa: S310  (the address is the user's own)
            f"{self.address}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-API-Key": self.key, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            told = error.read(500).decode(errors="replace")
            sys.exit(f"error: {method} /api/{path} answered {error.code}: {told}")
        except (OSError, ValueError) as error:
            sys.exit(f"error: {self.address} does not answer as Metabase does: {error}")


def database_id(metabase: Metabase, name: str) -> int:
    """Return the number of the database of that name."""
    found = metabase.ask("GET", "database")
    listed = {each["name"]: each["id"] for each in (found["data"] if isinstance(found, dict) else found)}
    if name not in listed:
        sys.exit(f"error: Metabase has no database {name!r}; it has: {', '.join(sorted(listed)) or 'none'}")
    return int(listed[name])


def load(metabase: Metabase, database: int, wanted: dict[str, Any]) -> int:
    """Make the cards, then the dashboard that shows them; return its number."""
    placed = []
    for number, card in enumerate(wanted["cards"], 1):
        made = metabase.ask(
            "POST",
            "card",
            {
                "name": card["name"],
                "display": card["display"],
                "visualization_settings": card["visualization_settings"],
                "dataset_query": {
                    "type": "native",
                    "database": database,
                    "native": {"query": card["query"], "template-tags": {}},
                },
            },
        )
        place = {name: card[name] for name in ("row", "col", "size_x", "size_y")}
        placed.append({"id": -number, "card_id": made["id"], "parameter_mappings": [], **place})
    words = {"name": wanted["name"], "description": wanted["description"]}
    dashboard = int(metabase.ask("POST", "dashboard", words)["id"])
    metabase.ask("PUT", f"dashboard/{dashboard}", {**words, "dashcards": placed})
    return dashboard


def main() -> None:
    """Read the arguments and load."""
    key = os.environ.get("METABASE_API_KEY", "")
    if len(sys.argv) != 3 or not key:
        sys.exit(__doc__)
    metabase = Metabase(sys.argv[1], key)
    wanted = json.loads(Path(__file__).with_name("dashboard.json").read_text("utf-8"))
    number = load(metabase, database_id(metabase, sys.argv[2]), wanted)
    print(f"made {len(wanted['cards'])} cards and the dashboard {metabase.address}/dashboard/{number}")


if __name__ == "__main__":
    main()
