"""What an estimated Sharpe ratio says about the true one, as published.

Every Sharpe ratio here is per observation, not annualised: mean over standard deviation (ddof 1) of
equally spaced returns. Skewness is `g3`, kurtosis is `g4` (3 for a normal, never the excess), and
first-order autocorrelation is `rho`; `moments` computes them. What the gate makes of these formulas
is in `promotion.edge`.

Sources:
    Bailey, López de Prado (2012), The Sharpe ratio efficient frontier: `psr_2012`.
    Bailey, López de Prado (2014), The deflated Sharpe ratio: `deflated_sharpe`.
    López de Prado, Lipton, Zoonekynd (2025), How to use the Sharpe ratio, SSRN 5520741: `psr`.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

_EULER_GAMMA = 0.5772156649015329


def normal_cdf(x: float) -> float:
    """Probability that a standard normal is at most `x`."""
    return float(ndtr(x))


def normal_ppf(probability: float) -> float:
    """Quantile of the standard normal."""
    return float(ndtri(probability))


def probability_above(value: float, benchmark: float, variance: float) -> float:
    """Phi of the distance in deviations; NaN where extreme moments leave no positive variance."""
    return normal_cdf((value - benchmark) / math.sqrt(variance)) if variance > 0 else math.nan


# --- 2012 and 2014 -----------------------------------------------------------------------------


def sharpe_variance_2012(
    sharpe: float, count: int, skewness: float = 0.0, kurtosis: float = 3.0
) -> float:
    """(1 - g3 SR + (g4 - 1)/4 SR^2) / (T - 1): variance of the estimate, at the estimate."""
    return (1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2) / (count - 1)


def psr_2012(
    sharpe: float, benchmark: float, count: int, skewness: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Probabilistic Sharpe ratio of 2012: Phi((SR - SR*) / sqrt(variance at SR))."""
    return probability_above(
        sharpe, benchmark, sharpe_variance_2012(sharpe, count, skewness, kurtosis)
    )


def deflated_sharpe(
    sharpe: float,
    count: int,
    trials: float,
    trial_variance: float,
    skewness: float = 0.0,
    kurtosis: float = 3.0,
) -> float:
    """Deflated Sharpe ratio of 2014: `psr_2012` against sqrt(V[SR_k]) E[max_K].

    Args:
        sharpe: Per observation.
        count: Observations.
        trials: K, which may be a number of effective trials.
        trial_variance: Variance of the trials' Sharpe ratios, per observation.
        skewness: g3.
        kurtosis: g4.
    """
    benchmark = math.sqrt(trial_variance) * expected_maximum(trials)
    return psr_2012(sharpe, benchmark, count, skewness, kurtosis)


# --- many trials --------------------------------------------------------------------------------


def expected_maximum(trials: float) -> float:
    """Expected maximum of K independent standard normals, by the extreme-value approximation.

    (1 - gamma) Phi^-1(1 - 1/K) + gamma Phi^-1(1 - 1/(K e)); 0 for one trial, where it diverges,
    and for fractions of trials just above one, where it falls below.
    """
    if trials <= 1:
        return 0.0
    approximation = (1 - _EULER_GAMMA) * normal_ppf(1 - 1 / trials) + _EULER_GAMMA * normal_ppf(
        1 - 1 / (trials * math.e)
    )
    return max(0.0, approximation)


@lru_cache(maxsize=1024)
def maximum_moments(trials: int) -> tuple[float, float]:
    """Mean and variance of the maximum of K independent standard normals.

    The density K phi(z) Phi(z)^(K-1) is integrated by the trapezoidal rule on [-10, 10], which
    converges geometrically for a smooth function that vanishes at both ends.
    """
    if trials <= 1:
        return 0.0, 1.0
    step = 1 / 128
    grid = [i * step for i in range(-1280, 1281)]
    constant = step * trials / math.sqrt(2 * math.pi)
    density = [
        constant * math.exp(-z * z / 2) * (math.erfc(-z / math.sqrt(2)) / 2) ** (trials - 1)
        for z in grid
    ]
    mean = math.fsum(z * p for z, p in zip(grid, density, strict=True))
    second = math.fsum(z * z * p for z, p in zip(grid, density, strict=True))
    return mean, second - mean * mean


def effective_rank(correlation: NDArray[np.float64]) -> float:
    """Number of independent trials that a correlation matrix is worth, between 1 and K.

    exp of the entropy of its eigenvalues, scaled to sum to one (Roy and Vetterli 2007).
    """
    values = np.linalg.eigvalsh(correlation)
    positive = [float(v) for v in values if v > 1e-12]
    total = math.fsum(positive)
    return math.exp(-math.fsum(v / total * math.log(v / total) for v in positive))


# --- 2025 ---------------------------------------------------------------------------------------


def sharpe_variance(
    sharpe: float,
    count: float,
    skewness: float = 0.0,
    kurtosis: float = 3.0,
    autocorrelation: float = 0.0,
    trials: int = 1,
) -> float:
    """Variance of the estimated Sharpe ratio when the true one is `sharpe` (2025).

    [a - b g3 SR + c (g4 - 1)/4 SR^2] / T times the variance of the maximum of K normals, with
    a = 1 + 2r/(1-r), b = 1 + r/(1-r) + r^2/(1-r^2), c = 1 + 2r^2/(1-r^2), r = autocorrelation.
    """
    r = autocorrelation
    first = r / (1 - r)
    second = r * r / (1 - r * r)
    a, b, c = 1 + 2 * first, 1 + first + second, 1 + 2 * second
    shape = a - b * skewness * sharpe + c * (kurtosis - 1) / 4 * sharpe**2
    return shape / count * maximum_moments(trials)[1]


def psr(
    sharpe: float,
    benchmark: float,
    count: int,
    skewness: float = 0.0,
    kurtosis: float = 3.0,
    autocorrelation: float = 0.0,
    trials: int = 1,
) -> float:
    """Probabilistic Sharpe ratio of 2025: Phi((SR - SR0) / sqrt(variance at SR0))."""
    variance = sharpe_variance(benchmark, count, skewness, kurtosis, autocorrelation, trials)
    return probability_above(sharpe, benchmark, variance)
