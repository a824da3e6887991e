"""pandera checks made from the declarations in `tables`.

Frames are checked eagerly, before anything is written: pandera checks only the schema of a lazy
frame, not its values.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import NoReturn

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaErrors

from vostok_core.errors import SchemaViolation
from vostok_core.lake.tables import Column, Table


def _conditions(column: Column) -> dict[str, pl.Expr]:
    """What every value of a column must fulfil, by a name that a person reads."""
    value = pl.col(column.name) if column.name else pl.element()
    found: dict[str, pl.Expr] = {}
    if isinstance(column.dtype, pl.List):
        within = replace(column, dtype=column.dtype.inner, name="")
        conditions = {"set": pl.element().is_not_null()} | _conditions(within)
        return {
            f"every value {name}": value.list.eval(condition).list.all()
            for name, condition in conditions.items()
        }
    if column.gt is not None:
        found[f"> {column.gt:g}"] = value > column.gt
    if column.ge is not None:
        found[f">= {column.ge:g}"] = value >= column.ge
    if column.le is not None:
        found[f"<= {column.le:g}"] = value <= column.le
    if column.isin is not None:
        found[f"one of {', '.join(column.isin)}"] = value.is_in(column.isin)
    if column.dtype == pl.Float64:
        if column.nan:
            found = {name: condition | value.is_nan() for name, condition in found.items()}
        else:
            found["finite"] = value.is_finite()
    return found


def _checks(column: Column) -> list[pa.Check]:
    def check(name: str, condition: pl.Expr) -> pa.Check:
        return pa.Check(lambda data: data.lazyframe.select(condition), name=name)

    return [check(name, condition) for name, condition in _conditions(column).items()]


@cache
def _all_conditions(table: Table) -> tuple[pl.Expr, ...]:
    conditions = [
        condition.all() for column in table.columns for condition in _conditions(column).values()
    ]
    return tuple(condition.alias(str(number)) for number, condition in enumerate(conditions))


def fits(table: Table, frame: pl.DataFrame) -> bool:
    """Whether a frame passes `pandera_schema(table)`, found in one pass over it.

    pandera runs a query for every check of every column, which for a small partition costs more
    than writing it; so it is asked only when something is wrong, to say what.
    """
    declared = list(table.schema.items())
    if list(frame.schema.items())[: len(declared)] != declared:
        return False
    if not table.open_columns and len(frame.columns) != len(declared):
        return False
    if any(frame[c.name].null_count() for c in table.columns if not c.nullable):
        return False
    if table.unique and frame.select(table.unique).n_unique() != frame.height:
        return False
    conditions = _all_conditions(table)
    return not conditions or all(frame.select(conditions).row(0))


@cache
def pandera_schema(table: Table) -> pa.DataFrameSchema:
    """The pandera schema of a table: types, nulls, allowed values, uniqueness, column order."""
    return pa.DataFrameSchema(
        # pandera counts NaN as null; real nulls are looked for in `validate`.
        {
            c.name: pa.Column(c.dtype, _checks(c), nullable=c.nullable or c.nan)
            for c in table.columns
        },
        strict=not table.open_columns,
        ordered=not table.open_columns,
        unique=list(table.unique) or None,
        name=table.name,
    )


def validate(table: Table, frame: pl.DataFrame, where: str) -> None:
    """Check a frame against its table.

    Raises:
        SchemaViolation: With the first few offending columns, checks and values.
    """
    if not fits(table, frame):
        _refuse(table, frame, where)
    wrong = [
        name
        for name, dtype in frame.schema.items()
        if name not in table.schema and dtype != pl.Float64
    ]
    if wrong:
        raise SchemaViolation(
            f"columns of {table.name!r} that are not float64: {', '.join(wrong[:5])}",
            where=where,
            hint="cast them before writing",
        )


def _refuse(table: Table, frame: pl.DataFrame, where: str) -> NoReturn:
    """Say what is wrong with a frame that doesn't fit."""
    try:
        pandera_schema(table).validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        shown = "; ".join(
            f"{row['column'] or 'frame'}: {row['check']} failed for {row['failure_case']!r}"
            for row in cases.head(3).iter_rows(named=True)
        )
        more = f" and {cases.height - 3} more" if cases.height > 3 else ""
        raise SchemaViolation(
            f"{cases.height} values don't fit the table {table.name!r}: {shown}{more}",
            where=where,
            hint="nothing was written; docs/lake.md lists what each column may hold",
        ) from None
    empty = [c.name for c in table.columns if not c.nullable and frame[c.name].null_count()]
    raise SchemaViolation(
        f"nulls in columns of {table.name!r} that can't hold them: {', '.join(empty[:5])}",
        where=where,
        hint="nothing was written; where a number is unknown, write NaN",
    )
