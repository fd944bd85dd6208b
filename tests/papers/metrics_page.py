"""Writes docs/metrics.md from the metrics of an empty status: `python -m tests.papers.metrics_page`.

With `--check` it only says whether the page is current.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from syncd.service.web import metrics

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
INTRODUCTION = """\
# Metrics

This page is written by `python -m tests.papers.metrics_page` from the code itself.
CI fails if it is not current. Do not edit it.

`http.listen` serves `/metrics` in Prometheus' text format. Labels are names of the configuration and words of a fixed
set. A label holds no personal data. A gauge shows how things stand now. A counter begins at zero when the
process starts and only grows. Runs, rows and requests count the work of every process that shares the database.

With more than 4,000 streams, the series of all sources are summed: `source="*"`. A gauge of an age then tells the
oldest, any other gauge a sum or a count, and what is left of a budget is that of the source which has the least. Rows
in the mirror, next runs and limits are left out. Of streams that are late, failing or paused, the first 500 are told by
name in `syncd_stream_state`, and are not counted in the sum.

[The install page](../deploy/install.md#metrics-and-alerts) shows how Prometheus and Grafana read them.

"""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric as it is declared."""

    name: str
    kind: str
    labels: tuple[str, ...]
    words: str


def declared() -> list[Metric]:
    """Return every metric that the code can write, in its order. Raises ValueError for one that cannot be read."""
    tree = ast.parse(Path(metrics.__file__).read_text())
    return [metric for function in tree.body if isinstance(function, ast.FunctionDef) for metric in _in(function)]


def _in(function: ast.FunctionDef) -> Iterator[Metric]:
    if function.name == "_stream_gauge":  # called with each name
        return
    known = {
        node.targets[0].id: node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    for call in sorted(calls, key=lambda call: call.lineno):
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        if name == "_stream_gauge":
            yield Metric(
                name=f"syncd_{_text(call.args[0])}",
                kind="gauge",
                labels=("source", "stream"),
                words=_text(call.args[1]),
            )
        elif name == "Family":
            yield from _family(call, function, known)


def _family(call: ast.Call, function: ast.FunctionDef, known: dict[str, ast.expr]) -> Iterator[Metric]:
    kind, named, words, labels = call.args[:4]
    for name, said in _names(named, words, function):
        yield Metric(name=name, kind=_text(kind), labels=_labels(labels, known), words=said)


def _names(named: ast.expr, words: ast.expr, function: ast.FunctionDef) -> list[tuple[str, str]]:
    """Return name and words: as they stand in the call, or from the loop around it."""
    if isinstance(named, ast.Constant):
        return [(_text(named), _text(words))]
    loops = [node for node in ast.walk(function) if isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple)]
    return [
        (_text(line.elts[0]), _text(line.elts[1]))
        for loop in loops
        if isinstance(loop.iter, ast.Tuple)
        for line in loop.iter.elts
        if isinstance(line, ast.Tuple)
    ]


def _labels(labels: ast.expr, known: dict[str, ast.expr]) -> tuple[str, ...]:
    if isinstance(labels, ast.Name):
        return _labels(known[labels.id], known)
    if isinstance(labels, ast.Starred):
        return _labels(labels.value, known)
    if isinstance(labels, ast.Constant):
        return (_text(labels),)
    if isinstance(labels, ast.Tuple):
        return tuple(label for element in labels.elts for label in _labels(element, known))
    raise ValueError(f"metrics.py:{labels.lineno}: the labels are not to be read from the code")


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise ValueError(f"metrics.py:{node.lineno}: a text was expected")


def page() -> str:
    """Return the page as it should be."""
    lines = ["| metric | type | labels | says |", "|---|---|---|---|"]
    for metric in declared():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.words} |")
    return INTRODUCTION + "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        sys.exit("docs/metrics.md is not current: python -m tests.papers.metrics_page")
