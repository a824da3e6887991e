"""The tables of the lake as Markdown, for `docs/lake.md`.

Rewrite the page after changing a table: `python -m vostok_core.lake.document docs/lake.md`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from vostok_core.errors import UsageError
from vostok_core.lake.tables import TABLES, TIME, Column, Table

BEGIN = "<!-- tables: made by vostok_core.lake.document from vostok_core/lake/tables.py -->"
END = "<!-- end of tables -->"
_NAMES = {
    pl.Int8: "int8",
    pl.Int64: "int64",
    pl.Float64: "float64",
    pl.Boolean: "boolean",
    pl.String: "text",
    pl.Date: "date",
    TIME: "time (µs, UTC)",
    pl.List(pl.Float64): "list of float64",
}


def lake_markdown() -> str:
    """Every table: what it holds, how it is partitioned, and what its columns may hold."""
    return "\n\n".join(_table_markdown(table) for table in TABLES.values()) + "\n"


def updated(page: str) -> str:
    """A page with the part between its markers made anew.

    Raises:
        UsageError: The page lacks the markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UsageError(
            "the page has no place for the tables", hint=f"put {BEGIN} and {END} into it"
        )
    return f"{before}{BEGIN}\n\n{lake_markdown()}\n{END}{after}"


def _table_markdown(table: Table) -> str:
    path = "/".join([table.name, *(f"{key}=…" for key in table.keys)])
    notes = [f"`{path}/`"]
    if table.many_parts:
        notes.append("several files in a partition")
    if table.sort_by:
        notes.append(f"sorted by {', '.join(f'`{c}`' for c in table.sort_by)}")
    if table.unique:
        notes.append(f"`{'`, `'.join(table.unique)}` unique")
    if table.open_columns:
        notes.append("further float64 columns")
    lines = [
        f"### {table.name}",
        "",
        table.description,
        "",
        "; ".join(notes) + ".",
        "",
        "| column | type | unit | allowed | meaning |",
        "|---|---|---|---|---|",
        *(_row(column) for column in table.columns),
    ]
    return "\n".join(lines)


def _row(column: Column) -> str:
    cells = (
        f"`{column.name}`",
        _NAMES[column.dtype],
        column.unit,
        _allowed(column),
        column.description,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _allowed(column: Column) -> str:
    bounds = [
        f"{sign} {bound:g}"
        for sign, bound in ((">", column.gt), ("≥", column.ge), ("≤", column.le))
        if bound is not None
    ]
    if column.isin is not None:
        bounds.append(", ".join(f"`{value}`" for value in column.isin))
    if column.nan:
        bounds.append("NaN")
    if column.nullable:
        bounds.append("null")
    return "; ".join(bounds)


def main(arguments: list[str]) -> int:
    """Rewrite the pages that are named."""
    for name in arguments:
        page = Path(name)
        page.write_text(updated(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
