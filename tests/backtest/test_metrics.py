"""Statistics of a path, against R PerformanceAnalytics 2.1.0, numpy and scipy, and by hand."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vostok_core.backtest import metrics as m
from vostok_core.backtest.moments import max_drawdown, moments
from vostok_core.backtest.simulator import FILL_SCHEMA, SimulationResult
from vostok_core.lake.schemas import validate
from vostok_core.lake.tables import TIME, table

# Bacon (2008), Practical Portfolio Performance Measurement: 24 months of a portfolio.
BACON = [
    0.003, 0.026, 0.011, -0.01, 0.015, 0.025, 0.016, 0.067, -0.014, 0.04, -0.005, 0.081,
    0.04, -0.037, -0.061, 0.017, -0.049, -0.022, 0.07, 0.058, -0.065, 0.024, -0.005, -0.009,
]  # fmt: skip

RETURNS = st.lists(st.floats(-0.2, 0.2), min_size=5, max_size=60).filter(lambda r: np.std(r) > 1e-4)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (m.volatility(BACON, 12), 0.13700015867969229),
        (m.cagr(BACON, 12), 0.10367828972981),
        (m.sharpe(BACON, 12), 0.78832025481449),
        (m.sortino(BACON, 12), 1.35921657868386),
        (max_drawdown(m.worth_of(BACON)), 0.14467295573922),
        (m.calmar(BACON, 12), 0.10367828972981 / 0.14467295573922),
        # Ours are of the population; the reference corrects for the size of the sample.
        (moments(BACON).skewness * math.sqrt(24 * 23) / 22, -0.08817174935),
        (23 / (22 * 21) * (25 * (moments(BACON).kurtosis - 3) + 6), -0.40766032119),
    ],
    ids=["volatility", "cagr", "sharpe", "sortino", "drawdown", "calmar", "skewness", "kurtosis"],
)
def test_bacons_portfolio_as_performance_analytics_has_it(value: float, expected: float) -> None:
    assert value == pytest.approx(expected, abs=1e-11)


@settings(deadline=None)
@given(RETURNS)
def test_any_record_agrees_with_numpy_and_scipy(record: list[float]) -> None:
    r = np.array(record)
    year = math.sqrt(365)
    assert m.sharpe(r) == pytest.approx(r.mean() / r.std(ddof=1) * year, rel=1e-9, abs=1e-12)
    assert m.volatility(r) == pytest.approx(r.std(ddof=1) * year, rel=1e-9)
    assert moments(r).skewness == pytest.approx(stats.skew(r), rel=1e-6, abs=1e-9)
    assert moments(r).kurtosis == pytest.approx(stats.kurtosis(r, fisher=False), rel=1e-6)
    assert m.total_return(r) == pytest.approx(np.prod(1 + r) - 1, abs=1e-12)
    assert m.value_at_risk(r) == pytest.approx(-np.quantile(r, 0.05), abs=1e-12)
    bound = np.quantile(r, 0.05)
    assert m.expected_shortfall(r) >= m.value_at_risk(r) - 1e-12
    assert m.expected_shortfall(r) == pytest.approx(-r[r <= bound + 1e-15].mean(), abs=1e-9)
    worth = np.cumprod(np.concatenate([[1.0], 1 + r]))
    fall = (1 - worth / np.maximum.accumulate(worth)).max()
    assert max_drawdown(m.worth_of(r)) == pytest.approx(fall, abs=1e-12)
    downside = np.sqrt((np.minimum(r, 0) ** 2).mean())
    if downside > 0:
        assert m.sortino(r) == pytest.approx(r.mean() / downside * year, rel=1e-9, abs=1e-12)


def test_a_loss_from_the_first_day_on_is_a_drawdown_from_the_initial_capital() -> None:
    assert max_drawdown(m.worth_of([-0.1, 0.05])) == pytest.approx(0.1)


def test_what_cannot_be_computed_is_nan_and_raises_nothing() -> None:
    assert math.isnan(m.sharpe([0.0, 0.0, 0.0]))
    assert math.isnan(m.sharpe([0.1]))
    assert math.isnan(m.sortino([0.1, 0.2]))
    assert math.isnan(m.calmar([0.1, 0.2]))
    assert math.isnan(m.value_at_risk([]))
    assert math.isnan(m.expected_shortfall([]))
    assert math.isnan(m.cagr([]))
    assert m.cagr([-1.0]) == -1.0


def test_time_under_water_is_the_longest_run_below_a_peak() -> None:
    assert m.time_under_water([1.0, 0.9, 0.95, 1.0, 0.99, 0.98, 0.97, 1.1]) == 3
    assert m.time_under_water([1.0, 1.1, 1.2]) == 0


def result(*, trades: bool = True) -> SimulationResult:
    """Two days, one winning and one losing trade of two hours each."""
    hour = 3_600_000_000
    rows = [
        (0, hour, 100.0, 3 * hour, 110.0, 1.0, "take_profit", 0.6, 0.5, 0.1, 9.5, 0.095),
        (24 * hour, 25 * hour, 110.0, 27 * hour, 107.0, 1.0, "time", 0.6, 0.5, 0.2, -3.5,
         -3.5 / 110),
    ] if trades else []  # fmt: skip
    fills = [
        (ts, name, side, 1.0, price, 0.25, 0.075, "taker", False)
        for ts, name, side, price in (
            (hour, "vlx-1-e", "buy", 100.0),
            (3 * hour, "vlx-1-t", "sell", 110.0),
            (25 * hour, "vlx-2-e", "buy", 110.0),
            (27 * hour, "vlx-2-m", "sell", 107.0),
        )
    ] if trades else []  # fmt: skip

    def frame(values: list[tuple], schema: dict) -> pl.DataFrame:
        physical = {k: pl.Int64 if v == TIME else v for k, v in schema.items()}
        made = pl.DataFrame(values, schema=physical, orient="row")
        return made.with_columns(pl.col(k).cast(TIME) for k, v in schema.items() if v == TIME)

    gain = [0.0095, 1006.0 / 1009.5 - 1] if trades else [0.0, 0.0]
    worth = [1000.0, 1009.5, 1004.0, 1006.0] if trades else [1000.0] * 4
    return SimulationResult(
        trades=frame(rows, table("backtest_trades").schema),
        equity=frame(
            [(h * hour, w, 1000.0, 0.0) for h, w in enumerate(worth)],
            table("backtest_equity").schema,
        ),
        daily=pl.DataFrame(
            {
                "net_return": gain,
                "benchmark_return": [0.01, -0.02],
                "trades": [1, 1],
                "observed": [1.0, 0.4],
            }
        ),
        fills=frame(fills, FILL_SCHEMA),
        halts=table("backtest_halts").empty(),
        counts={"open": 0, "ambiguous": 0, "unfilled": 2, "killed": 7},
        alerts=[],
        initial_cash=1000.0,
    )


def test_statistics_of_two_trades_by_hand() -> None:
    frame = m.statistics_frame(result())
    validate(table("backtest_statistics"), frame, where="statistics")
    value = dict(zip(frame["name"], frame["value"], strict=True))
    assert value["trades"] == 2
    assert value["hit_rate"] == 0.5
    assert value["profit_factor"] == 9.5 / 3.5
    assert value["expectancy"] == pytest.approx((0.095 - 3.5 / 110) / 2 * 1e4)
    assert value["exposure"] == pytest.approx(4 / 48)
    assert value["holding_time"] == 2.0
    assert value["turnover"] == pytest.approx(427.0 / ((1000 + 1009.5 + 1004 + 1006) / 4) / 2)
    assert value["fees"] == 1.0
    assert value["slippage"] == pytest.approx(0.3)
    assert value["max_drawdown"] == pytest.approx(5.5 / 1009.5)
    assert value["total_return"] == pytest.approx(0.006)
    assert value["final_equity"] == 1006.0
    assert value["benchmark_total_return"] == pytest.approx(1.01 * 0.98 - 1)
    assert value["unfilled_entries"] == 2
    assert value["killed_decisions"] == 7
    assert value["time_under_water"] == 1
    assert (value["days"], value["observed_days"]) == (2, 1)


def test_statistics_without_a_trade_are_nan_or_nothing_and_fit_the_table() -> None:
    frame = m.statistics_frame(result(trades=False))
    validate(table("backtest_statistics"), frame, where="statistics")
    value = dict(zip(frame["name"], frame["value"], strict=True))
    assert value["trades"] == value["turnover"] == value["exposure"] == value["max_drawdown"] == 0
    assert math.isnan(value["hit_rate"])
    assert math.isnan(value["sharpe"])


def test_every_statistic_says_what_it_is() -> None:
    said = m.statistics(result())
    assert len({s.name for s in said}) == len(said) > 25
    assert all(s.description for s in said)
