"""Draws boxes and what leads to what among them as SVG: what is led to stands on the right."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

ROW, HEAD, WIDTH = 17, 24, 190
GAP_X, GAP_Y, MARGIN, TITLE = 90, 22, 16, 30
STYLE = (
    "text{font:12px ui-sans-serif,system-ui,sans-serif;fill:#222}.n{font-weight:600;fill:#fff}.k{font-weight:600}"
    ".t{font-size:15px;font-weight:600;fill:#555}.b{fill:#fff;stroke:#9ab}.h{fill:#3b6ea5}"
    ".l{fill:none;stroke:#c2703d;stroke-width:1.4}.d{fill:#c2703d}"
)


@dataclass(frozen=True, kw_only=True)
class Box:
    """A table or view: its name and the columns that are shown, each with whether it is part of the key."""

    name: str
    rows: tuple[tuple[str, bool], ...]

    @property
    def height(self) -> int:
        return HEAD + ROW * len(self.rows) + 6


@dataclass(frozen=True, kw_only=True)
class Link:
    """A row of a box that leads to another box."""

    box: str
    row: str
    to: str


def picture(groups: Sequence[tuple[str, Sequence[Box], Sequence[Link]]]) -> str:
    """Draw groups below each other, each with its title; links stay within their group."""
    parts: list[str] = []
    top, width = MARGIN, 0
    for title, boxes, links in groups:
        parts.append(f'<text class="t" x="{MARGIN}" y="{top + 14}">{html.escape(title)}</text>')
        places = _placed(boxes, links, top + TITLE)
        parts += [_link(link, places) for link in links]
        parts += [_box(box, *places[box.name][1:]) for box in boxes]
        top = max(y + box.height for box, _, y in places.values()) + 2 * MARGIN
        width = max(width, *(x + WIDTH + MARGIN for _, x, _ in places.values()))
    size = f'width="{width}" height="{top}" viewBox="0 0 {width} {top}"'
    ground = f'<rect width="{width}" height="{top}" fill="#f7f9fb"/>'
    lines = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>{ground}\n{lines}\n</svg>\n'


def _placed(boxes: Sequence[Box], links: Sequence[Link], top: int) -> dict[str, tuple[Box, int, int]]:
    """Place each box in a column: the further right, the more others lead to it; those without links come last."""
    linked = {name for link in links for name in (link.box, link.to)}
    depth = {box.name: 0 for box in boxes}
    for _ in boxes:
        for link in links:
            depth[link.box] = max(depth[link.box], depth[link.to] + 1)
    deepest = max(depth.values())
    columns: list[list[Box]] = [[] for _ in range(deepest + 1)]
    for box in boxes:
        if box.name in linked:
            columns[deepest - depth[box.name]].append(box)
    loose = [box for box in boxes if box.name not in linked]
    heights = [sum(box.height + GAP_Y for box in column) for column in columns]
    for box in loose:  # where there is room
        shortest = heights.index(min(heights))
        columns[shortest].append(box)
        heights[shortest] += box.height + GAP_Y
    found: dict[str, tuple[Box, int, int]] = {}
    for number, column in enumerate(columns):
        y = top
        for box in _sorted(column, links, found):
            found[box.name] = (box, MARGIN + number * (WIDTH + GAP_X), y)
            y += box.height + GAP_Y
    return found


def _sorted(column: Sequence[Box], links: Sequence[Link], placed: dict[str, tuple[Box, int, int]]) -> list[Box]:
    """Sort a column so that its boxes stand where what leads to them stands."""

    def height_of_neighbours(box: Box) -> float:
        neighbours = [placed[link.box][2] for link in links if link.to == box.name and link.box in placed]
        return sum(neighbours) / len(neighbours) if neighbours else float("inf")

    return sorted(column, key=height_of_neighbours) if placed else list(column)


def _box(box: Box, x: int, y: int) -> str:
    rows = "".join(
        f'<text class="{"k" if key else "c"}" x="{x + 10}" y="{y + HEAD + ROW * place + 14}">{html.escape(name)}</text>'
        for place, (name, key) in enumerate(box.rows)
    )
    return (
        f'<rect class="b" x="{x}" y="{y}" width="{WIDTH}" height="{box.height}" rx="5"/>'
        f'<path class="h" d="M{x} {y + HEAD}v-{HEAD - 5}q0-5 5-5h{WIDTH - 10}q5 0 5 5v{HEAD - 5}z"/>'
        f'<text class="n" x="{x + 10}" y="{y + 16}">{html.escape(box.name)}</text>{rows}'
    )


def _link(link: Link, places: dict[str, tuple[Box, int, int]]) -> str:
    box, x, y = places[link.box]
    _, to_x, to_y = places[link.to]
    row = next(place for place, (name, _) in enumerate(box.rows) if name == link.row)
    start_x, start_y = x + WIDTH, y + HEAD + ROW * row + 10
    end_x, end_y = to_x, to_y + HEAD // 2
    bend = max(40, (end_x - start_x) // 2)
    path = f"M{start_x} {start_y}C{start_x + bend} {start_y} {end_x - bend} {end_y} {end_x} {end_y}"
    return f'<path class="l" d="{path}"/><circle class="d" cx="{start_x}" cy="{start_y}" r="3"/>'
