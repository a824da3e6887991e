"""Binance's public trade files: `aggTrades` and `trades`, spot and USD-M futures.

Zip (of one CSV), CSV or CSV.gz, with or without a header. Spot times are in milliseconds before
2025 and in microseconds since; the unit is told from the file.
"""

from __future__ import annotations

import polars as pl

from vostok_pipelines.sources.common import Delimited, Field, Layout, Source, SourceFile, parse
from vostok_pipelines.sources.frames import trades_frame, whole_times

_AGG_FIELDS = (
    Field("agg_trade_id", pl.Int64, ("aggregate_trade_id", "a")),
    Field("price", pl.Float64, ("p",)),
    Field("qty", pl.Float64, ("quantity", "q")),
    Field("first_trade_id", pl.Int64, ("first_id", "f")),
    Field("last_trade_id", pl.Int64, ("last_id", "l")),
    Field("time", pl.Int64, ("transact_time", "timestamp", "T"), is_time=True),
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
    Field("time", pl.Int64, ("timestamp",), is_time=True),
    Field("is_buyer_maker", pl.Boolean),
)
TRADES = (
    Layout("Binance spot trades", (*_TRADE_FIELDS, _BEST)),
    Layout("Binance USD-M trades", _TRADE_FIELDS),
)


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
        **_best_match(parsed),
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
        **_best_match(parsed),
    )
    return Source(frame)


def _best_match(parsed: Delimited) -> dict[str, pl.Expr]:
    """The last column of spot's files; USD-M's don't have it."""
    return {"best_match": pl.col("best_match")} if "best_match" in parsed.frame.columns else {}
