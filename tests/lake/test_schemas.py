"""The one-pass check and pandera agree on every table, whatever is wrong with a frame."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandera.errors import SchemaErrors

from vostok_core.errors import SchemaViolation
from vostok_core.lake.schemas import fits, pandera_schema, validate
from vostok_core.lake.tables import TABLES, Column, Table

LIST = pl.List(pl.Float64)
_VALUES: dict[Any, tuple[Any, ...]] = {
    pl.Float64: (-2.0, 0.0, 0.5, 1.0, 7.0, float("nan"), float("inf")),
    pl.Int64: (-1, 0, 1, 5),
    pl.Int8: (-1, 0, 1),
    pl.Boolean: (True, False),
    pl.String: ("", "x"),
    pl.Date: (date(2024, 1, 1), date(2024, 1, 2)),
    LIST: ([], [1.0], [0.5, 7.0], [0.0], [1.0, -2.0], [float("nan")], [1.0, None]),
}
_TIMES = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 0, 1, tzinfo=UTC))


def column_values(column: Column) -> tuple[Any, ...]:
    values = _VALUES.get(column.dtype, _TIMES)
    return (*values, *(column.isin or ()))


def pandera_accepts(table: Table, frame: pl.DataFrame) -> bool:
    try:
        pandera_schema(table).validate(frame, lazy=True)
    except SchemaErrors:
        return False
    return not any(frame[c.name].null_count() for c in table.columns if not c.nullable)


@given(data=st.data())
def test_the_quick_check_agrees_with_pandera(data: st.DataObject) -> None:
    table = data.draw(st.sampled_from(list(TABLES.values())))
    rows = data.draw(st.integers(0, 3))
    columns = {}
    for column in table.columns:
        values = st.sampled_from(column_values(column))
        if data.draw(st.integers(0, 9)) == 0:
            values = values | st.none()
        cells = data.draw(st.lists(values, min_size=rows, max_size=rows))
        columns[column.name] = pl.Series(cells, dtype=column.dtype, strict=False)
    frame = pl.DataFrame(columns, schema=table.schema)
    if data.draw(st.integers(0, 9)) == 0:
        frame = frame.rename({frame.columns[-1]: "other"})
    if "other" in frame.columns:
        assert not fits(table, frame)
        return
    accepted = pandera_accepts(table, frame)
    assert fits(table, frame) == accepted
    if not accepted:
        with pytest.raises(SchemaViolation, match=table.name):
            validate(table, frame, where="here")


def good(table: Table) -> pl.DataFrame:
    """One row that fits."""
    row = {}
    for column in table.columns:
        if column.isin:
            row[column.name] = column.isin[0]
        elif column.dtype in (pl.Float64, pl.Int64, pl.Int8):
            row[column.name] = 1
        elif column.dtype == LIST:
            row[column.name] = [1.0, 2.0]
        elif column.dtype in _VALUES:
            row[column.name] = _VALUES[column.dtype][0]
        else:
            row[column.name] = _TIMES[0]
    return pl.DataFrame([row], schema=table.schema)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_every_table_takes_a_good_row_and_refuses_each_kind_of_bad_one(table: Table) -> None:
    frame = good(table)
    validate(table, frame, where="here")
    with pytest.raises(SchemaViolation):
        validate(table, frame.drop(table.columns[-1].name), where="here")
    for column in table.columns:
        if not column.nullable:
            absent = frame.with_columns(pl.lit(None, dtype=column.dtype).alias(column.name))
            with pytest.raises(SchemaViolation):
                validate(table, absent, where="here")
        below = column.gt if column.gt is not None else column.ge
        if below is not None:
            bad = [1.0, below - 1] if column.dtype == LIST else below - 1
            low = frame.with_columns(pl.Series(column.name, [bad], dtype=column.dtype))
            with pytest.raises(SchemaViolation, match=column.name):
                validate(table, low, where="here")
    if table.unique:
        with pytest.raises(SchemaViolation):
            validate(table, pl.concat([frame, frame]), where="here")
