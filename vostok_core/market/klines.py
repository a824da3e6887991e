"""Bars as an exchange published them: merged, and laid on a grid without holes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from vostok_core.lake.tables import table
from vostok_core.market.findings import Finding, contradictions, findings_frame

_PART = "part"


def merge_klines(parts: Sequence[pl.DataFrame]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The klines of one UTC day in time order, once each.

    Args:
        parts: Rows of `raw_klines`, one frame per source file, in the order of landing.

    Returns:
        Rows of the table `klines`, and rows of the table `quality` on klines that were dropped:
        repeated ones, and those that contradict one landed earlier.
    """
    columns = list(table("klines").schema)
    rows = pl.concat(
        [
            part.with_columns(pl.lit(index, pl.Int32).alias(_PART))
            for index, part in enumerate(parts)
        ]
    ).sort("ts", _PART, maintain_order=True)
    repeated = rows.filter(pl.col("ts").is_duplicated())
    found = []
    if repeated.height:
        contents = repeated.unique(columns, keep="first")
        torn = contents.filter(pl.col("ts").is_duplicated())
        exact = repeated.height - contents.height
        span = repeated["ts"].to_physical()
        start, end = int(span[0]), int(span[-1])
        if exact:
            detail = f"{exact} klines repeat one that is already there; they were dropped"
            found.append(Finding("duplicate", "info", start, end, exact, detail))
        # A kline covers the time before its end.
        ends = torn["ts"].to_physical()
        found += contradictions(ends - 1, ends, "klines contradict another of the same time")
        rows = rows.unique("ts", keep="first", maintain_order=True)
    return rows.select(columns), findings_frame(found)


@dataclass(frozen=True)
class Grid:
    """Klines without holes, from the first known price on.

    Attributes:
        ends: End of each kline, int64 microseconds.
        values: float64 arrays by column of the table `klines`. An absent kline has no volume and
            the last close for its prices. A column that the source leaves unknown (null) anywhere
            in the day is NaN everywhere.
    """

    ends: np.ndarray
    values: dict[str, np.ndarray]


def lay_out(
    klines: pl.DataFrame, start: int, end: int, interval_us: int, previous_close: float | None
) -> Grid:
    """Fill the holes of a day's klines.

    Args:
        klines: Rows of the table `klines`, sorted by time.
        start: Start of the grid, microseconds.
        end: Its end.
        interval_us: Length of a kline, microseconds.
        previous_close: Last price before `start`; without it the grid begins at the first kline.
    """
    ends = np.arange(start + interval_us, end + 1, interval_us, dtype=np.int64)
    at = (klines["ts"].to_physical().to_numpy() - start) // interval_us - 1
    present = np.zeros(ends.size, dtype=np.bool_)
    present[at] = True
    # Index of the newest kline at each place of the grid; -1 before the first.
    newest = np.cumsum(present) - 1
    close = np.concatenate(
        (klines["close"].to_numpy(), [np.nan if previous_close is None else previous_close])
    )[newest]
    values = {}
    for name in ("open", "high", "low", "close"):
        values[name] = close.copy()
        values[name][at] = klines[name].to_numpy()
    for name in ("volume", "quote_volume", "trades", "buy_volume"):
        column = klines[name].cast(pl.Float64)
        unknown = column.null_count() > 0 or (klines.is_empty() and name != "volume")
        values[name] = np.full(ends.size, np.nan if unknown else 0.0)
        if not unknown:
            values[name][at] = column.to_numpy()
    known = ~np.isnan(values["close"])
    return Grid(ends[known], {name: array[known] for name, array in values.items()})
