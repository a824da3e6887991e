"""The tables of a strategy: what it learns from, what its models say, and what came of it.

They are keyed by strategy and instrument, and most of them by week; `tables` gathers them with the
others.
"""

from __future__ import annotations

import polars as pl

from vostok_core.lake.declare import TIME, Column, Table
from vostok_core.lake.declare import ts_column as _ts

_F = pl.Float64
_RETURN = "fraction of the entry price"
_DECISION = (
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
        "promoted, and neither a later week's model in service, nor a later week walked, nor the "
        "week's model set aside by a person",
    ),
)
_DAILY = (
    Column("date", pl.Date, "UTC day"),
    Column("net_return", _F, "return of equity over the day, net of costs", "fraction"),
    Column("benchmark_return", _F, "return of holding the instrument", "fraction"),
    Column("trades", pl.Int64, "positions closed on the day", ge=0),
    Column(
        "observed",
        _F,
        "share of the day's bars that are there and valid",
        "fraction",
        nullable=True,
        ge=0,
        le=1,
        added=True,
    ),
)

STRATEGY_TABLES = (
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
        _DECISION,
        "The gate's newest decision on the model of each week, one row per rule, with its "
        "reasons. `gate_decisions` has those before it too.",
        sort_by=(),
        unique=("rule",),
    ),
    Table(
        "gate_decisions",
        ("strategy", "instrument", "week", "number"),
        _DECISION,
        "Every decision of the gate, numbered for each week: on evidence that was corrected a "
        "week is decided again.",
        sort_by=(),
        unique=("rule",),
    ),
    Table(
        "service",
        ("strategy", "instrument"),
        (
            Column(
                "ts",
                TIME,
                "when; null where that was not written down",
                unit="UTC, wall time",
                nullable=True,
            ),
            Column(
                "week",
                pl.Date,
                "Monday of the model that serves from then on; null where none does",
                nullable=True,
            ),
            Column("bundle", pl.String, "its manifest hash", nullable=True),
            Column("by", pl.String, "who saw to it: gate, or a person"),
            Column("why", pl.String, "in words"),
            Column(
                "instead_of",
                pl.Date,
                "newest week whose model a person set aside by it: nothing that was promoted "
                "of it or before takes over",
                nullable=True,
            ),
        ),
        "What was put into service and taken out of it, by whom and why, in that order.",
        sort_by=(),
    ),
)
