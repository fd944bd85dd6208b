"""`python -m syncd.storage.postgres.embedded supervise …`: the supervisor; `ensure` runs this, nobody else does."""

import argparse
import json
from pathlib import Path

from syncd.storage.postgres.embedded.directory import Layout
from syncd.storage.postgres.embedded.supervisor import supervise

parser = argparse.ArgumentParser(prog="syncd.storage.postgres.embedded")
parser.add_argument("command", choices=["supervise"])
parser.add_argument("data_dir", type=Path)
parser.add_argument("settings", type=json.loads)
parser.add_argument("grace_s", type=float)
given = parser.parse_args()
supervise(Layout(given.data_dir), given.settings, given.grace_s)
