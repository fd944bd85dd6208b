"""The words of a new configuration: what was asked for, and commented out all else that may be said.

Reads and writes no file; `syncd.init` does.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from syncd.config.address import EMBEDDED
from syncd.config.duration import format_duration
from syncd.config.model import SourceSpec, StreamSpec
from syncd.config.option import OptionSpec

COLUMN: Final = 37  # of the comments beside values

HEAD: Final = """\
# syncd: the configuration. What is commented out is optional and shows its default, or an example.
#
#   durations   "30s", "5m", "6h", "7d", "1h30m"
#   secrets     { env = "NAME" } from the environment, { file = "PATH" } that only its owner can read (chmod 600),
#               { credential = "NAME" } from systemd (LoadCredential=), or "the text itself"
#   unknown keys are errors; a relative path counts from the directory of this file
#
# After a change: syncd check, then (for a running daemon) systemctl reload syncd.

[database]"""
HOUSE: Final = """
[http]
listen = "127.0.0.1:8787"            # status page, /metrics, /healthz, /readyz, /freshz; "off" for none
# callback_listen = "127.0.0.1:8789" # callbacks, and nothing else, if a source has callbacks = true

[log]
# format = "auto"                    # json under systemd and in pipes, console on a terminal; or "json", "console"
# level = "info"                     # debug, info, warning or error

[retention]
# runs = "90d"                       # how long finished runs stay in syncd.runs
# rejects = "365d"                   # how long rejects stay in syncd.rejects
# drift = "90d"                      # how long a field stays in syncd.drift after it was last met

[privacy]
# hash_key = { env = "SYNCD_HASH_KEY" }   # needed where a stream has `hash`; for a new one: openssl rand -hex 32

[notify]
# urls = [{ env = "NOTIFY_URL" }]    # who is told of what needs a look (docs/notifications.md)
# heartbeat_url = { env = "HEARTBEAT_URL" }   # called while all is well
"""


@dataclass(kw_only=True)
class Draft:
    """One source as it was asked for: what to write for each key, as TOML."""

    spec: SourceSpec
    name: str
    values: dict[str, str] = field(default_factory=dict)


def whole(url: str, sources: str) -> str:
    """Return the whole file: the address of the database as TOML, and the tables of the sources."""
    lines = [_line("url", url, "")]
    if url == quoted(EMBEDDED):
        lines = [
            _line("url", url, "a private PostgreSQL in the data directory; or your own:"),
            '# url = "postgresql://syncd@db.example.com/mirror"',
            _line(
                "# data_dir",
                '"/var/lib/syncd"',
                "default: $STATE_DIRECTORY (systemd sets it), else ~/.local/state/syncd",
            ),
        ]
    return "\n".join([HEAD, *lines, HOUSE, "", sources])


def source(draft: Draft) -> str:
    """Return the tables of one source."""
    spec, table = draft.spec, f"sources.{draft.name}"
    lines = [f"# --- {draft.name} ".ljust(120, "-"), "", f"[{table}]", _line("type", quoted(spec.type), "")]
    if "base_url" in draft.values:
        lines.append(_line("base_url", draft.values["base_url"], ""))
    elif spec.base_url:
        lines.append(_line("# base_url", quoted(spec.base_url), ""))
    for key, option in spec.options.items():
        lines.append(_line(key, draft.values[key], option.comment) if key in draft.values else _unset(key, option))
    lines += [
        "",
        "# Every stream runs on its default schedule; any may take `enabled = false`, or `cron` for `every`, and",
        '# `exclude = ["column"]`, `hash = ["column"]` for what is never to be stored, or only as a keyed hash.',
    ]
    for stream in spec.streams.values():
        lines += ["", *_stream(table, stream)]
    lines += [
        "",
        f"# [{table}.budget]".ljust(COLUMN - 1) + " # can only lower what the server allows",
        _line("# per_minute", "300", "requests in any moving minute"),
        _line("# per_day", "10000", "requests a day"),
        _line("# live_reserve", "0.2", "share of the day that a backfill never touches"),
        _line("# backfill_share", "0.6", "share of the minute that a backfill may use"),
        "",
        f"# [{table}.timeouts]",
        _line("# first_byte", quoted(format_duration(spec.timeouts.first_byte_s)), "longest silence of the server"),
        _line("# answer", quoted(format_duration(spec.timeouts.answer_s)), "longest time for a whole answer"),
    ]
    return "\n".join(lines) + "\n"


def _stream(table: str, stream: StreamSpec) -> Iterator[str]:
    if stream.is_fed:
        yield "# The mirror gives its keys, unless you name some: a list, or a query whose first column is the key."
    elif stream.lookup:
        yield "# Off until it has keys: a list, or a query on the mirror whose first column is the key."
    yield f"# [{table}.streams.{stream.name}]"
    if not stream.is_on:
        yield _line("# enabled", "false", "true: read it too")
    if stream.every_s is not None:
        yield _line("# every", quoted(format_duration(stream.every_s)), "")
    if stream.sweep_s is not None:
        yield _line("# sweep", quoted(format_duration(stream.sweep_s)), "how often to list all, to find what is gone")
    for key in stream.lookup:
        yield _line(f"# {key}", '["…"]', "")
        yield _line(f"# {key}_query", '"SELECT …"', "")
    for key, option in stream.options.items():
        yield _unset(key, option)


def _unset(key: str, option: OptionSpec) -> str:
    """Return an option that was not given, commented out, with its default."""
    value = option.default
    if value is None:
        return _line(f"# {key}", quoted("https://sync.example.com") if option.kind == "url" else '"…"', option.comment)
    if option.kind == "duration" and isinstance(value, int | float):
        return _line(f"# {key}", quoted(format_duration(value)), option.comment)
    return _line(f"# {key}", json.dumps(value, ensure_ascii=False), option.comment)


def _line(key: str, value: str, comment: str) -> str:
    said = f"{key} = {value}"
    return f"{said:<{COLUMN - 1}} # {comment}" if comment else said


def quoted(text: str) -> str:
    """Return a text as TOML, which writes it as JSON does."""
    return json.dumps(text, ensure_ascii=False)
