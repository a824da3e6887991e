"""The tables of the daemon's journal, as it is shipped to the lake, and what is made of them.

One daemon trades one strategy on one instrument, so that both are keys: each partition has one
writer. A day's rows are those of its market time; a bar that ends at midnight belongs to the day it
closes. Prices are ticks, quantities lots and fees atoms (`vostok_core.trading.rules`, as the rules
of the run say), but for those of ticks and steps, which are doubles as everywhere in the lake.
"""

from __future__ import annotations

import polars as pl

from vostok_core.lake.declare import TIME, TRADE_COLUMNS, Column, Table, ts_column

_KEYS = ("strategy", "instrument", "date")
_F = pl.Float64

_BAR = (
    ("open", "first price", "quote per base"),
    ("high", "highest price", "quote per base"),
    ("low", "lowest price", "quote per base"),
    ("close", "last price", "quote per base"),
    ("volume", "quantity traded", "base"),
    ("quote_volume", "quote traded", "quote"),
    ("trades", "number of trades", ""),
    ("buy_volume", "quantity bought by takers", "base"),
    ("vwap", "volume-weighted average price", "quote per base"),
    ("max_qty", "largest trade", "base"),
    ("qty_sq_sum", "sum of squared quantities", "base^2"),
    ("size_entropy", "Shannon entropy of trade sizes in powers of two", "bit"),
    ("return_sq_sum", "sum of squared log returns between trades", ""),
    ("side_changes", "times the taker side changed", ""),
)
_SENTIMENT = (
    ("items", "scores that became available during the bar"),
    ("score_sum", "sum of those scores"),
    ("score_abs_sum", "sum of their absolute values"),
)
_BUNDLE = "manifest hash of the bundle"
_RUN = Column("run", pl.Int64, "number of the start of the daemon", ge=1)
_SEQ = Column("seq", pl.Int64, "number of the event, over all runs", ge=1)


def _wall(description: str, name: str = "wall_ts", *, nullable: bool = False) -> Column:
    return Column(name, TIME, description, unit="UTC, the daemon's wall clock", nullable=nullable)


PARITY_KINDS = (
    "runs", "bars", "sentiment", "features", "events", "scores", "probabilities", "decisions",
    "withheld", "heard", "answers", "commands",
)  # fmt: skip
"""What the proof of parity compares, in the order of the chain (`vostok_core.live.parity`)."""

LIVE_TABLES: tuple[Table, ...] = (
    Table(
        "live_runs",
        _KEYS,
        (
            _RUN,
            Column("seq", pl.Int64, "the newest event before it", ge=0),
            ts_column("from when on bars are made of the journal's trades"),
            _wall("when it started"),
            Column("version", pl.String, "version of Vostok"),
            Column("engine_version", pl.String, "version of the engine"),
            Column("configuration", pl.String, "hash of the strategy configuration"),
            Column(
                "bundle",
                pl.String,
                f"{_BUNDLE} in service when it started; where it saw to exits alone, that of the "
                "run before",
            ),
            Column("name", pl.String, "the run's part of client order ids"),
            Column("config", pl.String, "what the engine was told: EngineConfig, JSON"),
            Column("rules", pl.String, "the grid that its integers count on: Rules, JSON"),
            Column("interval", pl.String, "length of its bars"),
            Column("next_id", pl.Int64, "id of the first trade in them"),
            Column("previous", pl.String, "the trade before it: LastTick, JSON", nullable=True),
            Column("history", pl.String, "hash of the lake's bars before them; may be empty"),
            Column("elsewhere", pl.String, "base in the account that is not the engine's; decimal"),
            Column("speed", _F, "seconds of market time in a second"),
            Column(
                "decide_within",
                pl.Int64,
                "age of a bar beyond which nothing is entered on it",
                "µs of market time",
            ),
            Column("cut_before", TIME, "end of the newest bars cut before it", nullable=True),
            Column("trade_before", pl.Int64, "id of the newest trade before it", nullable=True),
            Column("engine", pl.String, "what the engine knew when it started: a snapshot, JSON"),
        ),
        "Every start of the daemon, by the day from which on bars are made of its trades.",
        sort_by=("run",),
        unique=("run",),
    ),
    Table(
        "live_ticks",
        _KEYS,
        (
            Column("trade_id", pl.Int64, "id of the trade, unique and increasing"),
            ts_column("time of the trade"),
            *TRADE_COLUMNS,
            _wall("when it was seen", "seen_ts"),
        ),
        "Trades of the market as the daemon saw them, in trade-id order.",
        sort_by=("trade_id",),
        unique=("trade_id",),
    ),
    Table(
        "live_cuts",
        _KEYS,
        (
            ts_column("end of the bars that were closed"),
            Column("last_id", pl.Int64, "newest trade in them or before them; -1 before any"),
            Column("by", pl.String, "what closed them", isin=("trade", "timer")),
            _wall("when it was written down"),
        ),
        "Where bars ended, as the daemon cut them.",
        unique=("ts",),
    ),
    Table(
        "live_steps",
        _KEYS,
        (
            ts_column("end of the bar"),
            _RUN,
            Column("bundle", pl.String, f"{_BUNDLE} that spoke"),
            *(Column(f"bar_{name}", _F, text, unit, nan=True) for name, text, unit in _BAR),
            Column("first_id", pl.Int64, "id of its first trade; -1 where nothing traded"),
            Column("last_id", pl.Int64, "id of its last trade; -1 where nothing traded"),
            Column("bar_valid", pl.Boolean, "no gap or silence had shown when the bar closed"),
            *(
                Column(f"sentiment_{name}", _F, f"{text}; NaN where no pack reads it", nan=True)
                for name, text in _SENTIMENT
            ),
            Column("event", pl.Boolean, "a decision was due"),
            Column("valid", pl.Boolean, "the bar and all that its features look back on is"),
            Column("score", _F, "raw score of the trees; NaN without an event", nan=True),
            Column("probability", _F, "calibrated probability; NaN without an event", nan=True),
            Column("threshold", _F, "probability above which the bundle trades", nan=True),
            Column("sigma", _F, "volatility over the horizon", "log return", nan=True),
            Column("reference", _F, "close of the event's bar", "quote per base", nan=True),
            Column(
                "withheld", pl.String, "why the engine was not told the decision", nullable=True
            ),
            Column(
                "asked_ts", TIME, "when it was asked whether to act on the decision", nullable=True
            ),
            _wall("when it was written down"),
        ),
        "Closed bars, and what was made of them: beside the declared columns one for each feature "
        "that a bundle of the day names, NaN in the rows of a bundle that doesn't.",
        sort_by=("ts", "run"),
        unique=("ts", "run"),
        open_columns=True,
    ),
    Table(
        "live_events",
        _KEYS,
        (
            _SEQ,
            _RUN,
            ts_column("when the engine heard it"),
            _wall("when it was written down"),
            Column("kind", pl.String, "kind of the event"),
            Column("body", pl.String, "the event, JSON"),
        ),
        "What the engine heard, in that order.",
        sort_by=("seq",),
        unique=("seq",),
    ),
    Table(
        "live_commands",
        _KEYS,
        (
            Column("seq", pl.Int64, "number of the event that it answers", ge=1),
            Column("position", pl.Int64, "place in the answer, from 0", ge=0),
            _RUN,
            ts_column("when the engine heard the event"),
            Column("kind", pl.String, "kind of the command"),
            Column("body", pl.String, "the command, JSON"),
        ),
        "What the engine answered.",
        sort_by=("seq", "position"),
        unique=("seq", "position"),
    ),
    Table(
        "live_orders",
        _KEYS,
        (
            Column("client_order_id", pl.String, "its name, never used again"),
            Column("seq", pl.Int64, "number of the event that it was asked for at", ge=1),
            Column("position", pl.Int64, "of its command; those of one were sent as a list", ge=0),
            _RUN,
            ts_column("when the engine asked for it"),
            Column("leg", pl.String, "what it is for"),
            Column("side", pl.String, "buy or sell", isin=("buy", "sell")),
            Column("kind", pl.String, "limit, market or stop"),
            Column("time_in_force", pl.String, "how long it stands"),
            Column("qty", pl.Int64, "quantity", "lots"),
            Column("price", pl.Int64, "limit or stop price; 0 for a market order", "ticks"),
            Column("exchange_order_id", pl.Int64, "the exchange's name of it", nullable=True),
            Column("status", pl.String, "the exchange's last word", nullable=True),
            Column("filled", pl.Int64, "executed", "lots", nullable=True),
            _wall("when it was last heard of", "heard_ts", nullable=True),
        ),
        "Orders, with what the exchange last said of each.",
        sort_by=("seq", "position", "client_order_id"),
        unique=("client_order_id",),
    ),
    Table(
        "live_requests",
        _KEYS,
        (
            Column("id", pl.Int64, "number of the request", ge=1),
            ts_column("when the engine asked for the order that it is about"),
            Column("client_order_id", pl.String, "the order; of a list, its first one"),
            Column("kind", pl.String, "what was sent"),
            Column("attempt", pl.Int64, "how often the same was sent, this time included", ge=1),
            _wall("just before it was sent", "sent_ts"),
            Column("outcome", pl.String, "what the answer was taken for", nullable=True),
            Column("code", pl.Int64, "the exchange's code", nullable=True),
            Column("http_status", pl.Int64, "status of the response", nullable=True),
            Column("text", pl.String, "the exchange's words", nullable=True),
            _wall("when the answer came", "answered_ts", nullable=True),
        ),
        "What was sent to the exchange about the orders of a day, and what came back; null while "
        "nothing has.",
        sort_by=("id",),
        unique=("id",),
    ),
    Table(
        "live_fills",
        _KEYS,
        (
            Column("trade_id", pl.Int64, "id of the trade"),
            Column("client_order_id", pl.String, "the order that traded"),
            ts_column("time of the trade"),
            Column("price", pl.Int64, "price", "ticks"),
            Column("qty", pl.Int64, "quantity", "lots"),
            Column("fee", pl.Int64, "what the commission was worth", "atoms"),
            Column("liquidity", pl.String, "taker or maker", isin=("taker", "maker")),
            Column("commission", pl.String, "the decimal that the exchange printed"),
            Column("commission_asset", pl.String, "what it was charged in"),
            Column("source", pl.String, "where it was heard first"),
            _wall("when it was written down"),
            Column("seq", pl.Int64, "number of the event; null until it was told", nullable=True),
        ),
        "Trades of our own, once each.",
        sort_by=("ts", "trade_id"),
        unique=("trade_id",),
    ),
    Table(
        "live_news",
        _KEYS,
        (
            Column("item_id", pl.String, "the item, as in the table news"),
            Column("asset", pl.String, "base asset the score is about, or * for the market"),
            Column("source", pl.String, "name of the feed"),
            ts_column("when the publisher says it was published", "published_at"),
            ts_column("when the daemon first saw it", "first_seen_at"),
            ts_column("when a decision could first use the score", "available_at"),
            Column("title", pl.String, "headline"),
            Column("score", _F, "tone", "-1 to 1", ge=-1, le=1),
            Column("scorer", pl.String, "name of the scorer"),
            Column("scorer_version", pl.String, "its version"),
            _wall("when it was written down"),
        ),
        "News as the daemon scored them, by the day they became available.",
        sort_by=("available_at", "item_id", "asset"),
        unique=("item_id", "asset", "scorer", "scorer_version"),
    ),
    Table(
        "live_alerts",
        _KEYS,
        (
            Column("id", pl.Int64, "number of the alert", ge=1),
            Column("seq", pl.Int64, "the event that the engine alerted at", nullable=True),
            ts_column("when it was said"),
            _wall("when it was written down"),
            Column("level", pl.String, "how bad it is", isin=("info", "warning", "critical")),
            Column("code", pl.String, "what kind of alert it is"),
            Column("message", pl.String, "what was said"),
        ),
        "What a person was told.",
        sort_by=("id",),
        unique=("id",),
    ),
    Table(
        "live_controls",
        _KEYS,
        (
            Column("id", pl.Int64, "number of the request", ge=1),
            ts_column("when it was asked for"),
            _wall("when it was written down"),
            Column("action", pl.String, "what was asked for"),
            Column("asked_by", pl.String, "by which way it came"),
        ),
        "What a person asked for.",
        sort_by=("id",),
        unique=("id",),
    ),
    Table(
        "parity",
        _KEYS,
        (
            Column("kind", pl.String, "what was compared", isin=PARITY_KINDS),
            Column("compared", pl.Int64, "how many values", ge=0),
            Column("equal", pl.Int64, "how many of them had the same bits", ge=0),
            Column("untold", pl.Int64, "how many could not be told again", ge=0),
            Column("first_ts", TIME, "when the first difference was", nullable=True),
            Column("place", pl.String, "where it was", nullable=True),
            Column("live", pl.String, "what the daemon wrote down there", nullable=True),
            Column("batch", pl.String, "what the batch says", nullable=True),
            Column("why", pl.String, "what it comes from, where that is known", nullable=True),
        ),
        "Whether the batch computes what the daemon did, bit for bit: docs/parity.md. Doubles are "
        "shown with the 16 hexadecimal digits of their bits.",
        sort_by=(),
        unique=("kind",),
    ),
    Table(
        "reconciliation",
        _KEYS,
        (
            Column("kind", pl.String, "what differs"),
            ts_column("when it first does"),
            Column("live", _F, "what the daemon saw or did", nan=True),
            Column("expected", _F, "what the archive or the simulation says", nan=True),
            Column("difference", _F, "how far they are apart; against us where it costs", nan=True),
            Column("unit", pl.String, "unit of the difference"),
            Column("count", pl.Int64, "how many rows the finding stands for", ge=0),
            Column("cause", pl.String, "what it comes from, where that is known"),
            Column("detail", pl.String, "the finding in words"),
        ),
        "What may honestly differ between the daemon, the archive and the simulation, one finding "
        "a row: docs/parity.md.",
        sort_by=("ts", "kind"),
    ),
)
