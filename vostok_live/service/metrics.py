"""Every metric: its name, what it says, and where it is read. Written to `docs/live-metrics.md`.

Names begin with `vostok_` and end in their base unit. Prices and money are in quote, quantities in
base. Ages are told as the time when something last happened, where that is known, since a reader's
clock goes on when the daemon's stands still. Labels have few values: no ids of orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vostok_live.service.exposition import Family, Kind, Sample, write
from vostok_live.service.measures import Measures, Timing
from vostok_live.service.status import Status, Stream

Reading = Iterable[Sample] | Timing


@dataclass(frozen=True, slots=True)
class Metric:
    """A family and how it is read.

    Attributes:
        family: Its name, kind, help and labels.
        private: Whether it tells how much money there is, or what is held; then it takes the token.
        read: Its samples.
    """

    family: Family
    private: bool
    read: Callable[[Status, Measures], Reading]


def expose(status: Status, measures: Measures, *, private: bool) -> str:
    """Every metric as Prometheus reads it.

    Args:
        status: How the daemon stands.
        measures: What it has counted and timed.
        private: Whether to tell of money too.
    """
    chosen = (each for each in METRICS if private or not each.private)
    labels = {"strategy": status.strategy, "instrument": status.instrument}
    return write(((each.family, each.read(status, measures)) for each in chosen), labels)


def _one(value: float | None) -> Iterable[Sample]:
    """A single sample; none where the value is not known."""
    return () if value is None else (((), value),)


def _counted(counts: Mapping[Any, int]) -> Iterable[Sample]:
    return [
        (key if isinstance(key, tuple) else (key,), value) for key, value in sorted(counts.items())
    ]


def _streams(read: Callable[[Stream], float | None]) -> Callable[[Status, Measures], Reading]:
    def both(status: Status, _: Measures) -> Reading:
        streams = {"market": status.streams.market, "user": status.streams.user}
        values = ((name, read(stream)) for name, stream in streams.items())
        return [((name,), value) for name, value in values if value is not None]

    return both


def _keyed(read: Callable[[Stream], Mapping[str, int]]) -> Callable[[Status, Measures], Reading]:
    def both(status: Status, _: Measures) -> Reading:
        streams = {"market": status.streams.market, "user": status.streams.user}
        return [
            ((name, key), value)
            for name, stream in streams.items()
            for key, value in sorted(read(stream).items())
        ]

    return both


def _info(status: Status, _: Measures) -> Reading:
    return [((status.version, status.engine_version, status.mode, str(status.run)), 1)]


def _model_info(status: Status, _: Measures) -> Reading:
    return [] if status.model is None else [((status.model.sha256, status.model.week), 1)]


def _model_stale(status: Status, _: Measures) -> Reading:
    return _one(None if status.model is None else status.model.stale)


def _states(status: Status, _: Measures) -> Reading:
    names = ("flat", "entering", "covering", "holding", "exiting")
    return [((name,), name == status.state) for name in names]


def _probability(status: Status, _: Measures) -> Reading:
    last = status.decisions.last
    return _one(None if last is None else last.probability)


def _threshold(status: Status, _: Measures) -> Reading:
    return _one(None if status.model is None else status.model.threshold)


def _covered(status: Status, _: Measures) -> Reading:
    return _one(status.position is None or status.position.covered)


def _held(status: Status, _: Measures) -> Reading:
    return _one(0.0 if status.position is None else status.position.qty)


def _exposure(status: Status, _: Measures) -> Reading:
    equity, last = status.money.equity, status.prices.last
    if status.position is None:
        return _one(0.0)
    return _one(None if last is None or equity <= 0 else status.position.qty * last / equity)


def _sentiment_age(status: Status, _: Measures) -> Reading:
    return _one(None if status.sentiment is None else status.sentiment.last_seen_age_s)


def _sentiment_items(status: Status, _: Measures) -> Reading:
    return _one(None if status.sentiment is None else status.sentiment.items)


def _clock_offset(status: Status, _: Measures) -> Reading:
    offset = status.exchange.clock_offset_ms
    return _one(None if offset is None else offset / 1e3)


def _weight(status: Status, _: Measures) -> Reading:
    limit = status.exchange.weight_limit
    return _one(status.exchange.weight_used / limit if limit > 0 else None)


def _metric(
    name: str,
    kind: Kind,
    said: str,
    read: Callable[[Status, Measures], Reading],
    *labels: str,
    private: bool = False,
) -> Metric:
    return Metric(Family(f"vostok_{name}", kind, said, labels), private, read)


METRICS: tuple[Metric, ...] = (
    _metric("build_info", "gauge", "Always 1; labels say what runs.", _info,
            "version", "engine_version", "mode", "run"),
    _metric("start_time_seconds", "gauge", "When this run began, since 1970 UTC.",
            lambda s, _: _one(s.started_us / 1e6)),
    _metric("last_heartbeat_timestamp_seconds", "gauge",
            "The daemon's wall when this was read, since 1970 UTC.",
            lambda s, _: _one(s.now_us / 1e6)),
    _metric("event_loop_lag_seconds", "gauge", "How late the event loop was, at worst, lately.",
            lambda s, _: _one(s.loop_lag_ms / 1e3)),
    # Whether it trades
    _metric("ready", "gauge", "Whether a position may be opened.",
            lambda s, _: _one(s.ready)),
    _metric("not_ready", "gauge", "1 for each reason that blocks entries.",
            lambda s, _: [((code,), 1) for code in sorted({r.code for r in s.reasons})], "code"),
    _metric("state", "gauge", "1 for the state of the engine, 0 for the others.", _states, "state"),
    _metric("paused", "gauge", "Whether entries are paused.", lambda s, _: _one(s.paused)),
    _metric("kill_switch", "gauge", "Whether the kill switch holds.",
            lambda s, _: _one(s.killed is not None)),
    _metric("controls_total", "counter", "What people asked for.",
            lambda _, m: _counted(m.controls), "action"),
    _metric("refused_calls_total", "counter", "Calls of the control API that were refused.",
            lambda _, m: _counted(m.refused_calls), "reason"),
    _metric("alerts_total", "counter", "What a person was told.",
            lambda _, m: _counted(m.alerts), "level", "code"),
    # Money
    _metric("equity_quote", "gauge", "Cash and all that is held, at the last close.",
            lambda s, _: _one(s.money.equity), private=True),
    _metric("cash_quote", "gauge", "Quote, what open orders hold included.",
            lambda s, _: _one(s.money.cash), private=True),
    _metric("pnl_realized_quote", "gauge", "Earned since the account opened, fees paid.",
            lambda s, _: _one(s.money.realised), private=True),
    _metric("pnl_unrealized_quote", "gauge", "Of the open position, at the last close.",
            lambda s, _: _one(s.money.unrealised), private=True),
    _metric("pnl_day_quote", "gauge", "Equity less that at the UTC day's begin.",
            lambda s, _: _one(s.money.day_pnl), private=True),
    _metric("fees_quote", "gauge", "Fees since the account opened.",
            lambda s, _: _one(s.money.fees), private=True),
    _metric("position_base", "gauge", "What is held.", _held, private=True),
    _metric("exposure_ratio", "gauge", "Worth of what is held, as a share of equity.", _exposure),
    _metric("drawdown_ratio", "gauge", "Loss from the highest equity, as a share of it.",
            lambda s, _: _one(s.money.drawdown)),
    _metric("day_loss_ratio", "gauge", "Loss of the UTC day, as a share of the equity before it.",
            lambda s, _: _one(s.money.day_loss)),
    _metric("trades_closed", "gauge", "Positions opened and closed since the account opened.",
            lambda s, _: _one(s.money.closed)),
    _metric("trades_won", "gauge", "Those of them that earned money.",
            lambda s, _: _one(s.money.wins)),
    # Orders
    _metric("position_covered", "gauge",
            "Whether both exits rest for exactly what is held; 1 where nothing is held.", _covered),
    _metric("uncovered_seconds_total", "counter",
            "Market time that a position was without its exits resting.",
            lambda _, m: _one(m.uncovered_seconds)),
    _metric("orders_open", "gauge", "Orders that have not ended.",
            lambda s, _: _one(len(s.orders))),
    _metric("orders_unknown", "gauge", "Orders of unknown fate; they block entries.",
            lambda s, _: _one(s.unknown_orders)),
    _metric("orders_total", "counter", "Orders that were sent, by what the request came to.",
            lambda _, m: _counted(m.orders), "side", "kind", "outcome"),
    _metric("fills_total", "counter", "Trades of our own.",
            lambda _, m: _counted(m.fills), "side", "liquidity"),
    _metric("order_rtt_seconds", "histogram", "From sending an order to the exchange's answer.",
            lambda _, m: m.order_round_trip),
    _metric("bar_to_order_seconds", "histogram",
            "From the arrival of the trade that closed a bar to the order that it brought.",
            lambda _, m: m.bar_to_order),
    _metric("reconcile_runs_total", "counter", "Comparisons with the exchange.",
            lambda _, m: _counted(m.comparisons), "result"),
    _metric("reconcile_doubts_total", "counter", "Doubts that comparisons left.",
            lambda _, m: _counted(m.doubts), "code"),
    # The exchange
    _metric("ws_connected", "gauge", "Whether a stream is connected and subscribed.",
            _streams(lambda s: s.up), "stream"),
    _metric("ws_synced", "gauge", "Whether nothing that a stream should have said is missing.",
            _streams(lambda s: s.synced), "stream"),
    _metric("ws_last_message_age_seconds", "gauge", "Since a stream said something.",
            _streams(lambda s: s.last_message_age_s), "stream"),
    _metric("ws_reconnects_total", "counter", "Connections that took the place of another.",
            _streams(lambda s: s.reconnects), "stream"),
    _metric("ws_ended_total", "counter", "Connections that ended.",
            _keyed(lambda s: s.ended), "stream", "reason"),
    _metric("ws_flaws_total", "counter", "Frames that could not be used.",
            _keyed(lambda s: s.flaws), "stream", "flaw"),
    _metric("md_gaps_total", "counter", "Holes in the ids of trades that were waited for.",
            lambda s, _: _one(s.streams.market.gaps)),
    _metric("md_gaps_given_up_total", "counter", "Holes that stayed.",
            lambda s, _: _one(s.streams.market.given_up)),
    _metric("md_trades_lost_total", "counter", "Trades in the holes that stayed.",
            lambda s, _: _one(s.streams.market.lost)),
    _metric("md_latency_seconds", "histogram",
            "From the exchange's sending of a trade to its arrival, by both clocks.",
            lambda _, m: m.feed_delay),
    _metric("api_requests_total", "counter", "Requests to the exchange.",
            lambda _, m: _counted(m.requests), "endpoint", "code"),
    _metric("api_weight_used_ratio", "gauge", "Share of the minute's weight that is used.",
            _weight),
    _metric("clock_offset_seconds", "gauge", "The exchange's clock less ours.", _clock_offset),
    # Bars and model
    _metric("bars_total", "counter", "Bars that closed in this run.",
            lambda s, _: _one(s.prices.bars)),
    _metric("bars_invalid_total", "counter", "Bars on which nothing opens.",
            lambda _, m: _one(m.invalid_bars)),
    _metric("last_bar_timestamp_seconds", "gauge", "End of the newest bar, in market time.",
            lambda s, _: _one(None if s.prices.bar is None else s.prices.bar.ts / 1e6)),
    _metric("market_time_seconds", "gauge", "What the market's clock shows, since 1970 UTC.",
            lambda s, _: _one(s.market_ts / 1e6)),
    _metric("last_price", "gauge", "Price of the newest trade.",
            lambda s, _: _one(s.prices.last)),
    _metric("model_info", "gauge", "Always 1; labels say which model is in service.", _model_info,
            "sha256", "week"),
    _metric("model_stale", "gauge", "Whether the week that the model was made for is over.",
            _model_stale),
    _metric("model_prediction", "gauge", "Newest probability that a trade nets a profit.",
            _probability),
    _metric("model_threshold", "gauge", "Probability above which the model trades.", _threshold),
    _metric("model_inference_seconds", "histogram", "From a closed bar to its probability.",
            lambda _, m: m.inference),
    _metric("decisions_total", "counter", "What the model said, by what became of it.",
            lambda s, _: _counted(s.decisions.counts), "outcome"),
    _metric("feature_nan_total", "counter", "Features that were no number.",
            lambda _, m: _one(m.nan_features)),
    _metric("sentiment_age_seconds", "gauge", "Since news was last looked for with success.",
            _sentiment_age),
    _metric("sentiment_items", "gauge", "News items that were scored in this run.",
            _sentiment_items),
    # The journal
    _metric("journal_events", "gauge", "Number of the newest event.",
            lambda s, _: _one(s.journal.seq)),
    _metric("journal_bytes", "gauge", "Size of the journal and its log.",
            lambda s, _: _one(s.journal.bytes)),
    _metric("journal_commit_seconds", "histogram", "A transaction of the journal.",
            lambda _, m: m.journal_commit),
)  # fmt: skip
"""In the order that they are written."""
