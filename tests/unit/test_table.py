"""A table for a pipe is drawn without rich, and looks as rich draws it."""

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from syncd.cli import console
from syncd.cli.table import drawn, is_simple

CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.sampled_from(["ok", "failed", "a\nb", "", "[bold]x[/]"]),
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs"), exclude_characters="\\"), max_size=12),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    names=st.lists(st.text("abc_[]", min_size=1, max_size=8), min_size=1, max_size=4),
    data=st.data(),
    title=st.sampled_from(["", "T"]),
)
def test_a_table_for_a_pipe_is_as_rich_draws_it(names: list[str], data: st.DataObject, title: str) -> None:
    rows: list[list[Any]] = data.draw(st.lists(st.lists(CELLS, min_size=len(names), max_size=len(names)), max_size=5))
    texts = [[console.text_of(cell, name) for cell, name in zip(row, names, strict=True)] for row in rows]
    text = drawn(title, names, texts, console._numeric(names, rows))
    if text is None:
        assert not all(is_simple(cell) for row in texts for cell in row)
        return
    table = console._table(names, rows, title=title)
    by_rich = Console(file=io.StringIO(), width=console._width(table), highlight=False)
    by_rich.print(table)
    assert text == by_rich.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("odd", ["漢字", "e\u0301", "a\tb", "a\rb", "\x1b[31m", "a\u200bb", "🙂"])
def test_text_that_takes_other_columns_than_it_has_signs_is_left_to_rich(odd: str) -> None:
    assert not is_simple(odd)
    assert drawn("", ["a"], [[odd]], [False]) is None
