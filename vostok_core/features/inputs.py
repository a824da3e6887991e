"""What a step kernel may look at: one row of float64 per bar.

A bar's row is the one that `market.bars` builds (`BAR_FIELDS`). Indices into it are compile-time
constants named after the fields, so that a kernel reads `bar[CLOSE]`.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from vostok_core.market.bars import BAR_FIELDS

(
    TS,
    OPEN,
    HIGH,
    LOW,
    CLOSE,
    VOLUME,
    QUOTE_VOLUME,
    TRADES,
    BUY_VOLUME,
    VWAP,
    MAX_QTY,
    QTY_SQ_SUM,
    SIZE_ENTROPY,
    RETURN_SQ_SUM,
    SIDE_CHANGES,
) = range(len(BAR_FIELDS))

SENTIMENT_FIELDS = ("ts", "items", "score_sum", "score_abs_sum")
S_TS, S_ITEMS, S_SCORE_SUM, S_SCORE_ABS_SUM = range(len(SENTIMENT_FIELDS))

INPUT_FIELDS = {"bars": BAR_FIELDS, "sentiment": SENTIMENT_FIELDS}


def matrix(frame: pl.DataFrame, fields: tuple[str, ...]) -> np.ndarray:
    """The named columns as a C-contiguous float64 array, shape (rows, fields).

    `ts` becomes microseconds, which float64 holds exactly until the year 2255; nulls become NaN.
    """
    columns = [
        (frame[name].to_physical() if name == "ts" else frame[name])
        .cast(pl.Float64)
        .fill_null(float("nan"))
        .to_numpy()
        for name in fields
    ]
    return (
        np.ascontiguousarray(np.column_stack(columns))
        if frame.height
        else np.empty((0, len(fields)))
    )
