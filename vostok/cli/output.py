"""Printing tables: to people as a table, to programs as CSV or JSON."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import typer

from vostok.cli.fit import MORE, fit

if TYPE_CHECKING:
    import polars as pl

    from vostok_core.project import Project

Format = Literal["table", "csv", "json"]

_NO_TERMINAL = 120  # columns
_GAP = "  "
_EDGES, _DRAWN_GAP = 2, 3  # characters that a drawn table takes at its sides and between columns


def print_frame(frame: pl.DataFrame, style: Format) -> None:
    """Print a frame to standard output; a table is fitted into the terminal's width."""
    import polars as pl

    if style == "csv":
        typer.echo(frame.write_csv(), nl=False)
    elif style == "json":
        print_json([{k: _plain(v) for k, v in row.items()} for row in frame.rows(named=True)])
    else:
        drawn = sys.stdout.isatty()
        width = _width()
        rows = [[_text(value) for value in row] for row in frame.rows()]
        is_text = [dtype.is_nested() or dtype == pl.String for dtype in frame.dtypes]
        room = (width - _EDGES, _DRAWN_GAP) if drawn else (width, len(_GAP))
        fitted = fit(frame.columns, rows, is_text, *room)
        print_table(fitted.columns, fitted.rows)
        if not fitted.is_whole:
            left = f", without {', '.join(fitted.left_out)}" if fitted.left_out else ""
            typer.echo(
                f"{MORE} stands for what doesn't fit into {width} columns{left}: select fewer, or "
                "have all by --format csv or json",
                err=True,
            )


def print_json(value: object) -> None:
    """Print a JSON document to standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn and wrapped on a terminal, plain aligned columns elsewhere."""
    if sys.stdout.isatty():
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for name in columns:
            table.add_column(Text(name), overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        Console().print(table)
        return
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    for row in [columns, *rows]:
        line = _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo(line.rstrip())


def warn_of_unusable(project: Project) -> None:
    """Name the strategy files that can't be used, where a command goes on without them."""
    files = [str(error.where) for error in project.unusable_strategies.values()]
    if files:
        whose = "its strategy is" if len(files) == 1 else "their strategies are"
        typer.echo(
            f"Warning: {', '.join(files)} can't be used, and {whose} left out. Hint: "
            "`vostok strategy check` says what is wrong",
            err=True,
        )


def _width() -> int:
    """Columns of the terminal, also where only the errors or the input go there.

    `COLUMNS` says it otherwise. Where there is no terminal, it is what a log can be read at.
    """
    named = os.environ.get("COLUMNS", "")
    if named.isdecimal() and int(named):
        return int(named)
    for stream in (1, 2, 0):
        try:
            found = os.get_terminal_size(stream).columns
        except OSError:
            continue
        if found:
            return found
    return _NO_TERMINAL


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ").replace("+00:00", "Z")
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date | Decimal):
        return str(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value if isinstance(value, str | int | bool | None) else str(value)
