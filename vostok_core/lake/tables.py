"""Every table of the lake, declared once.

A `Table` says how it is partitioned and what its columns hold; pandera checks (`schemas`), the
DuckDB views (`catalog`), the Dagster column schemas and `docs/lake.md` are all derived from it.
Those of the daemon's journal, and what is made of them, stand in `live_tables`.
"""

from __future__ import annotations

import polars as pl

from vostok_core.errors import UnknownName
from vostok_core.lake.declare import BEST_MATCH, TIME, TRADE_COLUMNS, Column, Table
from vostok_core.lake.declare import ts_column as _ts
from vostok_core.lake.live_tables import LIVE_TABLES

__all__ = ["TABLES", "TIME", "Column", "Table", "table"]

_F = pl.Float64
_OHLCV = (
    Column("open", _F, "first price", "quote per base", gt=0),
    Column("high", _F, "highest price", "quote per base", gt=0),
    Column("low", _F, "lowest price", "quote per base", gt=0),
    Column("close", _F, "last price", "quote per base", gt=0),
    Column("volume", _F, "quantity traded", "base", ge=0),
)
_RETURN = "fraction of the entry price"
_DAILY = (
    Column("date", pl.Date, "UTC day"),
    Column("net_return", _F, "return of equity over the day, net of costs", "fraction"),
    Column("benchmark_return", _F, "return of holding the instrument", "fraction"),
    Column("trades", pl.Int64, "positions closed on the day", ge=0),
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
        Table(
            "labels",
            ("strategy", "instrument", "date"),
            (
                _ts("decision time: end of the event's bar"),
                Column("side", pl.Int8, "1 long, -1 short"),
                Column("sigma", _F, "volatility over the horizon, known at ts", "log return", gt=0),
                Column("reference", _F, "close of the event's bar", "quote per base", gt=0),
                Column("take_profit", _F, "upper barrier", "quote per base", gt=0),
                Column("stop_loss", _F, "lower barrier", "quote per base", gt=0),
                _ts("time of the entry fill", "entry_ts"),
                Column("entry_price", _F, "price of the entry fill", "quote per base", gt=0),
                _ts("time of the exit fill: when the label is known", "label_end"),
                Column("exit_price", _F, "price of the exit fill", "quote per base", gt=0),
                Column(
                    "touch",
                    pl.String,
                    "what ended it",
                    isin=("take_profit", "stop_loss", "time"),
                ),
                Column("ambiguous", pl.Boolean, "both barriers in one bar: settled against us"),
                Column("gross_return", _F, "before costs", _RETURN),
                Column("net_return", _F, "after fees and slippage", _RETURN),
                Column("label", pl.Int8, "1 when net_return > 0, else 0"),
                Column("valid", pl.Boolean, "no gap or silence between ts and label_end"),
            ),
            "Triple-barrier labels of the strategy's events, costs inside.",
            unique=("ts",),
        ),
        Table(
            "predictions",
            ("strategy", "instrument", "week"),
            (
                _ts("decision time: end of the event's bar"),
                Column("score", _F, "raw score of the trees"),
                Column("probability", _F, "calibrated probability of a net profit", ge=0, le=1),
                Column("threshold", _F, "probability above which the week's model trades"),
                Column("sigma", _F, "volatility over the horizon, known at ts", "log return"),
                Column("reference", _F, "close of the event's bar", "quote per base", gt=0),
                Column("valid", pl.Boolean, "features known, and no gap within their reach"),
                Column("model", pl.String, "manifest hash of the week's bundle"),
            ),
            "Out-of-sample probabilities of a week's events, by that week's model.",
            unique=("ts",),
        ),
        Table(
            "trials",
            ("strategy", "instrument", "configuration"),
            _DAILY,
            "Out-of-sample daily returns of every configuration ever walked forward: of each, the "
            "path that reaches furthest. For counting trials; decisions look at `backtest_daily`.",
            sort_by=("date",),
            unique=("date",),
        ),
        Table(
            "backtest_trades",
            ("strategy", "instrument", "week"),
            (
                _ts("decision time", "decision_ts"),
                _ts("time of the entry fill", "entry_ts"),
                Column("entry_price", _F, "average entry price", "quote per base", gt=0),
                _ts("time of the last exit fill", "exit_ts"),
                Column("exit_price", _F, "average exit price", "quote per base", gt=0),
                Column("qty", _F, "size of the position", "base", gt=0),
                Column("exit_reason", pl.String, "what ended it"),
                Column("probability", _F, "probability at the decision"),
                Column("fees", _F, "fees paid", "quote", ge=0),
                Column("slippage", _F, "assumed slippage paid", "quote", ge=0),
                Column("net_pnl", _F, "profit after costs", "quote"),
                Column("net_return", _F, "profit after costs", "fraction of the entry's worth"),
            ),
            "Closed positions of the out-of-sample path up to the week's Monday.",
            sort_by=("entry_ts",),
        ),
        Table(
            "backtest_equity",
            ("strategy", "instrument", "week"),
            (
                _ts("time of the mark"),
                Column("equity", _F, "cash plus position marked at the bar's close", "quote"),
                Column("benchmark", _F, "worth of holding the instrument instead", "quote"),
                Column("position", _F, "quantity held", "base"),
            ),
            "Hourly equity of the out-of-sample path up to the week's Monday.",
            unique=("ts",),
        ),
        Table(
            "backtest_daily",
            ("strategy", "instrument", "week"),
            _DAILY,
            "Daily returns of the out-of-sample path up to the week's Monday.",
            sort_by=("date",),
            unique=("date",),
        ),
        Table(
            "backtest_halts",
            ("strategy", "instrument", "week"),
            (
                _ts("when it happened"),
                Column("reason", pl.String, "what stopped it"),
            ),
            "When the engine stopped trading on the out-of-sample path, until a person would have "
            "acted. Nobody acts in a backtest: nothing is opened after the first.",
        ),
        Table(
            "backtest_statistics",
            ("strategy", "instrument", "week"),
            (
                Column("name", pl.String, "name of the statistic"),
                Column("value", _F, "its value", nan=True),
                Column("unit", pl.String, "its unit"),
                Column("description", pl.String, "what it says"),
            ),
            "Statistics of the out-of-sample path up to the week's Monday.",
            sort_by=(),
            unique=("name",),
        ),
        Table(
            "promotions",
            ("strategy", "instrument", "week"),
            (
                Column("rule", pl.String, "name of the rule"),
                Column("value", _F, "what was measured", nan=True),
                Column("bound", _F, "what the profile asks for", nan=True),
                Column("comparison", pl.String, "how they compare", isin=(">=", "<=", ">", "<")),
                Column("verdict", pl.String, "whether it does", isin=("pass", "fail")),
                Column("reason", pl.String, "the verdict in plain words"),
                Column("decision", pl.String, "of all rules", isin=("promoted", "refused")),
                Column("profile", pl.String, "name of the gate profile"),
                Column("profile_hash", pl.String, "hash of the gate profile"),
                Column("configuration", pl.String, "hash of the strategy configuration"),
                Column("bundle", pl.String, "manifest hash of the candidate bundle"),
                Column("trials", pl.Int64, "configurations that are allowed for", ge=1),
                Column(
                    "enters_service",
                    pl.Boolean,
                    "promoted, and no bundle of a later week was in service",
                ),
            ),
            "Every gate decision, one row per rule, with its reasons.",
            sort_by=(),
            unique=("rule",),
        ),
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
