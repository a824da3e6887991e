"""A label is the trade that the engine would have made of its event, or there is neither."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vostok_core.backtest.simulator import SimulationResult, simulate
from vostok_core.backtest.venue import Costs
from vostok_core.labels.barriers import horizon_sigma
from vostok_core.labels.triple_barrier import label_events
from vostok_core.lake.tables import TIME
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.paths import PricePath, bar_path, tick_path
from vostok_core.strategy import Strategy, StrategyFile
from vostok_core.times import DAY, HOUR, MINUTE
from vostok_core.trading.config import EngineConfig

START = 19_000 * DAY
MILLISECOND = 1_000
SECOND = 1_000 * MILLISECOND
INSTRUMENT = Instrument(
    InstrumentId.parse("test.spot.AAA-USD"), "trade", Decimal("0.01"), Decimal("0.00001"),
    Decimal(1), DAY,
)  # fmt: skip
HORIZON = 20  # minutes
FREE = {"taker_fee_bps": 0.0, "maker_fee_bps": 0.0, "slippage_bps": 0.0}
DEAR = {"taker_fee_bps": 10.0, "maker_fee_bps": 4.0, "slippage_bps": 3.0}


def strategy(costs: dict[str, float], latency: str) -> Strategy:
    return Strategy(
        "test",
        StrategyFile.model_validate(
            {
                "description": "for tests",
                "instruments": (str(INSTRUMENT.id),),
                "labels": {"horizon": f"{HORIZON}m", "take_profit": 1.5, "stop_loss": 1.0},
                "costs": {**costs, "latency": latency},
            }
        ),
    )


def traded(
    chosen: Strategy, path: PricePath, event: tuple[int, float, float], last: int
) -> SimulationResult:
    """Simulate the trade of one event; the engine hears a bar a minute until after the path."""
    ts, close, sigma_bar = event
    end = max(last, ts + 2 * HORIZON * MINUTE) + HOUR
    bars = pl.DataFrame(
        {"ts": np.arange(ts, end, MINUTE), "close": close, "valid": True}
    ).with_columns(pl.col("ts").cast(TIME))
    decision = pl.DataFrame(
        {
            "ts": [ts],
            "probability": [0.9],
            "threshold": [0.5],
            "sigma": [horizon_sigma(sigma_bar, chosen.horizon_bars)],
            "reference": [close],
            "valid": [True],
        }
    ).with_columns(pl.col("ts").cast(TIME))
    config = EngineConfig.from_strategy(chosen)
    return simulate(
        config,
        INSTRUMENT,
        decision,
        bars,
        path,
        Costs.of(chosen),
        interval_us=chosen.interval_us,
    )


def check(chosen: Strategy, path: PricePath, event: tuple[int, float, float]) -> str:
    """The label of an event and its simulated trade agree; says what became of both."""
    ts, close, sigma_bar = event
    events = pl.DataFrame({"ts": [ts], "sigma_bar": [sigma_bar], "close": [close]}).with_columns(
        pl.col("ts").cast(TIME)
    )
    labels, unfinished = label_events(chosen, INSTRUMENT, path, events)
    last = int(path.ts[-1]) if len(path) else ts
    result = traded(chosen, path, event, last)
    assert result.counts["entries"] == 1
    if labels.is_empty():
        assert result.trades.is_empty()
        if unfinished:
            return "unfinished"
        assert result.fills.is_empty()
        assert result.counts["unfilled"] == 1
        return "neither"
    (label,) = labels.iter_rows(named=True)
    (trade,) = result.trades.iter_rows(named=True)
    fees = dict(result.fills.group_by("side").agg(pl.col("fee").sum()).iter_rows())
    slippage = chosen.file.costs.slippage_bps / 1e4
    tick = 0.01
    assert trade["entry_ts"] == label["entry_ts"]
    assert trade["exit_reason"] == label["touch"]
    label_exit = labels["label_end"].to_physical()[0]
    trade_exit = result.trades["exit_ts"].to_physical()[0]
    if path.bars and label["touch"] == "time":
        # Sold at the bar's open; the label says when the bar was known.
        label_exit -= MINUTE
    assert trade_exit == label_exit
    paid = trade["entry_price"] - label["entry_price"]
    assert -1e-9 <= paid - slippage * label["entry_price"] <= tick * (slippage > 0) + 1e-9
    given = label["exit_price"] - trade["exit_price"]
    worse = slippage * label["exit_price"] * (label["touch"] != "take_profit")
    # On bars a stop may fill at a price that is no tick only if the bar's own prices are not.
    assert -1e-9 <= given - worse <= tick * (worse > 0) + 1e-9
    spent = trade["qty"] * trade["entry_price"] + fees["buy"]
    assert trade["net_pnl"] / spent == pytest.approx(
        label["net_return"], abs=3 * tick / label["entry_price"] * (slippage > 0) + 1e-7
    )
    return str(label["touch"])


def random_ticks(rng: np.random.Generator, n: int, step: int, move: int) -> PricePath:
    """Prints whose taker keeps the side for a while, so that a buyer may be long in coming."""
    sides = np.repeat(rng.random(n) < 0.5, rng.integers(1, 8, n))[:n]
    return tick_path(
        pl.DataFrame(
            {
                "ts": pl.Series(START + np.cumsum(rng.integers(0, step, n))).cast(TIME),
                "price": (200_000 + np.cumsum(rng.integers(-move, move + 1, n))) / 100,
                "buyer_maker": sides,
            }
        )
    )


def random_bars(rng: np.random.Generator, n: int, move: int) -> PricePath:
    """Minute bars that gap; in some of them nobody trades."""
    open_ = 200_000 + np.cumsum(rng.integers(-move, move + 1, n))
    close = open_ + rng.integers(-move, move + 1, n)
    high = np.maximum(open_, close) + rng.integers(0, move + 1, n)
    low = np.minimum(open_, close) - rng.integers(0, move + 1, n)
    frame = {"ts": pl.Series(START + MINUTE * np.arange(1, n + 1)).cast(TIME)}
    prices = {"open": open_, "high": high, "low": low, "close": close}
    frame |= {name: pl.Series(values / 100) for name, values in prices.items()}
    return bar_path(
        pl.DataFrame({**frame, "volume": (rng.random(n) < rng.choice([0.05, 0.9])) * 1.0}), MINUTE
    )


def event_on(path: PricePath, rng: np.random.Generator, sigma: float) -> tuple[int, float, float]:
    row = int(rng.integers(0, len(path)))
    return int(path.ts[row]), float(path.price[row]), sigma / HORIZON**0.5


@settings(max_examples=400)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 200),
    step=st.sampled_from([2 * MILLISECOND, 400 * MILLISECOND, SECOND, MINUTE, 8 * MINUTE]),
    move=st.sampled_from([3, 60, 900]),
    sigma=st.sampled_from([1e-5, 0.001, 0.004, 0.03]),
    costs=st.sampled_from([FREE, DEAR]),
    latency=st.sampled_from(["0ms", "200ms", "30s", "10m", "20m"]),
)
def test_on_ticks_a_label_is_the_simulated_trade_or_there_is_neither(
    seed: int, n: int, step: int, move: int, sigma: float, costs: dict[str, float], latency: str
) -> None:
    rng = np.random.default_rng(seed)
    path = random_ticks(rng, n, step, move)
    check(strategy(costs, latency), path, event_on(path, rng, sigma))


@settings(max_examples=200)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(10, 120),
    move=st.sampled_from([10, 200, 1500]),
    sigma=st.sampled_from([1e-5, 0.001, 0.004, 0.03]),
    costs=st.sampled_from([FREE, DEAR]),
    latency=st.sampled_from(["0ms", "200ms", "1m", "19m", "20m"]),
)
def test_on_bars_a_label_is_the_simulated_trade_or_there_is_neither(
    seed: int, n: int, move: int, sigma: float, costs: dict[str, float], latency: str
) -> None:
    rng = np.random.default_rng(seed)
    path = random_bars(rng, n, move)
    if len(path):
        check(strategy(costs, latency), path, event_on(path, rng, sigma))


@pytest.mark.parametrize("bars", [False, True])
def test_random_paths_show_every_way_that_an_event_can_end(bars: bool) -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(150):
        rng = np.random.default_rng(seed)
        path = random_bars(rng, 90, 200) if bars else random_ticks(rng, 150, MINUTE, 200)
        if len(path):
            sigma = (0.0005, 0.002, 0.006)[seed % 3]
            outcomes[check(strategy(DEAR, "200ms"), path, event_on(path, rng, sigma))] += 1
    assert set(outcomes) == {"take_profit", "stop_loss", "time", "neither", "unfinished"}
    assert min(outcomes.values()) >= 5


def prints(*rows: tuple[float, float, str]) -> PricePath:
    """Prints as (seconds after the event, price, taker)."""
    return tick_path(
        pl.DataFrame(
            [(START + round(s * SECOND), price, taker == "s") for s, price, taker in rows],
            schema=["ts", "price", "buyer_maker"],
            orient="row",
        ).with_columns(pl.col("ts").cast(TIME))
    )


END = HORIZON * 60.0
AFTER = ((END + 100, 100.0, "b"), (END + 101, 100.0, "s"))


@pytest.mark.parametrize(
    ("first", "sigma", "outcome"),
    [
        ((1.0, 100.5, "b"), 0.02, "time"),  # at the cap
        ((1.0, 100.51, "b"), 0.02, "neither"),  # above the cap of 50 bp
        ((1.0, 100.14, "b"), 0.001, "take_profit"),  # a tick below the take-profit
        ((1.0, 100.15, "b"), 0.001, "neither"),  # at the take-profit
        ((END - 1e-6, 100.0, "b"), 0.02, "time"),  # the last moment before the horizon
        ((END, 100.0, "b"), 0.02, "neither"),
        ((END + 0.1, 100.0, "b"), 0.02, "neither"),  # before a cancel sent at the horizon arrives
    ],
)
@pytest.mark.parametrize("latency", ["0ms", "200ms"])
def test_an_entry_has_a_highest_price_and_a_last_moment(
    first: Any, sigma: float, outcome: str, latency: str
) -> None:
    later = AFTER if outcome != "take_profit" else ((2.0, 100.16, "s"), *AFTER)
    chosen = strategy(FREE, latency)
    event = (START, 100.0, sigma / HORIZON**0.5)
    assert check(chosen, prints(first, *later), event) == outcome


def test_slippage_counts_towards_the_cap() -> None:
    event = (START, 100.0, 0.02 / HORIZON**0.5)
    # 100.46 and 3 bp of it, 3.01 ticks, up to 4: 100.50; a tick more is too much.
    assert check(strategy(DEAR, "200ms"), prints((1, 100.46, "b"), *AFTER), event) == "time"
    assert check(strategy(DEAR, "200ms"), prints((1, 100.47, "b"), *AFTER), event) == "neither"


def test_an_event_is_given_up_only_once_its_entry_could_not_fill_any_more() -> None:
    event = (START, 100.0, 0.02 / HORIZON**0.5)
    chosen = strategy(FREE, "200ms")
    assert check(chosen, prints((1, 100.0, "s")), event) == "unfinished"
    assert check(chosen, prints((1, 100.0, "s"), (END - 1, 100.0, "s")), event) == "unfinished"
    assert check(chosen, prints((1, 100.0, "s"), (END, 100.0, "s")), event) == "neither"
