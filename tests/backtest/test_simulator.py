"""Simulated trades against amounts worked out by hand, and against the paths they are made of.

One tick is 0.01, one lot 0.001, so an atom is 0.00001 of quote. 1,000 of quote, half of it staked.
A decision at minute 1 has its barriers at 102.00 and 99.00 and may pay up to 100.50, so it asks for
500 / 100.50 = 4.975. Taker fee 10 bps, maker fee 5 bps, slippage 10 bps, latency 200 ms.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from vostok_core.backtest import simulator
from vostok_core.backtest.simulator import SimulationResult
from vostok_core.backtest.venue import Costs, FillBeforeOrder
from vostok_core.errors import DataError
from vostok_core.lake.schemas import validate
from vostok_core.lake.tables import TIME, table
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.paths import PricePath, bar_path, tick_path
from vostok_core.trading.config import Capabilities, EngineConfig

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 19_000 * DAY  # a midnight
INSTRUMENT = Instrument(
    InstrumentId.parse("binance.spot.ETH-USDT"),
    "trade",
    Decimal("0.01"),
    Decimal("0.001"),
    Decimal(10),
    HOUR,
)
CONFIG = EngineConfig(run="t", horizon_us=10 * MINUTE, take_profit=2.0, stop_loss=1.0, fraction=0.5)
COSTS = Costs(taker_fee_bps=10, maker_fee_bps=5, slippage_bps=10, latency_us=200_000)
FREE = Costs(0, 0, 0, 200_000)
simulate = partial(simulator.simulate, interval_us=MINUTE)


def ticks(*prints: tuple[float, float, str]) -> pl.DataFrame:
    """Prints as (seconds, price, taker), the taker being `b` or `s`."""
    return pl.DataFrame(
        {
            "ts": [START + round(p[0] * SECOND) for p in prints],
            "price": [p[1] for p in prints],
            "buyer_maker": [p[2] == "s" for p in prints],
        },
        schema={"ts": pl.Int64, "price": pl.Float64, "buyer_maker": pl.Boolean},
    ).with_columns(pl.col("ts").cast(TIME))


def minutes(*closes: float) -> pl.DataFrame:
    """Bars that end at minutes 1, 2, 3 …"""
    return pl.DataFrame(
        {
            "ts": [START + (i + 1) * MINUTE for i in range(len(closes))],
            "close": list(closes),
            "valid": [True] * len(closes),
        }
    ).with_columns(pl.col("ts").cast(TIME))


def decisions(*at: float, reference: float = 100.0, **changes: Any) -> pl.DataFrame:
    """Decisions at these minutes that clear their threshold."""
    row = {"probability": 0.7, "threshold": 0.5, "sigma": 0.01, "valid": True} | changes
    return pl.DataFrame(
        {
            "ts": [START + round(m * MINUTE) for m in at],
            **{name: [value] * len(at) for name, value in row.items()},
            "reference": [reference] * len(at),
        },
        schema_overrides={"ts": pl.Int64, "probability": pl.Float64, "valid": pl.Boolean},
    ).with_columns(pl.col("ts").cast(TIME))


ENTRY = (
    (60.1, 100.00, "b"),  # before the order arrives at 60.2
    (60.2, 100.01, "b"),  # as it arrives
    (60.3, 100.00, "s"),  # a seller's print
    (60.4, 100.02, "b"),  # here it fills: 100.02 + 10 bps = 100.12002, up to 100.13
)
BOUGHT = 4_975 * 10_013
BUY_FEE = 49_815  # 49,814.675 up


def run(
    *prints: tuple[float, float, str],
    bars: int = 15,
    config: EngineConfig = CONFIG,
    costs: Costs = COSTS,
    decided: pl.DataFrame | None = None,
) -> SimulationResult:
    return simulate(
        config,
        INSTRUMENT,
        decisions(1) if decided is None else decided,
        minutes(*[100.0] * bars),
        tick_path(ticks(*ENTRY, *prints)),
        costs,
        1_000,
    )


def only(result: SimulationResult) -> dict[str, Any]:
    (trade,) = result.trades.iter_rows(named=True)
    return trade


def seconds(value: Any) -> float:
    return (pl.Series([value]).cast(TIME).to_physical()[0] - START) / SECOND


def test_the_entry_fills_at_the_first_buyer_after_the_latency_with_slippage_and_fee() -> None:
    result = run()
    (fill,) = result.fills.iter_rows(named=True)
    assert seconds(fill["ts"]) == 60.4
    assert (fill["side"], fill["qty"], fill["price"]) == ("buy", 4.975, 100.13)
    assert fill["fee"] == BUY_FEE / 1e5
    assert fill["slippage"] == 4_975 * 11 / 1e5
    assert result.counts["open"] == 1
    assert result.trades.height == 0


def test_a_take_profit_fills_only_when_traded_through_at_its_limit_and_the_maker_fee() -> None:
    touched = run((70, 102.00, "b"), (71, 101.9, "s"), bars=10)
    assert touched.counts["open"] == 1
    trade = only(run((70, 102.00, "b"), (71, 102.01, "b")))
    sell_fee = 25_373  # 5 bps of 4,975 × 10,200 = 25,372.5, up
    assert trade["exit_reason"] == "take_profit"
    assert seconds(trade["exit_ts"]) == 71
    assert (trade["entry_price"], trade["exit_price"]) == (100.13, 102.0)
    assert trade["fees"] == pytest.approx((BUY_FEE + sell_fee) / 1e5, abs=1e-12)
    assert trade["slippage"] == 4_975 * 11 / 1e5
    pnl = 4_975 * 10_200 - BOUGHT - BUY_FEE - sell_fee
    assert pnl == 855_137
    assert trade["net_pnl"] == pnl / 1e5
    assert trade["net_return"] == pnl / BOUGHT


def test_a_gap_through_the_stop_fills_at_the_next_seller_with_slippage() -> None:
    trade = only(run((70, 98.5, "b"), (71, 98.7, "b"), (72, 97.0, "s"), (73, 99.5, "s")))
    assert trade["exit_reason"] == "stop_loss"
    assert seconds(trade["exit_ts"]) == 72
    assert trade["exit_price"] == 96.9  # 97.00 less 10 bps of it, 9.7 ticks, up to 10


def test_the_vertical_barrier_sells_after_the_latency_to_the_next_seller() -> None:
    end = 60 + 600
    trade = only(
        run((end, 100.5, "s"), (end + 0.2, 100.6, "s"), (end + 0.3, 100.7, "b"),
            (end + 0.4, 100.8, "s"))
    )  # fmt: skip
    assert trade["exit_reason"] == "time"
    assert seconds(trade["exit_ts"]) == pytest.approx(end + 0.4)
    assert trade["exit_price"] == 100.69  # 10,080 less 10.08 ticks, up to 11


def test_exits_rest_until_the_cancel_arrives() -> None:
    end = 60 + 600
    trade = only(run((end + 0.1, 103.0, "b"), (end + 0.4, 100.8, "s")))
    assert trade["exit_reason"] == "take_profit"


def test_a_stop_that_triggered_before_the_cancel_arrives_is_not_called_back() -> None:
    end = 60 + 600
    result = run((end + 0.1, 98.0, "b"), (end + 0.3, 97.0, "b"), (end + 5, 96.0, "s"))
    assert only(result)["exit_reason"] == "stop_loss"
    assert result.fills.height == 2


def test_an_entry_that_would_pay_more_than_its_cap_expires() -> None:
    # 100.41 + 10 bps is 100.52 (10,041 + 11 ticks), above the cap of 100.50; 100.39 would do.
    prints = tick_path(ticks((61, 100.41, "b"), (62, 100.0, "b")))
    bars = minutes(*[100.0] * 5)
    result = simulate(CONFIG, INSTRUMENT, decisions(1), bars, prints, COSTS, 1_000)
    assert result.fills.height == 0
    assert (result.counts["entries"], result.counts["unfilled"]) == (1, 1)
    prints = tick_path(ticks((61, 100.39, "b")))
    assert simulate(CONFIG, INSTRUMENT, decisions(1), bars, prints, COSTS, 1_000).fills.height == 1


def test_too_little_money_for_the_exchange_opens_nothing() -> None:
    path = tick_path(ticks(*ENTRY))
    result = simulate(CONFIG, INSTRUMENT, decisions(1), minutes(*[100.0] * 5), path, COSTS, 20)
    assert result.counts["too_small"] == 1
    assert result.fills.height == 0


def test_an_invalid_bar_or_prediction_opens_nothing() -> None:
    bars = minutes(*[100.0] * 5).with_columns(valid=pl.lit(value=False))
    path = tick_path(ticks(*ENTRY))
    assert simulate(CONFIG, INSTRUMENT, decisions(1), bars, path, COSTS).counts["invalid"] == 1
    assert run(decided=decisions(1, valid=False)).counts["invalid"] == 1


def test_the_kill_switch_ends_trading_for_the_rest_of_the_path() -> None:
    config = replace(CONFIG, max_daily_loss=0.01)
    bars = minutes(100.0, 97.0, *[100.0] * 30)
    path = tick_path(ticks(*ENTRY, (121, 97.0, "s"), (700, 100.0, "b"), (701, 100.0, "s")))
    result = simulate(config, INSTRUMENT, decisions(1, 11), bars, path, COSTS, 1_000)
    # At minute 2 the position is worth 97.00: 15.6 below what was paid, of 1,000.
    trade = only(result)
    assert (trade["exit_reason"], trade["exit_price"]) == ("kill", 96.9)
    assert seconds(trade["exit_ts"]) == 121
    assert result.counts["killed"] == 1
    (halt,) = result.halts.iter_rows(named=True)
    assert (seconds(halt["ts"]), halt["reason"]) == (120, "kill switch: daily loss")
    assert [a.code for a in result.alerts if a.level == "critical"] == ["killed"]


def minute_bars(*rows: tuple[float, float, float, float]) -> pl.DataFrame:
    """One-minute bars from the start on: open, high, low, close."""
    return pl.DataFrame(
        [(START + (i + 1) * MINUTE, *map(float, row), 1.0, True) for i, row in enumerate(rows)],
        schema=["ts", "open", "high", "low", "close", "volume", "valid"],
        orient="row",
    ).with_columns(pl.col("ts").cast(TIME))


def test_on_bars_the_entry_bar_can_hit_an_exit_and_frees_the_engine_for_its_own_close() -> None:
    bars = minute_bars((100, 100, 100, 100), (100, 100, 98, 99.5), (99.5, 100, 99.5, 99.5))
    result = simulate(
        CONFIG,
        INSTRUMENT,
        decisions(1, 2),
        bars,
        bar_path(bars, MINUTE),
        replace(COSTS, latency_us=0),
        1_000,
    )
    trade = only(result)
    assert (seconds(trade["entry_ts"]), seconds(trade["exit_ts"])) == (60, 120)
    assert trade["exit_reason"] == "stop_loss"
    assert result.counts["entries"] == 2


def test_a_print_at_the_end_of_a_bar_belongs_to_the_next() -> None:
    result = run((120.0, 102.01, "b"), (121, 100.0, "b"), decided=decisions(1, 2))
    assert result.counts["busy"] == 1
    assert seconds(only(result)["exit_ts"]) == 120


def test_exits_rest_from_the_print_after_the_entry_on() -> None:
    # The entry itself is filled in a dip below the stop; the price is back at the next print.
    path = tick_path(ticks((60.4, 98.0, "b"), (61, 100.0, "s"), (62, 100.0, "s")))
    bars = minutes(*[100.0] * 5)
    result = simulate(CONFIG, INSTRUMENT, decisions(1), bars, path, COSTS, 1_000)
    assert (result.fills.height, result.counts["open"]) == (1, 1)


def test_a_stop_triggered_on_the_last_print_of_a_piece_is_not_called_back_either() -> None:
    end = 60 + 600
    pieces = [
        tick_path(ticks(*ENTRY, (end + 0.1, 98.0, "b"))),
        tick_path(ticks((end + 5, 97.0, "b"), (end + 6, 96.0, "s"))),
    ]
    bars = minutes(*[100.0] * 15)
    result = simulate(CONFIG, INSTRUMENT, decisions(1), bars, pieces, COSTS, 1_000)
    assert only(result)["exit_reason"] == "stop_loss"
    assert result.fills.height == 2


def test_stop_and_take_profit_in_one_bar_are_settled_against_us() -> None:
    frame = minute_bars((100, 100, 100, 100), (100, 101, 99.5, 100), (100, 103, 98, 100))
    path = bar_path(frame, MINUTE)
    result = simulate(
        CONFIG, INSTRUMENT, decisions(1), frame, path, replace(COSTS, latency_us=0), 1_000
    )
    trade = only(result)
    assert seconds(trade["entry_ts"]) == 60  # the open of the bar after the decision
    assert trade["entry_price"] == 100.10
    assert (trade["exit_reason"], trade["exit_price"]) == ("stop_loss", 98.90)
    assert seconds(trade["exit_ts"]) == 180  # known at the bar's end
    assert result.counts["ambiguous"] == 1
    late = simulate(CONFIG, INSTRUMENT, decisions(1), frame, path, COSTS, 1_000)
    assert seconds(late.fills["ts"][0]) == 120  # with latency, the bar after that


def test_a_decision_while_a_position_is_open_is_passed_over() -> None:
    result = run((660.4, 100.0, "s"), decided=decisions(1, 2, 3))
    assert (result.counts["entries"], result.counts["busy"]) == (1, 2)


def test_an_exit_and_a_new_decision_at_the_same_bar_do_not_overlap() -> None:
    result = run((660.4, 100.0, "s"), (661, 100.0, "b"), decided=decisions(1, 11), bars=20)
    assert result.counts["busy"] == 1
    assert result.trades.height == 1


def test_a_position_lives_through_a_day_without_prints() -> None:
    def at(day: float, *prints: tuple[float, float, str]) -> PricePath:
        return tick_path(ticks(*[(p[0] + day * 86_400, *p[1:]) for p in prints]))

    days = [at(0, *ENTRY), tick_path(ticks()), at(2, (30, 101.0, "b"), (31, 101.0, "s"))]
    bars = pl.DataFrame(
        {
            "ts": [START + MINUTE, START + 2 * DAY + MINUTE, START + 2 * DAY + 2 * MINUTE],
            "close": [100.0, 101.0, 101.0],
            "valid": [True, True, True],
        }
    ).with_columns(pl.col("ts").cast(TIME))
    result = simulate(CONFIG, INSTRUMENT, decisions(1), bars, iter(days), COSTS, 1_000)
    assert seconds(only(result)["exit_ts"]) == 2 * 86_400 + 31
    assert result.daily["trades"].to_list() == [0, 0, 1]
    assert result.daily["net_return"][1] == 0.0


def test_the_share_of_a_day_that_was_observed_is_that_of_its_valid_bars() -> None:
    hours = np.arange(1, 4 * 24 + 1)
    # Bars are not valid from noon of the first day to midnight of the next; the third has none.
    kept = hours[(hours <= 48) | (hours > 72)]
    bars = pl.DataFrame(
        {"ts": START + kept * HOUR, "close": 100.0, "valid": (kept <= 12) | (kept > 48)}
    ).with_columns(pl.col("ts").cast(TIME))
    result = simulator.simulate(
        CONFIG, INSTRUMENT, decisions(), bars, tick_path(ticks()), COSTS, 1_000, interval_us=HOUR
    )
    assert result.daily["observed"].to_list() == [0.5, 0.0, 0.0, 1.0]
    assert result.daily["net_return"].to_list() == [0.0] * 4


def test_a_trade_that_ends_at_midnight_counts_on_the_day_whose_return_has_it() -> None:
    midnight = 86_400.0
    path = tick_path(ticks(*ENTRY, (midnight, 102.5, "b"), (midnight + 60, 102.5, "b")))
    bars = pl.DataFrame(
        {
            "ts": [START + MINUTE, START + DAY, START + DAY + MINUTE],
            "close": [100.0, 100.0, 102.5],
            "valid": [True, True, True],
        }
    ).with_columns(pl.col("ts").cast(TIME))
    config = replace(CONFIG, horizon_us=2 * DAY)
    result = simulate(config, INSTRUMENT, decisions(1), bars, path, COSTS, 1_000)
    assert seconds(only(result)["exit_ts"]) == midnight
    assert result.daily["trades"].to_list() == [1, 0]
    assert result.daily["net_return"][0] > 0.005
    assert result.daily["net_return"][1] == 0.0


def test_without_entry_lists_exits_rest_only_after_another_latency() -> None:
    config = replace(CONFIG, capabilities=Capabilities(entry_list=False, replace=False))
    # The spike at 60.5 comes before the exits arrive at 60.6.
    result = run((60.5, 103.0, "b"), (61, 102.5, "b"), config=config)
    assert seconds(only(result)["exit_ts"]) == 61
    end = 60 + 600
    slow = only(run((end + 0.3, 100.6, "s"), (end + 0.5, 100.8, "s"), config=config))
    assert seconds(slow["exit_ts"]) == pytest.approx(end + 0.5)  # cancel, then sell


@pytest.mark.parametrize("pieces", [1, 2])
def test_exits_that_would_trigger_on_arrival_are_refused_and_the_position_sold(
    pieces: int,
) -> None:
    config = replace(CONFIG, capabilities=Capabilities(entry_list=False))
    prints = (*ENTRY, (60.5, 98.0, "s"), (60.7, 97.9, "s"), (60.9, 97.8, "s"))
    # The price that they would trigger at may stand at the end of an earlier piece.
    cut = 5 if pieces == 2 else len(prints)
    paths = [tick_path(ticks(*part)) for part in (prints[:cut], prints[cut:])]
    bars = minutes(*[100.0] * 15)
    result = simulate(config, INSTRUMENT, decisions(1), bars, paths, COSTS, 1_000)
    trade = only(result)
    assert trade["exit_reason"] == "uncovered"
    assert seconds(trade["exit_ts"]) == 60.9


def test_a_path_whose_time_runs_backwards_is_refused_not_traded() -> None:
    ts = np.array([1, 2, 70, 50]) * SECOND + START
    path = PricePath(ts, np.array([100.0] * 4), np.array([1, 1, -1, 1], np.int8), bars=False)
    with pytest.raises(FillBeforeOrder, match="reached the exchange"):
        simulate(CONFIG, INSTRUMENT, decisions(1), minutes(*[100.0] * 5), path, COSTS)


def test_bars_out_of_order_are_refused() -> None:
    path = tick_path(ticks(*ENTRY))
    for bars in (minutes(100.0, 100.0).reverse(), minutes()):
        with pytest.raises(DataError, match="Hint"):
            simulate(CONFIG, INSTRUMENT, decisions(1), bars, path, COSTS)
    with pytest.raises(DataError, match="decisions"):
        simulate(CONFIG, INSTRUMENT, decisions(1, 1), minutes(100.0), path, COSTS)


# A longer random market


def market(seed: int, days: int = 2) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Prints every few seconds, their minute bars, and a decision every few minutes."""
    rng = np.random.default_rng(seed)
    count = days * 4 * 1440
    ts = START + np.sort(rng.integers(0, days * DAY, count))
    price = np.round(100 * np.exp(np.cumsum(rng.standard_normal(count) * 0.0006)), 2)
    prints = pl.DataFrame({"ts": ts, "price": price, "buyer_maker": rng.random(count) < 0.5})
    prints = prints.with_columns(pl.col("ts").cast(TIME))
    ends = START + (np.arange(days * 1440) + 1) * MINUTE
    last = np.searchsorted(ts, ends) - 1
    close = price[np.maximum(last, 0)]
    bars = pl.DataFrame({"ts": ends, "close": close, "valid": [True] * ends.size})
    bars = bars.with_columns(pl.col("ts").cast(TIME))
    at = np.flatnonzero(rng.random(ends.size) < 0.2)
    decided = bars[at].select(
        "ts",
        probability=pl.Series(rng.random(at.size)),
        threshold=0.3,
        sigma=pl.Series(0.002 + 0.006 * rng.random(at.size)),
        reference="close",
        valid=pl.Series(rng.random(at.size) < 0.95),
    )
    return prints, bars, decided


LONG = replace(CONFIG, horizon_us=30 * MINUTE, max_daily_loss=1.0, max_drawdown=1.0)


def simulated(seed: int, costs: Costs = COSTS) -> SimulationResult:
    prints, bars, decided = market(seed)
    return simulate(LONG, INSTRUMENT, decided, bars, tick_path(prints), costs, 1_000)


def assert_trades_follow_the_path(
    result: SimulationResult, path: PricePath, decided: pl.DataFrame
) -> None:
    """Every trade of a simulation without costs has the path's own answers for its decision."""
    said = {row["ts"]: row for row in decided.iter_rows(named=True)}
    for trade in result.trades.iter_rows(named=True):
        decision = said[trade["decision_ts"]]
        assert decision["valid"]
        assert decision["probability"] > 0.3
        ts = pl.Series([trade["decision_ts"]]).cast(TIME).to_physical()[0]
        reference, sigma = decision["reference"], decision["sigma"]
        target = np.floor(reference * (1 + 2 * sigma) * 100 + 1e-7) / 100
        stop = np.ceil(reference * (1 - sigma) * 100 - 1e-7) / 100
        entry = path.taker_fill(ts + 200_000, 1)
        assert entry is not None
        end = path.first_exit(entry[0], ts + 30 * MINUTE + 200_000, target, stop)
        assert seconds(trade["entry_ts"]) == (entry[1] - START) / SECOND
        assert trade["entry_price"] == pytest.approx(entry[2], abs=1e-9)
        assert trade["exit_reason"] == end.kind
        assert seconds(trade["exit_ts"]) == (end.ts - START) / SECOND
        assert trade["exit_price"] == pytest.approx(end.price, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_every_trade_is_what_the_path_says_of_its_decision(seed: int) -> None:
    prints, _, decided = market(seed)
    result = simulated(seed, FREE)
    assert result.trades.height > 30
    assert set(result.trades["exit_reason"]) == {"take_profit", "stop_loss", "time"}
    assert_trades_follow_the_path(result, tick_path(prints), decided)


@pytest.mark.shared_data
def test_real_trades_of_kraken_are_simulated_as_their_path_says(shared: Path) -> None:
    raw = pl.read_csv(
        shared / "ticks/kraken_2018/XBTUSD-trades.seg2.csv",
        columns=["time", "price", "buy_or_sell"],
    )
    # Dimes are Kraken's tick; here prices are cents, as the other tests have them.
    prints = raw.sort("time", maintain_order=True).select(
        ts=(pl.col("time") * 1e6).round(0).cast(pl.Int64).cast(TIME),
        price=pl.col("price").cast(pl.Float64),
        buyer_maker=pl.col("buy_or_sell") == "s",
    )
    bars = (
        prints.group_by_dynamic("ts", every="1m", closed="left", label="right")
        .agg(close=pl.col("price").last())
        .with_columns(valid=pl.lit(value=True))
    )
    decided = bars.gather_every(7).select(
        "ts",
        probability=pl.lit(0.7),
        threshold=pl.lit(0.5),
        sigma=pl.lit(0.002),
        reference="close",
        valid=pl.lit(value=True),
    )
    path = tick_path(prints)
    result = simulate(LONG, INSTRUMENT, decided, bars, path, FREE, 100_000)
    assert result.trades.height > 150
    assert set(result.trades["exit_reason"]) == {"take_profit", "stop_loss", "time"}
    assert_trades_follow_the_path(result, path, decided)
    costly = simulate(LONG, INSTRUMENT, decided, bars, path, COSTS, 100_000)
    assert costly.equity["equity"][-1] < result.equity["equity"][-1]


@pytest.mark.parametrize("cut_hours", [1, 5, 24])
def test_a_path_read_in_pieces_gives_the_same_result(cut_hours: int) -> None:
    prints, bars, decided = market(7)
    ts = prints["ts"].to_physical()
    pieces = [
        tick_path(prints.filter((ts >= start) & (ts < start + cut_hours * HOUR)))
        for start in range(START, START + 2 * DAY, cut_hours * HOUR)
    ]
    whole = simulated(7)
    parts = simulate(LONG, INSTRUMENT, decided, bars, iter(pieces), COSTS, 1_000)
    assert parts.fills.equals(whole.fills)
    assert parts.trades.equals(whole.trades)
    assert parts.equity.equals(whole.equity)


def test_a_stop_that_triggers_on_the_last_print_of_a_piece_fills_on_the_next() -> None:
    first = tick_path(ticks(*ENTRY, (70, 98.5, "b")))
    second = tick_path(ticks((80, 98.4, "b"), (81, 98.3, "s")))
    bars = minutes(*[100.0] * 5)
    result = simulate(CONFIG, INSTRUMENT, decisions(1), bars, [first, second], COSTS, 1_000)
    assert only(result)["exit_reason"] == "stop_loss"
    assert seconds(only(result)["exit_ts"]) == 81


def test_what_comes_after_a_time_changes_nothing_before_it() -> None:
    prints, bars, decided = market(11)
    noon = START + DAY + 12 * HOUR
    whole = simulated(11)
    cut = simulate(
        LONG,
        INSTRUMENT,
        decided.filter(pl.col("ts").to_physical() <= noon),
        bars.filter(pl.col("ts").to_physical() <= noon),
        tick_path(prints.filter(pl.col("ts").to_physical() < noon)),
        COSTS,
        1_000,
    )
    before = whole.fills.filter(pl.col("ts").to_physical() < noon)
    assert cut.fills.equals(before)
    assert before.height > 20


def test_equity_is_cash_plus_what_every_trade_brought() -> None:
    prints, bars, decided = market(3)
    early = decided.filter(pl.col("ts").to_physical() < START + 2 * DAY - HOUR)
    result = simulate(LONG, INSTRUMENT, early, bars, tick_path(prints), COSTS, 1_000)
    assert result.trades.height > 30
    assert result.counts["open"] == 0
    final = result.equity["equity"][-1]
    assert final == pytest.approx(1_000 + result.trades["net_pnl"].sum(), abs=1e-6)
    assert np.prod(1 + result.daily["net_return"].to_numpy()) == pytest.approx(final / 1_000)
    assert result.daily["trades"].sum() == result.trades.height
    assert result.fills["fee"].sum() == pytest.approx(result.trades["fees"].sum())
    assert result.fills["slippage"].sum() == pytest.approx(result.trades["slippage"].sum())


def test_costs_only_ever_cost() -> None:
    free = simulated(5, FREE)
    assert free.fills["fee"].sum() == 0
    assert free.fills["slippage"].sum() == 0
    for row in simulated(5).trades.iter_rows(named=True):
        gross = row["qty"] * (row["exit_price"] - row["entry_price"])
        assert row["net_pnl"] == pytest.approx(gross - row["fees"], abs=1e-6)
        assert row["fees"] > 0
        assert row["slippage"] > 0


def test_holding_pays_one_taker_fee_at_the_first_close() -> None:
    _, bars, _ = market(3)
    result = simulated(3)
    close = bars["close"].to_numpy()
    expected = 1_000 / (close[0] * 1.001) * close[-1]
    assert result.equity["benchmark"][-1] == pytest.approx(expected)
    assert np.prod(1 + result.daily["benchmark_return"].to_numpy()) == pytest.approx(
        expected / 1_000
    )


def test_frames_fit_their_tables() -> None:
    result = simulated(3)
    for name, frame in (
        ("backtest_trades", result.trades),
        ("backtest_equity", result.equity),
        ("trials", result.daily),
        ("backtest_halts", result.halts),
    ):
        validate(table(name), frame, where=name)
        validate(table(name), frame.clear(), where=name)
    assert result.equity.height == 48


def test_the_same_inputs_give_the_same_bits() -> None:
    first, second = simulated(9), simulated(9)
    assert first.fills.equals(second.fills)
    assert first.equity.equals(second.equity)
    assert first.counts == second.counts
