"""Writes docs/config.md from the declared options and config.example.toml: `python -m tests.papers.config_page`.

With `--check` it only says whether the page is current. The keys of the tables that belong to no API come from the
example, which tests hold to the loader; those of a source and of its streams come from their declarations.
"""

import re
import runpy
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from syncd.config import SourceSpec, StreamSpec
from syncd.config.duration import format_duration
from syncd.config.model import IN_FLIGHT
from syncd.config.option import REQUIRED, OptionSpec
from syncd.engine.lookups import KEYS_MAX, LOOKUP_TIMEOUT_S
from syncd.sources import specs
from syncd.storage.postgres.embedded import READER
from syncd.storage.postgres.reading import RECORDS_AT_ONCE, VALUES_AT_ONCE

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "config.md"
EXAMPLE = ROOT / "config.example.toml"
INTRODUCTION = """\
# Configuration

This page is written by `python -m tests.papers.config_page` from declared options and `config.example.toml`.
CI fails if it is not current. Do not edit it.

The configuration is one TOML file. syncd looks for it at `--config`, then `$SYNCD_CONFIG`, `./config.toml` and
`/etc/syncd/config.toml`. An unknown key is an error that names the nearest known key.
`syncd check` names every problem. A relative path counts from the directory of the file.

`include`, above the first table, names files of more accounts: a pattern such as `"accounts.d/*.toml"`, or a list of
patterns. They count from the directory of the file and are read in the order of their paths. These files hold
`[sources.NAME]` and nothing else. A pattern that no file matches is an error, and so is a source that two files name.
A reload (SIGHUP) reads them again.

A *duration* is `"30s"`, `"5m"`, `"6h"`, `"7d"` or `"1h30m"`. A *secret* is one of these:

| form | is read from |
|---|---|
| `{ env = "NAME" }` | an environment variable |
| `{ file = "/etc/syncd/secrets/name" }` | a file that only its owner can read (`chmod 600`) |
| `{ credential = "name" }` | a systemd credential (`LoadCredential=name:/path` in the unit) |
| `"the text itself"` | the configuration; then `chmod 600` this file too |

"""
GENERAL = {
    "database": "Where the mirror is kept. A change needs a restart.",
    "http": "The status page, metrics and health checks. A change needs a restart.",
    "log": "How syncd logs to stderr.",
    "retention": "How long syncd keeps what it knows of the past.",
    "scale": "Only for workers. See [from one machine to many](scale.md). A change needs a restart.",
    "privacy": "See [personal data](privacy.md).",
    "notify": "Who is told of what needs a look. See [notifications](notifications.md).",
    "sources_from": f"""\
Accounts from a table, for those who have thousands of them. The query gives one account in each row:

| column | holds |
|---|---|
| `name` | the name of the source |
| `type` | its type |
| `options` | optional: a JSON object with keys of `[sources.NAME]`, also `streams`, `budget` and `timeouts` |
| any other | the key of `[sources.NAME]` with this name; null says nothing |

A secret does not stand in the table, only where it lies: `env:NAME`, `file:PATH` or `credential:NAME`, or in JSON as in
this file. The text of a secret is refused. A relative path counts from the directory of this file.

A row that is wrong costs this account and no other. `syncd check` and the log name it with the reason, and until it is
mended it is not run. If the query fails or gives no row, everything stays as it was. A source of this name in a file
counts before a row.

The query can only read: it runs in a read-only transaction and, where that role is there, as `{READER}`. It may take
{LOOKUP_TIMEOUT_S:.0f} s for each {RECORDS_AT_ONCE:,} rows. `syncd check` runs it and says what it gives.
`syncd config show` shows each account with its origin.""",
}
OF_EVERY_STREAM = "sources.shop.streams.customers"
OF_EVERY_BUDGET = "sources.shop.budget"
OF_EVERY_TIMEOUT = "sources.shop.timeouts"


def tables() -> dict[str, list[tuple[str, str, str]]]:
    """Return key, value and comment of each line of the example, by the name of its table."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    name = ""
    for line in EXAMPLE.read_text().splitlines():
        if head := re.match(r"#? ?\[([\w.]+)\]", line):
            name = head[1]
            found[name] = []
        elif name and (key := re.match(r"(?:# )?([a-z_]+) = (.*?)\s*(?:\s# ?(.*))?$", line)):
            found[name].append((key[1], key[2], key[3] or ""))
        elif name and (more := re.match(r"# {10,}#? *(\S.*)", line)) and found[name]:
            key_, value, comment = found[name][-1]
            found[name][-1] = (key_, value, f"{comment} {more[1]}".strip())
    return found


def page() -> str:
    """Return the page as it should be."""
    return INTRODUCTION + "\n".join(_parts(tables()))


def _parts(example: dict[str, list[tuple[str, str, str]]]) -> Iterator[str]:
    for name, words in GENERAL.items():
        yield f"## [{name}]\n\n{words}\n\n{_example_table(example[name])}"
    yield (
        "## [sources.NAME]\n\nOne account at one API. `NAME` is yours to choose; it becomes the column `source`.\n"
        "It starts with a letter and holds letters, digits, `_` and `-`. `type` is required and is one of "
        f"{', '.join(f'`{name}`' for name in specs())}.\n"
    )
    budget = _example_table(example[OF_EVERY_BUDGET])
    yield f"## [sources.NAME.budget]\n\nThese keys can only lower what the server allows.\n\n{budget}"
    timeouts = _example_table(example[OF_EVERY_TIMEOUT])
    yield (
        "## [sources.NAME.timeouts]\n\nA request that meets one fails its run, and the next tick tries again. "
        f"A backfill sends it again, up to four times.\n\n{timeouts}"
    )
    yield (
        "## [sources.NAME.streams.STREAM]\n\nEvery stream of a source runs on its default schedule. These keys change "
        f"it, for any stream:\n\n{_example_table(example[OF_EVERY_STREAM])}"
    )
    yield QUERIES
    for spec in specs().values():
        yield from _source(spec)


QUERIES = f"""\
A stream that asks for records by key takes the keys as a list, or from a query: `ids = [...]` or `ids_query`.
The query is one `SELECT` on the mirror's database. Its first column is the key.
It may take {LOOKUP_TIMEOUT_S:.0f} s for each {VALUES_AT_ONCE:,} rows, and give {KEYS_MAX:,} keys.
It can only read: it runs in a read-only transaction and, where that role is there, as `{READER}`.
The private server has the role, and `deploy/roles.sql` makes it.
`syncd check` runs every query and says what it gives.
"""


def _source(spec: SourceSpec) -> Iterator[str]:
    address = f"`{spec.base_url}`" if spec.base_url else "required"
    rows = [("base_url", "url", address, "Address of the API; `http://` works for loopback only")]
    rows.append(
        ("proxy", "secret", "that of `[http]`", "Proxy for its requests, as `proxy` in `[http]`; `off` for none")
    )
    rows.append(("in_flight", "integer", f"`{IN_FLIGHT}`", "Requests on the wire at once; `1`: one after the other"))
    options = _table(("key", "type", "default", "says"), [*rows, *_options(spec.options.items())])
    yield f'## type = "{spec.type}"\n\n{options}'
    streams = [
        (f"`{stream.name}`", _interval(stream.every_s), _interval(stream.sweep_s), _keys(stream))
        for stream in spec.streams.values()
    ]
    yield _plain_table(("stream", "every", "sweep", "more keys"), streams)
    of_streams = [
        (f"{stream.name}.{name}", option) for stream in spec.streams.values() for name, option in stream.options.items()
    ]
    if of_streams:
        yield _table(("key of a stream", "type", "default", "says"), list(_options(of_streams)))


def _options(options: Iterable[tuple[str, OptionSpec]]) -> Iterator[tuple[str, str, str, str]]:
    for name, option in options:
        words = option.comment[:1].upper() + option.comment[1:]
        if option.choices:
            words += f"; one of {', '.join(f'`{choice}`' for choice in option.choices)}"
        if option.minimum is not None or option.maximum is not None:
            words += f"; {_bounds(option)}"
        yield name, option.kind, _default(option), words


def _bounds(option: OptionSpec) -> str:
    least, most = (
        "" if bound is None else f"`{format_duration(bound)}`" if option.kind == "duration" else f"`{bound:g}`"
        for bound in (option.minimum, option.maximum)
    )
    return f"from {least} to {most}" if least and most else f"at least {least}" if least else f"at most {most}"


def _default(option: OptionSpec) -> str:
    if option.default is REQUIRED:
        return "required"
    if option.default is None:
        return "–"
    if option.kind == "duration":
        return f"`{format_duration(float(str(option.default)))}`"
    return f"`{str(option.default).lower() if option.kind == 'bool' else option.default}`"


def _interval(seconds: float | None) -> str:
    return f"`{format_duration(seconds)}`" if seconds else "–"


def _keys(stream: StreamSpec) -> str:
    return ", ".join(f"`{name}`, `{name}_query`" for name in stream.lookup) or "–"


def _example_table(rows: list[tuple[str, str, str]]) -> str:
    return _table(("key", "default or example", "says"), [(key, f"`{value}`", says) for key, value, says in rows])


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return _plain_table(head, [(f"`{key}`", *rest) for key, *rest in rows])


def _plain_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page())
        runpy.run_module("tests.papers.man_pages", run_name="__main__")  # they say the same
    elif PAGE.read_text() != page():
        sys.exit("docs/config.md is not current: python -m tests.papers.config_page")
