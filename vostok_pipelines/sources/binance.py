"""Binance's public trade files: `aggTrades` and `trades`, spot and USD-M futures.

Zip (of one CSV), CSV or CSV.gz, with or without a header. Spot times are in milliseconds before
2025 and in microseconds since; the unit is told from the file.
"""

from __future__ import annotations

import polars as pl

from vostok_pipelines.sources.common import Field, Layout, Source, SourceFile, parse
from vostok_pipelines.sources.frames import trades_frame, whole_times

_AGG_FIELDS = (
    Field("agg_trade_id", pl.Int64, ("aggregate_trade_id", "a")),
    Field("price", pl.Float64, ("p",)),
    Field("qty", pl.Float64, ("quantity", "q")),
    Field("first_trade_id", pl.Int64, ("first_id", "f")),
    Field("last_trade_id", pl.Int64, ("last_id", "l")),
    Field("time", pl.Int64, ("transact_time", "timestamp", "T")),
    Field("is_buyer_maker", pl.Boolean, ("m",)),
)
_BEST = Field("best_match", pl.Boolean, ("is_best_match", "M"))
AGG_TRADES = (
    Layout("Binance spot aggTrades", (*_AGG_FIELDS, _BEST)),
    Layout("Binance USD-M aggTrades", _AGG_FIELDS),
)

_TRADE_FIELDS = (
    Field("trade_id", pl.Int64, ("id",)),
    Field("price", pl.Float64),
    Field("qty", pl.Float64, ("quantity",)),
    Field("quote_qty", pl.Float64, ("quote_quantity",)),
    Field("time", pl.Int64, ("timestamp",)),
    Field("is_buyer_maker", pl.Boolean),
)
TRADES = (
    Layout("Binance spot trades", (*_TRADE_FIELDS, _BEST)),
    Layout("Binance USD-M trades", _TRADE_FIELDS),
)

TIME_FIELDS = {"binance-aggtrades": 5, "binance-trades": 4}
"""Formats whose large files are read in blocks -> the place of the time in a line."""


def read_agg_trades(source: SourceFile) -> Source:
    """Read a file of aggregate trades.

    Raises:
        SourceFormatError: It is not one.
    """
    parsed = parse(source, AGG_TRADES)
    parsed.require(
        pl.col("last_trade_id") >= pl.col("first_trade_id"),
        "last_trade_id",
        "at or above first_trade_id",
    )
    frame = trades_frame(
        parsed,
        whole_times(parsed, "time"),
        trade_id=pl.col("agg_trade_id"),
        buyer_maker=pl.col("is_buyer_maker"),
        first_id=pl.col("first_trade_id"),
        last_id=pl.col("last_trade_id"),
    )
    return Source(frame)


def read_trades(source: SourceFile) -> Source:
    """Read a file of single trades.

    Raises:
        SourceFormatError: It is not one.
    """
    parsed = parse(source, TRADES)
    parsed.require(
        pl.col("quote_qty").is_finite() & (pl.col("quote_qty") >= 0),
        "quote_qty",
        "a finite number, 0 or above",
    )
    frame = trades_frame(
        parsed,
        whole_times(parsed, "time"),
        trade_id=pl.col("trade_id"),
        buyer_maker=pl.col("is_buyer_maker"),
    )
    return Source(frame)
