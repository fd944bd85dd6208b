"""A question of the cookbook, asked of a part of the rows or of another instant. Makes SQL, executes none.

A condition narrows the views or tables that a question reads, not the rows of its answer: a count then counts these
rows alone.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

_CONDITION: Final = re.compile(r"\s*(?P<column>\w+)\s*(?P<operator>>=|<=|!=|=|<|>)\s*(?P<value>.*?)\s*", re.DOTALL)
_SINCE: Final = re.compile(r"\b(\w+) >= (?:date_trunc\('month', )?reporting\.now\(\)\)? - interval")
_INSTANT: Final = re.compile(r"(?<=_as_of\()'[^']*'")


@cache
def _read(plugin: str) -> re.Pattern[str]:
    """Find the views of `reporting` that a question reads, and the tables in the schema of its plugin."""
    schemas = f"reporting|{re.escape(plugin)}" if plugin else "reporting"
    return re.compile(
        rf"\b(?P<word>FROM|JOIN) (?P<view>(?:{schemas})\.(?P<name>\w+)(?:\('[^']*'\))?)(?: AS (?P<alias>\w+))?"
    )


Columns = Mapping[str, Mapping[str, str]]
"""For each view that a question reads, as it is written there: its columns and their types."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What `--where` asks for: a column, an operator of SQL and a value as typed."""

    column: str
    operator: str
    value: str

    def sql(self, type_name: str) -> str:
        """Return the condition; texts are compared without regard to capitals."""
        value = "'" + self.value.replace("'", "''") + "'"
        if type_name in ("text", "varchar") and self.operator in ("=", "!="):
            return f'lower("{self.column}") {self.operator} lower({value})'
        return f'"{self.column}" {self.operator} {value}'


def parse_condition(text: str) -> Condition:
    """Read a condition such as `make=BMW` or `booked_month>=2026-01-01`; raise ValueError that says what is wrong."""
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ValueError("expected COLUMN=VALUE, or one of != < <= > >= in the place of =")
    return Condition(**found.groupdict())


def views_of(query: str, plugin: str = "") -> list[str]:
    """Return the views, functions and tables that a question reads, as they are written, in order.

    They lie in the schema `reporting`, or in that of the plugin.
    """
    return list(dict.fromkeys(match["view"] for match in _read(plugin).finditer(query)))


def answerable(query: str, columns: Columns, plugin: str = "") -> list[str]:
    """Return the columns by which a question can be narrowed, in the order of its views.

    A view that is joined with LEFT or FULL adds to the rows of another one: narrowing it alone would leave these rows
    and empty their cells.
    """
    views = views_of(query, plugin)
    names = dict.fromkeys(name for view in views for name in columns[view])
    if "FULL JOIN" in query:
        return [name for name in names if all(name in columns[view] for view in views)]
    if "LEFT JOIN" in query:
        return list(columns[views[0]])
    return list(names)


def narrowed(query: str, conditions: Sequence[Condition], columns: Columns, plugin: str = "") -> str:
    """Return the query on those rows alone that meet the conditions; several for one column with = are alternatives."""
    equal = {each.column: [one for one in conditions if one.column == each.column and one.operator == "="]
             for each in conditions if each.operator == "="}  # fmt: skip
    groups = [*equal.values(), *([each] for each in conditions if each.operator != "=")]

    def where(view: str) -> list[str]:
        types = columns[view]
        return [
            " OR ".join(each.sql(types[each.column]) for each in group) for group in groups if group[0].column in types
        ]

    return _with_conditions(query, where, plugin)


def is_dated(query: str) -> bool:
    """Say whether a question asks about an instant, so that another one can be meant."""
    return bool(_INSTANT.search(query) or "reporting.now()" in query)


def instant_of(query: str) -> str | None:
    """Return the instant for which a question asks the history, as a literal of SQL; None if it asks none."""
    found = _INSTANT.search(query)
    return found[0] if found else None


def dated(query: str, instant: str, columns: Columns, plugin: str = "") -> str:
    """Return the query as of another instant (ISO 8601): the history is asked for it, and ranges end there.

    The session's `reporting.now` must say the same instant.
    """
    ranged = set(_SINCE.findall(query))

    def where(view: str) -> list[str]:
        return [f'"{name}" <= reporting.now()' for name in columns[view] if name in ranged]

    return _INSTANT.sub(f"'{instant}'", _with_conditions(query, where, plugin))


def _with_conditions(query: str, where: Callable[[str], Sequence[str]], plugin: str) -> str:
    """Return the query with each view that `where` has conditions for in parentheses, together with these."""

    def replaced(match: re.Match[str]) -> str:
        found = " AND ".join(f"({each})" for each in where(match["view"]))
        if not found:
            return match[0]
        return f"{match['word']} (SELECT * FROM {match['view']} WHERE {found}) AS {match['alias'] or match['name']}"  # noqa: S608  a file of ours or of a plugin

    return _read(plugin).sub(replaced, query)
