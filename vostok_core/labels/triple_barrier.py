"""Triple-barrier labels on the path of prices, costs inside (AFML 3.4).

At an event the decision is made on the close of its bar. A market buy reaches the exchange a
latency later; its take-profit and stop rest from then on; at the horizon a market sell is sent.
Where each of these fills is asked of `market.paths`, as the simulator does, and whether the entry
fills at all of `trading.entry`, as the engine does. So a label is what the trade would have
returned, there is none where there would have been no trade, and it is known at the time of its
exit fill, `label_end`.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from vostok_core.labels.barriers import barrier_ticks, horizon_sigma
from vostok_core.lake.tables import table
from vostok_core.market.instrument import Instrument
from vostok_core.market.paths import BUYER_TOOK, PricePath
from vostok_core.strategy import CostRule, Strategy
from vostok_core.times import DAY, day_of, day_start
from vostok_core.trading.entry import entry_cap, entry_expiry, entry_price
from vostok_core.trading.rules import Rules, rate_of

CODE_VERSION = "2"


def last_day_needed(strategy: Strategy, day: date) -> date:
    """The last day whose data the labels of `day` need: its last event may come at midnight."""
    return day_of(day_start(day) + DAY + strategy.horizon_us + strategy.latency_us)


def net_return(entry: float, exit_: float, costs: CostRule, *, maker_exit: bool) -> float:
    """Return of a long round trip after fees and slippage, as a fraction of what was paid.

    The entry takes. The exit takes too, unless it is a resting take-profit, which pays the maker
    fee and no slippage.
    """
    slip = costs.slippage_bps / 1e4
    taker = costs.taker_fee_bps / 1e4
    paid = entry * (1.0 + slip) * (1.0 + taker)
    if maker_exit:
        received = exit_ * (1.0 - costs.maker_fee_bps / 1e4)
    else:
        received = exit_ * (1.0 - slip) * (1.0 - taker)
    return received / paid - 1.0


def label_events(
    strategy: Strategy, instrument: Instrument, path: PricePath, events: pl.DataFrame
) -> tuple[pl.DataFrame, int]:
    """Follow every event that a trade comes of to the first barrier touched.

    No trade comes of an event whose entry expires: its first price is above the cap, or no buyer
    takes before the horizon is over. Both are known before a label of that event could be.

    Args:
        strategy: The strategy.
        instrument: For its price step.
        path: From before the first event to after the last label's end.
        events: `ts`, `sigma_bar`, `close`, one row per event.

    Returns:
        The rows of the table `labels` but for `valid`, and the number of events left out because
        the path ends before they do. A row depends on nothing later than its `label_end`.
    """
    rules = Rules.of(instrument)
    slippage = rate_of(strategy.file.costs.slippage_bps)
    path_end = int(path.ts[-1]) if len(path) else -1
    rule, costs = strategy.file.labels, strategy.file.costs
    rows: list[tuple[object, ...]] = []
    unfinished = 0
    times = events["ts"].to_physical().to_list()
    for ts, sigma_bar, close in zip(times, events["sigma_bar"], events["close"], strict=True):
        sigma = horizon_sigma(sigma_bar, strategy.horizon_bars)
        top, bottom = barrier_ticks(
            close, sigma, rule.take_profit, rule.stop_loss, rules.price_tick
        )
        upper, lower = rules.price(top), rules.price(bottom)
        expiry = entry_expiry(ts, strategy.horizon_us)
        entry = path.taker_fill(ts + strategy.latency_us, BUYER_TOOK)
        if entry is None:
            unfinished += path_end < expiry
            continue
        index, entry_ts, price = entry
        cap = entry_cap(rules.ticks(close), top)
        if entry_ts >= expiry or entry_price(rules, price, slippage) > cap:
            continue
        end = path.first_exit(index, ts + strategy.horizon_us + strategy.latency_us, upper, lower)
        if end.kind == "open":
            unfinished += 1
            continue
        net = net_return(price, end.price, costs, maker_exit=end.kind == "take_profit")
        rows.append(
            (
                ts,
                1,
                sigma,
                close,
                upper,
                lower,
                entry_ts,
                price,
                # A bar is known at its end, whatever moment of it the fill is put at.
                int(path.ts[end.index]) if path.bars else end.ts,
                end.price,
                end.kind,
                end.ambiguous,
                end.price / price - 1.0,
                net,
                int(net > 0.0),
            )
        )
    schema = {name: kind for name, kind in table("labels").schema.items() if name != "valid"}
    return pl.DataFrame(rows, schema=schema, orient="row"), unfinished


def undisturbed(
    labels: pl.DataFrame, bars: pl.DataFrame, spans: pl.DataFrame | None = None
) -> pl.Series:
    """Which labels no gap or silence falls into, as far as was known at their ends.

    Args:
        labels: `ts`, `label_end`.
        bars: `ts`, `valid` of every bar that ends within a label's life.
        spans: Rows of the table `quality`, where there are ticks.

    Returns:
        Boolean: every bar that ended in (ts, label_end] is valid, which was known at its end, and
        no invalidating span ended there: the trade that ends a span shows it before the bar that
        holds the trade closes. What shows only after `label_end` doesn't count.
    """
    starts = labels["ts"].to_physical().to_numpy()
    ends = labels["label_end"].to_physical().to_numpy()
    broken = [bars.filter(~pl.col("valid"))["ts"]]
    if spans is not None:
        broken.append(spans.filter("invalidates")["end_ts"].rename("ts"))
    times = np.sort(pl.concat(broken).to_physical().to_numpy())
    hits = np.searchsorted(times, ends, side="right") - np.searchsorted(times, starts, side="right")
    return pl.Series("valid", hits == 0, dtype=pl.Boolean)
