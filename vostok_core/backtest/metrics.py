"""Statistics of a simulated path, by the table `backtest_statistics`.

Returns are of equity over UTC days, marked to the market, days without a trade included, and those
in an outage too, which the gate leaves out (`observed`). What is annualised is scaled by 365 days a
year, since these markets never close; the risk-free rate is 0. Losses (drawdown, VaR, CVaR) are
positive numbers. A statistic that can't be computed is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vostok_core.backtest.moments import max_drawdown, moments
from vostok_core.backtest.observed import LEAST_OBSERVED, observed_days
from vostok_core.backtest.simulator import SimulationResult
from vostok_core.lake.tables import table
from vostok_core.times import DAY, HOUR

DAYS_PER_YEAR = 365

Series = NDArray[np.float64] | Sequence[float]


@dataclass(frozen=True)
class Statistic:
    """One number, its unit and what it says."""

    name: str
    value: float
    unit: str
    description: str


def total_return(returns: Series) -> float:
    """Compounded return of the whole record."""
    worth = 1.0
    for value in returns:
        worth *= 1.0 + float(value)
    return worth - 1.0


def cagr(returns: Series, periods: int = DAYS_PER_YEAR) -> float:
    """Compound annual growth: (1 + total return)^(periods / n) - 1; -1 when everything is lost."""
    if len(returns) == 0:
        return math.nan
    worth = 1.0 + total_return(returns)
    return float(worth ** (periods / len(returns))) - 1.0 if worth > 0 else -1.0


def volatility(returns: Series, periods: int = DAYS_PER_YEAR) -> float:
    """Sample standard deviation (ddof 1) times sqrt(periods)."""
    return moments(returns).std * math.sqrt(periods)


def sharpe(returns: Series, periods: int = DAYS_PER_YEAR) -> float:
    """Mean over sample standard deviation (ddof 1), times sqrt(periods); NaN without variation."""
    return moments(returns).sharpe * math.sqrt(periods)


def sortino(returns: Series, periods: int = DAYS_PER_YEAR) -> float:
    """Mean over the root mean square of min(r, 0), the latter over all n, times sqrt(periods)."""
    if len(returns) == 0:
        return math.nan
    values = [float(value) for value in returns]
    downside = math.sqrt(math.fsum(min(value, 0.0) ** 2 for value in values) / len(values))
    mean = math.fsum(values) / len(values)
    return mean / downside * math.sqrt(periods) if downside > 0 else math.nan


def worth_of(returns: Series) -> list[float]:
    """Worth over time of 1 put in at the start, which is the first value and counts as a peak."""
    worth = [1.0]
    for value in returns:
        worth.append(worth[-1] * (1.0 + float(value)))
    return worth


def calmar(returns: Series, periods: int = DAYS_PER_YEAR) -> float:
    """CAGR over the greatest drawdown; NaN when there was none."""
    drawdown = max_drawdown(worth_of(returns))
    return cagr(returns, periods) / drawdown if drawdown > 0 else math.nan


def value_at_risk(returns: Series, level: float = 0.95) -> float:
    """Historical VaR: minus the (1 - level) quantile, interpolated between order statistics."""
    return -_quantile(returns, 1.0 - level)


def expected_shortfall(returns: Series, level: float = 0.95) -> float:
    """Historical CVaR: minus the mean of the returns at or below the (1 - level) quantile."""
    if len(returns) == 0:
        return math.nan
    bound = _quantile(returns, 1.0 - level)
    tail = [float(value) for value in returns if value <= bound]
    return -math.fsum(tail) / len(tail)


def time_under_water(worth: Series) -> int:
    """Longest run of periods spent below an earlier peak."""
    peak, longest, run = -math.inf, 0, 0
    for value in worth:
        run = run + 1 if value < peak else 0
        peak = max(peak, float(value))
        longest = max(longest, run)
    return longest


def _quantile(returns: Series, share: float) -> float:
    if len(returns) == 0:
        return math.nan
    ordered = sorted(float(value) for value in returns)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def statistics(result: SimulationResult) -> list[Statistic]:
    """Every statistic of a simulated path."""
    return [*_of_returns(result), *_of_trades(result)]


def statistics_frame(result: SimulationResult) -> pl.DataFrame:
    """The statistics as rows of the table `backtest_statistics`."""
    rows = [(s.name, s.value, s.unit, s.description) for s in statistics(result)]
    return pl.DataFrame(rows, schema=table("backtest_statistics").schema, orient="row")


def _of_returns(result: SimulationResult) -> list[Statistic]:
    r = result.daily["net_return"].to_list()
    held = result.daily["benchmark_return"].to_list()
    start = result.initial_cash
    marks = [start, *result.equity["equity"].to_list()]
    benchmark = [start, *result.equity["benchmark"].to_list()]
    record = moments(r)
    year = "fraction per year"
    return [
        Statistic("days", float(len(r)), "days", "length of the path"),
        Statistic(
            "observed_days",
            float(observed_days(result.daily).height),
            "days",
            f"days with at least {LEAST_OBSERVED:.0%} of their bars valid: those the gate counts",
        ),
        Statistic("final_equity", marks[-1], "quote", "equity at the end of the path"),
        Statistic("total_return", total_return(r), "fraction", "return over the whole path"),
        Statistic("cagr", cagr(r), year, "compound annual growth rate"),
        Statistic("volatility", volatility(r), year, "sd (ddof 1) of daily returns × √365"),
        Statistic("sharpe", sharpe(r), "annual", "mean / sd (ddof 1) of daily returns × √365"),
        Statistic(
            "sortino", sortino(r), "annual", "mean / downside deviation over all days × √365"
        ),
        Statistic(
            "max_drawdown",
            max_drawdown(marks),
            "fraction",
            "greatest loss from a peak of hourly equity; the initial cash counts as a peak",
        ),
        Statistic("calmar", calmar(r), "annual", "CAGR / greatest drawdown of daily equity"),
        Statistic(
            "time_under_water",
            float(time_under_water(worth_of(r))),
            "days",
            "longest time below an earlier peak of daily equity",
        ),
        Statistic("var_95", value_at_risk(r), "fraction", "daily loss that 1 day in 20 exceeds"),
        Statistic("cvar_95", expected_shortfall(r), "fraction", "mean loss of those days"),
        Statistic("best_day", max(r), "fraction", "highest daily return"),
        Statistic("worst_day", min(r), "fraction", "lowest daily return"),
        Statistic("skewness", record.skewness, "", "of daily returns, population form"),
        Statistic("kurtosis", record.kurtosis, "", "of daily returns; 3 for a normal"),
        Statistic("autocorrelation", record.autocorrelation, "", "first order, of daily returns"),
        Statistic(
            "benchmark_total_return", total_return(held), "fraction", "of holding the instrument"
        ),
        Statistic("benchmark_sharpe", sharpe(held), "annual", "of holding the instrument"),
        Statistic(
            "benchmark_max_drawdown",
            max_drawdown(benchmark),
            "fraction",
            "of holding the instrument",
        ),
    ]


def _of_trades(result: SimulationResult) -> list[Statistic]:
    trades, fills = result.trades, result.fills
    pnl = trades["net_pnl"].to_list()
    wins = math.fsum(value for value in pnl if value > 0)
    losses = -math.fsum(value for value in pnl if value < 0)
    count = len(pnl)
    times = trades.select((pl.col("exit_ts") - pl.col("entry_ts")).dt.total_microseconds())
    held = times.to_series().to_list()
    span = result.daily.height * DAY
    traded = math.fsum((fills["qty"] * fills["price"]).to_list())
    equity = result.equity["equity"].to_list()
    mean_equity = math.fsum(equity) / len(equity)
    return [
        Statistic("trades", float(count), "trades", "positions closed"),
        Statistic(
            "hit_rate",
            sum(value > 0 for value in pnl) / count if count else math.nan,
            "fraction",
            "share of trades with a profit after costs",
        ),
        Statistic(
            "profit_factor",
            wins / losses if losses > 0 else math.nan,
            "",
            "sum of profits over sum of losses, after costs",
        ),
        Statistic(
            "expectancy",
            math.fsum(trades["net_return"].to_list()) / count * 1e4 if count else math.nan,
            "basis points",
            "mean return of a trade after costs",
        ),
        Statistic(
            "turnover",
            traded / mean_equity / result.daily.height,
            "equity per day",
            "bought plus sold, over mean equity",
        ),
        Statistic(
            "exposure", sum(held) / span, "fraction", "share of the time with a position (closed)"
        ),
        Statistic(
            "holding_time",
            sum(held) / count / HOUR if count else math.nan,
            "hours",
            "mean time from entry to exit",
        ),
        Statistic("fees", math.fsum(fills["fee"].to_list()), "quote", "fees paid"),
        Statistic(
            "slippage", math.fsum(fills["slippage"].to_list()), "quote", "assumed slippage paid"
        ),
        Statistic(
            "ambiguous_exits",
            float(result.counts["ambiguous"]),
            "trades",
            "one bar touched both exits, and the stop was taken",
        ),
        Statistic(
            "unfilled_entries",
            float(result.counts.get("unfilled", 0)),
            "orders",
            "entries whose price cap was exceeded when they arrived",
        ),
        Statistic(
            "killed_decisions",
            float(result.counts.get("killed", 0)),
            "decisions",
            "not taken, since losses had thrown the engine's kill switch",
        ),
        Statistic(
            "open_position",
            float(result.counts["open"]),
            "positions",
            "open at the end of the path: marked, not closed",
        ),
    ]
