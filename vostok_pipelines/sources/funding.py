"""Funding rates of Binance's USD-M perpetual futures: one row for each settlement, by the month."""

from __future__ import annotations

import polars as pl

from vostok_core.lake.tables import TIME
from vostok_pipelines.sources.common import Field, Layout, Source, SourceFile, parse
from vostok_pipelines.sources.frames import whole_times

BINANCE = Layout(
    "Binance USD-M funding rates",
    (
        Field("calc_time", pl.Int64, is_time=True),
        Field("funding_interval_hours", pl.Int64),
        Field("last_funding_rate", pl.Float64),
    ),
)


def read_binance(source: SourceFile) -> Source:
    """Read a file of funding rates: rows of the table `funding`, in the order of the file.

    Raises:
        SourceFormatError: It is not one.
    """
    parsed = parse(source, (BINANCE,))
    parsed.require(
        pl.col("funding_interval_hours").is_between(1, 24), "funding_interval_hours", "from 1 to 24"
    )
    parsed.require(
        pl.col("last_funding_rate").is_finite() & pl.col("last_funding_rate").is_between(-1, 1),
        "last_funding_rate",
        "a fraction from -1 to 1",
    )
    times = whole_times(parsed, "calc_time")
    parsed.require(times.diff().fill_null(1) > 0, "calc_time", "later than that of the line before")
    frame = parsed.frame.select(
        ts=times.cast(TIME), interval_hours="funding_interval_hours", rate="last_funding_rate"
    )
    return Source(frame)
