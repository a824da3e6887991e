"""Lines of numbers drawn in text, in the dots of Braille: two across and four down in a character.

A chart is as wide as it is given room. More numbers than columns of dots share them, and a column
shows the lowest and the highest of its own; fewer are joined by straight lines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.text import Text

_BLANK = 0x2800
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_LEVEL = "┈"


@dataclass(frozen=True, slots=True)
class Level:
    """A line across the chart, beneath the numbers.

    Attributes:
        value: Its height.
        style: Its colour, as Rich names it.
    """

    value: float
    style: str


def line_chart(
    values: Sequence[float],
    width: int,
    height: int,
    *,
    style: Callable[[float], str],
    levels: Sequence[Level] = (),
    bounds: tuple[float, float] | None = None,
) -> list[Text]:
    """Draw numbers as a line.

    Args:
        values: Finite, oldest first.
        width: Characters.
        height: Lines.
        style: Colour of a number.
        levels: Those within the chart's bounds are drawn.
        bounds: What the lowest and the highest dots stand for; by default the numbers' extremes.

    Returns:
        `height` lines of `width` characters.
    """
    if width <= 0 or height <= 0:
        return []
    cells = [[_BLANK] * width for _ in range(height)]
    styles = [""] * width
    low, high = bounds or (min(values, default=0.0), max(values, default=0.0))
    rows = 4 * height

    def row(value: float) -> int:
        """Dots from the top; a line without a rise runs through the middle."""
        share = (value - low) / (high - low) if high > low else 0.5
        return min(max(round((1.0 - share) * (rows - 1)), 0), rows - 1)

    before: float | None = None
    for x, (least, most, last) in enumerate(_columns(values, 2 * width)):
        # A column begins where the one before it ended, so that the line has no holes.
        start = last if before is None else before
        for y in range(row(max(most, start)), row(min(least, start)) + 1):
            cells[y // 4][x // 2] |= _DOTS[x % 2][y % 4]
        styles[x // 2] = style(last)
        before = last
    beneath = {row(level.value) // 4: level.style for level in levels if low <= level.value <= high}
    return [_line(cells[y], styles, beneath.get(y)) for y in range(height)]


def _columns(values: Sequence[float], columns: int) -> list[tuple[float, float, float]]:
    """Lowest, highest and last number of each column of dots."""
    count = len(values)
    if count == 0:
        return []
    if count < columns:
        return [(each, each, each) for each in _stretched(values, columns)]
    edges = [x * count // columns for x in range(columns + 1)]
    parts = (values[a:b] for a, b in pairwise(edges))
    return [(min(part), max(part), part[-1]) for part in parts]


def _stretched(values: Sequence[float], columns: int) -> list[float]:
    if len(values) == 1:
        return [values[0]] * columns
    found = []
    for x in range(columns):
        place = x * (len(values) - 1) / (columns - 1)
        first = min(math.floor(place), len(values) - 2)
        share = place - first
        found.append(values[first] * (1.0 - share) + values[first + 1] * share)
    return found


def _line(cells: Sequence[int], styles: Sequence[str], level: str | None) -> Text:
    line = Text(no_wrap=True)
    for cell, style in zip(cells, styles, strict=True):
        if cell != _BLANK:
            line.append(chr(cell), style)
        elif level is not None:
            line.append(_LEVEL, level)
        else:
            line.append(" ")
    return line
