"""What a record of returns is: its moments, its part that is the market's, its worst fall.

A Sharpe ratio is per observation, not annualised: mean over standard deviation of equally spaced
returns. Skewness is `g3`, kurtosis is `g4` (3 for a normal, never the excess), and first-order
autocorrelation is `rho`. Sums are exactly rounded (`math.fsum`), so a value does not depend on the
platform's vector width. How much of a record may be luck is asked in `sharpe`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Returns = NDArray[np.float64] | Sequence[float]

_MAX_AUTOCORRELATION = 0.9
_ROUNDING = 1e-12
"""Residuals that vary by no more than this part of the greatest return are rounding."""


@dataclass(frozen=True)
class Moments:
    """Moments of a record of returns.

    Attributes:
        count: Number of returns, T.
        mean: Their mean.
        std: Their standard deviation, with `freedom` in the denominator.
        sharpe: mean / std; NaN when the returns don't vary.
        skewness: g3, population form.
        kurtosis: g4, population form, 3 for a normal.
        autocorrelation: First-order autocorrelation, as estimated.
        freedom: Degrees of freedom of `std`: T - 1 less the coefficients fitted before.
    """

    count: int
    mean: float
    std: float
    sharpe: float
    skewness: float
    kurtosis: float
    autocorrelation: float
    freedom: int

    @property
    def cautious_autocorrelation(self) -> float:
        """rho with its small-sample bias removed, between 0 and 0.9.

        The estimate is too low by about (1 + 3 rho) / T (Kendall 1954), which would make a test
        too easy to pass. A negative value would make it easier still, and is not credited.
        """
        if self.count < 8 or not math.isfinite(self.autocorrelation):
            return 0.0
        unbiased = (self.count * self.autocorrelation + 1) / (self.count - 3)
        return min(max(unbiased, 0.0), _MAX_AUTOCORRELATION)

    @property
    def cautious_skewness(self) -> float:
        """g3 where negative, else 0: luck in one good day must not shorten the record asked for."""
        return min(self.skewness, 0.0)


def moments(returns: Returns, *, fitted: int = 0) -> Moments:
    """Moments of a record; those that can't be computed are NaN, nothing is raised.

    Args:
        returns: Equally spaced returns, in order.
        fitted: Coefficients estimated from the same record before (1 for a hedge ratio).
    """
    values = [float(value) for value in returns]
    count = len(values)
    freedom = count - 1 - fitted
    if freedom < 1 or not all(map(math.isfinite, values)):
        mean = math.fsum(values) / count if count and all(map(math.isfinite, values)) else math.nan
        return Moments(count, mean, *(math.nan,) * 5, freedom)
    mean = math.fsum(values) / count
    deviations = [value - mean for value in values]
    squares = math.fsum(d * d for d in deviations)
    if max(values) == min(values) or squares / count == 0.0:  # it may underflow
        return Moments(count, mean, 0.0, *(math.nan,) * 4, freedom)
    std = math.sqrt(squares / freedom)
    scale = math.sqrt(squares / count)
    units = [d / scale for d in deviations]
    return Moments(
        count=count,
        mean=mean,
        std=std,
        sharpe=mean / std,
        skewness=math.fsum(u**3 for u in units) / count,
        kurtosis=math.fsum(u**4 for u in units) / count,
        autocorrelation=math.fsum(a * b for a, b in zip(units[1:], units, strict=False)) / count,
        freedom=freedom,
    )


@dataclass(frozen=True)
class Hedge:
    """Returns with their exposure to a benchmark taken out.

    Attributes:
        beta: Slope of the least-squares line of returns on benchmark returns.
        returns: returns - beta * benchmark.
        inflation: 1 + mean(b)^2 / var(b): by how much estimating beta widens the variance of the
            mean of `returns`, so that the test is that of the regression's intercept.
    """

    beta: float
    returns: NDArray[np.float64]
    inflation: float


def hedge(returns: Returns, benchmark: Returns) -> Hedge:
    """Take exposure to a benchmark out of returns by ordinary least squares.

    What is left has the intercept (Jensen's alpha) as its mean, and its Sharpe ratio is the
    appraisal ratio of Treynor and Black (1973). A benchmark that doesn't vary has beta 0; a value
    that is not finite makes everything NaN. What varies by no more than rounding does is made
    constant: of exposure alone nothing is left, and the rounding of nothing has a Sharpe ratio.

    Args:
        returns: Returns of the strategy, shape (T,).
        benchmark: Returns of the benchmark over the same periods, shape (T,).
    """
    r = [float(value) for value in returns]
    b = [float(value) for value in benchmark]
    if not all(map(math.isfinite, [*r, *b])):
        return Hedge(math.nan, np.full(len(r), math.nan), 1.0)
    count = len(b)
    mean_r, mean_b = (math.fsum(r) / count, math.fsum(b) / count) if count else (0.0, 0.0)
    spread = math.fsum((y - mean_b) ** 2 for y in b)
    if not b or max(b) == min(b) or spread == 0.0:  # it may underflow
        return Hedge(0.0, np.asarray(r, dtype=np.float64), 1.0)
    shared = math.fsum((x - mean_r) * (y - mean_b) for x, y in zip(r, b, strict=True))
    beta = shared / spread
    left = np.array([x - beta * y for x, y in zip(r, b, strict=True)], dtype=np.float64)
    if np.ptp(left) <= _ROUNDING * max(map(abs, r)):
        left = np.full(count, mean_r - beta * mean_b)
    return Hedge(beta, left, 1 + mean_b**2 * count / spread)


def max_drawdown(values: Returns) -> float:
    """Greatest loss from an earlier peak, as a fraction of that peak; 0 when it never fell.

    Args:
        values: Worth over time, the initial worth included; all finite.
    """
    peak = -math.inf
    worst = 0.0
    for value in values:
        peak = max(peak, value)
        if peak > 0:
            worst = max(worst, 1 - value / peak)
    return worst
