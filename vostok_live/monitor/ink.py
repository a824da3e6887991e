"""What lines of the screen are made of: colours, a name beside what is so, gauges, scales."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich.text import Text

from vostok_live.monitor import words

Lines = list[Text]

GOOD: Final = "#3fb950"
BAD: Final = "#f85149"
WARN: Final = "#e3b341"
LINE: Final = "#58a6ff"
QUIET: Final = "#8b949e"
FAINT: Final = "#484f58"
STRONG: Final = "bold"


def tone(value: float) -> str:
    """The colour of a gain or a loss."""
    return GOOD if value > 0 else BAD if value < 0 else QUIET


def row(name: str, *parts: tuple[str, str]) -> Text:
    """A name, and beside it what is so: texts with their styles."""
    return Text.assemble((f"{name:<10}", QUIET), *parts)


def bounds(values: list[float], levels: Iterable[float]) -> tuple[float, float]:
    """Bounds of a chart: of the numbers, widened for levels that are not far off."""
    low, high = min(values), max(values)
    reach = 3 * max(high - low, 1e-9 * abs(high))
    near = [level for level in levels if low - reach <= level <= high + reach]
    return min([low, *near]), max([high, *near])


def scale(chart: Lines, marks: tuple[str, str]) -> Lines:
    """The chart with what its top and its bottom stand for."""
    wide = max(map(len, marks))
    for line, mark in ((0, marks[0]), (len(chart) - 1, marks[1])):
        if chart and (line == 0 or len(chart) > 1):
            chart[line] = chart[line] + Text(f" {mark:>{wide}}", FAINT)
    return chart


def place(share: float, room: int) -> int:
    """The character at which a share of the way is, of so many."""
    return min(max(round(share * (room - 1)), 0), room - 1)


def gauge(name: str, value: float, limit: float, width: int) -> Text:
    """A loss, and how much of what is allowed that is."""
    used = min(value / limit, 1.0) if limit > 0 else 0.0
    text = row(name, (f"{words.percent(value)}", ""), (f" of {words.percent(limit, 0)} ", QUIET))
    room = min(width - text.cell_len, 12)
    if room < 4:
        return text
    full = round(used * room)
    style = BAD if used > 0.8 else WARN if used > 0.5 else GOOD
    return text.append("━" * full, style).append("━" * (room - full), FAINT)
