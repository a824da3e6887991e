"""Fitting a table into a width: wide texts are cut short, and columns in the middle left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MORE = "…"
"""Stands for what was left out, in a cell or as a column."""

_LEAST = 12  # characters that are kept of a text, where it has as many


@dataclass(frozen=True)
class Fitted:
    """A table that fits, as far as it can.

    Attributes:
        columns: Their names.
        rows: Their cells.
        is_whole: Whether nothing was cut or left out.
        left_out: Names of the columns that were left out.
    """

    columns: list[str]
    rows: list[list[str]]
    is_whole: bool
    left_out: list[str]


def fit(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    is_text: Sequence[bool],
    width: int,
    gap: int,
) -> Fitted:
    """Fit a table into a width.

    Names of columns, and what is no text (numbers, times), are never cut. Where they alone are too
    wide, columns in the middle are left out, but for the first and the last.

    Args:
        columns: Names.
        rows: Cells, each as long as `columns`.
        is_text: Which columns hold text; a column with line breaks in it counts as none.
        width: Characters that there is room for.
        gap: Characters between two columns.
    """
    whole = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    texts = [
        flag and not any("\n" in row[place] for row in rows) for place, flag in enumerate(is_text)
    ]
    least = [
        max(len(name), min(wide, _LEAST)) if text else wide
        for name, wide, text in zip(columns, whole, texts, strict=True)
    ]
    kept = _kept(least, width, gap)
    room = width - sum(least[place] for place in kept) - gap * (len(kept) - 1)
    if len(kept) < len(columns):
        room -= len(MORE) + gap
    given = dict(zip(kept, _shared([whole[i] - least[i] for i in kept], room), strict=True))
    widths = {place: least[place] + given[place] for place in kept}

    def chosen(cells: Sequence[str]) -> list[str]:
        made = [_cut(cells[i], widths[i]) if texts[i] else cells[i] for i in kept]
        if len(kept) < len(columns):
            made.insert((len(kept) + 1) // 2, MORE)
        return made

    is_whole = len(kept) == len(columns) and all(widths[i] == whole[i] for i in kept)
    left_out = [name for place, name in enumerate(columns) if place not in kept]
    return Fitted(chosen(columns), [chosen(row) for row in rows], is_whole, left_out)


def _kept(least: Sequence[int], width: int, gap: int) -> list[int]:
    """The columns that there is room for: all, or as many of the first and the last as fit."""
    every = list(range(len(least)))
    if sum(least) + gap * (len(least) - 1) <= width:
        return every
    for count in range(len(least) - 1, 1, -1):
        kept = every[: (count + 1) // 2] + every[len(every) - count // 2 :]
        if sum(least[i] for i in kept) + gap * count + len(MORE) <= width:
            return kept
    return every if len(every) < 3 else [every[0], every[-1]]


def _shared(wanted: Sequence[int], room: int) -> list[int]:
    """Room for each of those who want some: the modest get all, the others the same."""
    given = [0] * len(wanted)
    left = sorted(range(len(wanted)), key=lambda place: wanted[place])
    for number, place in enumerate(left):
        given[place] = max(0, min(wanted[place], room // (len(left) - number)))
        room -= given[place]
    return given


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - len(MORE)] + MORE
