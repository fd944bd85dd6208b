"""Writes docs/logging.md from the code: `python -m tests.papers.log_events`.

With `--check` it only says whether the page is current.

Every call of a module's `_log` is found in its syntax tree; what an event means stands in `syncd/log/events.py`.
"""

import ast
import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import syncd
from syncd.log.events import EVENTS

PACKAGE = Path(syncd.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "logging.md"
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}

INTRODUCTION = """\
# The log

This page is written by `python -m tests.papers.log_events` from the code itself.
CI fails if it is not current. Do not edit it: what an event means stands in `syncd/log/events.py`.

syncd logs to stderr, one event on each line. Under systemd and in pipes a line is JSON. On a terminal it is text for
people. `[log]` in the configuration sets format and level. The name of an event never varies; what varies is in its
fields. `timestamp` (UTC), `level`, `logger` and `event` are on every line. No line holds a secret, a query string or
the content of a record: secrets, values under names such as `password`, and what looks like a credential become `***`.

Every run logs one `run_finished`. An outage logs one line when it begins and one when it is over.

```sh
journalctl -u syncd -o cat -g '"level":"(warning|error)"'                    # what went wrong
journalctl -u syncd -o cat -S today | jq -c 'select(.event == "run_finished" and .outcome != "ok")'
journalctl -u syncd -o cat -f | jq -r 'select(.event == "run_finished") | [.source, .stream, .outcome, .seen] | @tsv'
```

Lines of libraries are logged from level `warning` up, with the library's logger (`aiohttp…`, `apscheduler…`,
`asyncio`). Their event is a sentence.

"""


@dataclass
class Call:
    """One call that logs: a name of an event, its levels, its fields, and those that are not on every line."""

    event: str
    module: str
    levels: tuple[str, ...]
    fields: tuple[str, ...]
    sometimes: tuple[str, ...] = field(default=())


@functools.cache
def calls() -> list[Call]:
    """Return every call that logs, in order of event and module. Raises ValueError for one that cannot be read."""
    found = [
        call
        for path in sorted(PACKAGE.rglob("*.py"))
        for call in _calls_in(
            ast.parse(path.read_text()), ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        )
    ]
    return sorted(found, key=lambda call: (call.event, call.module))


def _calls_in(tree: ast.Module, module: str) -> Iterator[Call]:
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        chosen = {  # tell = _log.info if … else _log.warning
            target.id: node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and _levels_of(node.value)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(function):
            if not isinstance(node, ast.Call):
                continue
            spoken = chosen.get(node.func.id) if isinstance(node.func, ast.Name) else node.func
            if spoken is not None and (levels := _levels_of(spoken)):
                for event in _events_of(node, function, tree, module):
                    yield _call(event, module, levels, node)


def _levels_of(node: ast.expr) -> tuple[str, ...]:
    """Return the levels that an expression may log at; none if it is no method of `_log`."""
    if isinstance(node, ast.IfExp):
        return (*_levels_of(node.body), *_levels_of(node.orelse))
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "_log":
        return (node.attr,)
    return ()


def _events_of(
    call: ast.Call, function: ast.FunctionDef | ast.AsyncFunctionDef, tree: ast.Module, module: str
) -> list[str]:
    """Return the names that a call may log: its literal, or those that the function around it is called with."""
    said = call.args[0]
    if isinstance(said, ast.Constant):
        return [str(said.value)]
    names = [argument.arg for argument in function.args.args if argument.arg != "self"]
    if isinstance(said, ast.Name) and said.id in names:
        return sorted(
            str(node.args[names.index(said.id)].value)  # type: ignore[attr-defined]
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == function.name
        )
    raise ValueError(f"{module}:{call.lineno}: the name of the event is not to be read from the code")


def _call(event: str, module: str, levels: tuple[str, ...], call: ast.Call) -> Call:
    fields = [keyword.arg for keyword in call.keywords if keyword.arg]
    sometimes = [
        str(key.value)
        for keyword in call.keywords
        if keyword.arg is None
        for node in ast.walk(keyword.value)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    ]
    fields += ["exception"] if "exception" in levels else []
    return Call(event, module, tuple(LEVELS[level] for level in levels), tuple(fields), tuple(sometimes))


def page() -> str:
    """Return the page as it should be."""
    lines = ["| event | level | logger | fields | says |", "|---|---|---|---|---|"]
    for event, group in groupby(calls(), key=lambda call: call.event):
        same = list(group)
        levels = dict.fromkeys(level for call in same for level in call.levels)
        modules = dict.fromkeys(call.module for call in same)
        everywhere = [name for name in same[0].fields if all(name in call.fields for call in same)]
        sometimes = dict.fromkeys(
            name for call in same for name in (*call.fields, *call.sometimes) if name not in everywhere
        )
        fields = [f"`{name}`" for name in everywhere] + [f"`{name}`?" for name in sometimes]
        cells = (f"`{event}`", ", ".join(levels), ", ".join(modules), " ".join(fields), EVENTS.get(event, ""))
        lines.append(f"| {' | '.join(cells)} |")
    return (
        f"{INTRODUCTION}## The events\n\nA field with a question mark is not on every line.\n\n"
        + "\n".join(lines)
        + "\n"
    )


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        sys.exit("docs/logging.md is not current: python -m tests.papers.log_events")
