"""Every table of the lake, declared once.

A `Table` says how it is partitioned and what its columns hold; pandera checks (`schemas`), the
DuckDB views (`catalog`), the Dagster column schemas and `docs/lake.md` are all derived from it.
Those of a recorded order book stand in `book_tables`, those of a strategy in `strategy_tables`,
those of the daemon's journal, and what is made of them, in `live_tables`.
"""

from __future__ import annotations

import polars as pl

from vostok_core.errors import UnknownName
from vostok_core.lake.book_tables import BOOK_TABLES
from vostok_core.lake.declare import BEST_MATCH, TIME, TRADE_COLUMNS, Column, Table
from vostok_core.lake.declare import ts_column as _ts
from vostok_core.lake.live_tables import LIVE_TABLES
from vostok_core.lake.strategy_tables import STRATEGY_TABLES

__all__ = ["TABLES", "TIME", "Column", "Table", "table"]

_F = pl.Float64
_OHLCV = (
    Column("open", _F, "first price", "quote per base", gt=0),
    Column("high", _F, "highest price", "quote per base", gt=0),
    Column("low", _F, "lowest price", "quote per base", gt=0),
    Column("close", _F, "last price", "quote per base", gt=0),
    Column("volume", _F, "quantity traded", "base", ge=0),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "raw_trades",
            ("instrument", "date"),
            (
                Column(
                    "trade_id", pl.Int64, "id given by the exchange; null if none", nullable=True
                ),
                _ts("time of the trade"),
                *TRADE_COLUMNS,
                BEST_MATCH,
            ),
            "Trades as landed from source files, in the order of the file: one part per source "
            "file, before merging, those out of use included.",
            sort_by=(),
            many_parts=True,
        ),
        Table(
            "raw_klines",
            ("instrument", "interval", "date"),
            (
                _ts("end of the bar"),
                *_OHLCV,
                Column("quote_volume", _F, "quote traded", "quote", nullable=True, ge=0),
                Column("trades", pl.Int64, "number of trades", nullable=True, ge=0),
                Column("buy_volume", _F, "taker bought", "base", nullable=True, ge=0),
            ),
            "Klines as landed from source files: one part per source file, before merging, those "
            "out of use included.",
            many_parts=True,
        ),
        Table(
            "ticks",
            ("instrument", "date"),
            (
                Column("trade_id", pl.Int64, "id of the trade, unique and increasing"),
                _ts("time of the trade"),
                *TRADE_COLUMNS,
                BEST_MATCH,
            ),
            "Every trade once, in trade-id order.",
            sort_by=("trade_id",),
            unique=("trade_id",),
        ),
        Table(
            "klines",
            ("instrument", "interval", "date"),
            (
                _ts("end of the bar"),
                *_OHLCV,
                Column("quote_volume", _F, "quote traded", "quote", nullable=True, ge=0),
                Column("trades", pl.Int64, "number of trades", nullable=True, ge=0),
                Column("buy_volume", _F, "taker bought", "base", nullable=True, ge=0),
            ),
            "Bars as the exchange published them: what bars are made of where there are no ticks, "
            "and what they are held against where there are.",
            unique=("ts",),
        ),
        Table(
            "funding",
            ("instrument", "date"),
            (
                _ts("when the rate was settled"),
                Column("interval_hours", pl.Int64, "time since the one before", "h", ge=1, le=24),
                Column(
                    "rate",
                    _F,
                    "what a long position pays a short one; the other way round below 0",
                    "fraction of the position's worth",
                    ge=-1,
                    le=1,
                ),
            ),
            "Funding rates of perpetual futures, from the archive's file of their month.",
            unique=("ts",),
        ),
        Table(
            "quality",
            ("instrument", "date"),
            (
                Column("kind", pl.String, "what was found"),
                Column("severity", pl.String, "how bad it is", isin=("info", "warn", "error")),
                _ts("start of the affected span"),
                _ts("end of the affected span", "end_ts"),
                Column("count", pl.Int64, "rows, ids or minutes concerned", ge=0),
                Column("invalidates", pl.Boolean, "bars are invalid once it shows, until it ends"),
                Column("detail", pl.String, "the finding in words"),
                Column(
                    "repaired",
                    pl.String,
                    "what repaired it, so that nothing is wrong any more; null if nothing did",
                    nullable=True,
                    added=True,
                ),
            ),
            "What is wrong or odd about a day of data, a row for each finding (docs/sources.md).",
            sort_by=("ts", "kind"),
        ),
        Table(
            "bars",
            ("instrument", "interval", "date"),
            (
                _ts("end of the bar, which covers [ts - interval, ts)"),
                *_OHLCV,
                Column("quote_volume", _F, "quote traded", "quote", nan=True, ge=0),
                Column("trades", _F, "number of trades", nan=True, ge=0),
                Column("buy_volume", _F, "quantity bought by takers", "base", nan=True, ge=0),
                Column("vwap", _F, "volume-weighted average price", "quote per base", nan=True),
                Column("max_qty", _F, "largest trade", "base", nan=True, ge=0),
                Column("qty_sq_sum", _F, "sum of squared quantities", "base^2", nan=True, ge=0),
                Column(
                    "size_entropy",
                    _F,
                    "Shannon entropy of trade sizes in powers of two",
                    "bit",
                    nan=True,
                    ge=0,
                ),
                Column(
                    "return_sq_sum", _F, "sum of squared log returns between trades", nan=True, ge=0
                ),
                Column("side_changes", _F, "times the taker side changed", nan=True, ge=0),
                Column("first_trade_id", pl.Int64, "id of the first trade", nullable=True),
                Column("last_trade_id", pl.Int64, "id of the last trade", nullable=True),
                Column("valid", pl.Boolean, "no gap or silence had shown when the bar closed"),
                Column("kind", pl.String, "what closes a bar", isin=("time",)),
                Column(
                    "source", pl.String, "what the bar was built from", isin=("ticks", "klines")
                ),
            ),
            "Bars with statistics of their ticks; from klines those statistics are NaN.",
            unique=("ts",),
        ),
        Table(
            "features",
            ("pack", "instrument", "interval", "date"),
            (
                _ts("end of the bar that the features describe"),
                Column("valid", pl.Boolean, "the bar is valid"),
            ),
            "One float64 column per feature of the pack, NaN in the feature's own warm-up.",
            unique=("ts",),
            open_columns=True,
        ),
        Table(
            "ta_catalogue",
            ("instrument", "interval", "date"),
            (_ts("end of the bar that the indicators describe"),),
            "The catalogue of the `ta` library, for research only: no model reads it.",
            unique=("ts",),
            open_columns=True,
        ),
        Table(
            "news",
            ("date",),
            (
                Column("item_id", pl.String, "hash of source and guid, else link, else title"),
                Column("source", pl.String, "name of the feed"),
                _ts("when the publisher says it was published", "published_at"),
                _ts("when Vostok first saw it", "first_seen_at"),
                _ts("when a decision could first use it", "available_at"),
                Column("backfilled", pl.Boolean, "first sight was lost: published_at plus a lag"),
                Column("title", pl.String, "headline, cleaned"),
                Column("summary", pl.String, "body, cleaned; may be empty"),
                Column("link", pl.String, "address; may be empty"),
            ),
            "News items as fetched, by the day they were first seen.",
            sort_by=("available_at", "item_id"),
            unique=("item_id",),
        ),
        Table(
            "sentiment_scores",
            ("date",),
            (
                Column("item_id", pl.String, "the scored item"),
                Column("asset", pl.String, "base asset the score is about, or * for the market"),
                _ts("when a decision could first use the score", "available_at"),
                Column("score", _F, "tone", "-1 to 1", ge=-1, le=1),
                Column("scorer", pl.String, "name of the scorer"),
                Column("scorer_version", pl.String, "its version"),
            ),
            "One score per item, asset and scorer version.",
            sort_by=("available_at", "item_id", "asset"),
        ),
        Table(
            "sentiment",
            ("instrument", "date"),
            (
                _ts("end of the minute"),
                Column("items", _F, "scores that became available in (ts - 1m, ts]", ge=0),
                Column("score_sum", _F, "sum of those scores"),
                Column("score_abs_sum", _F, "sum of their absolute values", ge=0),
            ),
            "Point-in-time sentiment of every minute.",
            unique=("ts",),
        ),
        *BOOK_TABLES,
        *STRATEGY_TABLES,
        *LIVE_TABLES,
    )
}


def table(name: str) -> Table:
    """The declaration of a table.

    Raises:
        UnknownName: No table has that name.
    """
    try:
        return TABLES[name]
    except KeyError:
        raise UnknownName.of("table", name, TABLES, declared_in="docs/lake.md") from None
