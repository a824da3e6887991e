"""How sure a record makes us of an edge: what the gate asks of the formulas of `backtest.sharpe`.

docs/promotion.md defends them and tabulates how often they err; `bench/gate_size.py` measures it.
"""

from __future__ import annotations

import math

from scipy.special import stdtr, stdtrit

from vostok_core.backtest.moments import Moments
from vostok_core.backtest.sharpe import (
    expected_maximum,
    normal_ppf,
    probability_above,
    sharpe_variance,
)


def probability_of_edge(record: Moments, trials: int = 1, *, inflation: float = 1.0) -> float:
    """How surely the best of K trials has a positive Sharpe ratio; the gate's statistic.

    The smaller of two answers to "how often would the best of K worthless trials look worse":

    * `psr` as published in 2025, with SR0 = E[max_K] sqrt(V(0)) and the variance at SR0 times
      that of the maximum: a normal with the right two moments;
    * the law of the maximum itself, F(SR / sqrt(V(0)))^K, F being Student's t with the record's
      degrees of freedom. The maximum of normals leans to the right and a short record has fat
      tails, which the first form misses: at K = 20 and 28 days its true size is 0.07 for 0.05.

    Both use the autocorrelation without its bias and never below 0, and skewness only where it is
    negative. The value never rises with `trials`.

    Args:
        record: Moments of the returns.
        trials: K >= 1, every trial that could have been chosen.
        inflation: Further factor of the variance (of a hedged record: `Hedge.inflation`).

    Returns:
        A probability; NaN when the record has no Sharpe ratio.
    """
    if not math.isfinite(record.sharpe):
        return math.nan
    rho = record.cautious_autocorrelation
    count = record.count / inflation
    deviation = math.sqrt(sharpe_variance(0.0, count, autocorrelation=rho))
    benchmark = expected_maximum(trials) * deviation
    variance = sharpe_variance(
        benchmark, count, record.cautious_skewness, record.kurtosis, rho, trials
    )
    published = probability_above(record.sharpe, benchmark, variance)
    exact = float(stdtr(record.freedom, record.sharpe / deviation)) ** trials
    return min(published, exact)


def track_record_needed(record: Moments, trials: int = 1, *, alpha: float = 0.05) -> float:
    """Observations that a record with these moments needs; the gate's minimum track record.

    V(SR) (z / SR)^2, where V is the 2025 variance at the *observed* Sharpe ratio, with skewness
    only where it is negative, and z the normal quantile of (1 - alpha)^(1/K). `psr` measures by
    the deviation that a worthless strategy would show, in which skewness and kurtosis have no part
    while K = 1; this measures by the deviation of the record's own shape, so that small gains with
    rare great losses need a longer record, once a loss is on it. A record that holds none of them
    shows no shape, and no test of moments sees what is not there: see docs/promotion.md.

    Returns:
        Observations; infinite when the Sharpe ratio is not above 0, NaN when there is none.
    """
    if math.isnan(record.sharpe):
        return math.nan
    if record.sharpe <= 0:
        return math.inf
    shape = sharpe_variance(
        record.sharpe,
        1,
        record.cautious_skewness,
        record.kurtosis,
        record.cautious_autocorrelation,
    )
    return shape * (normal_ppf((1 - alpha) ** (1 / trials)) / record.sharpe) ** 2


def promotable_sharpe(
    count: int, trials: int = 1, *, alpha: float = 0.05, autocorrelation: float = 0.0
) -> float:
    """Sharpe ratio at which a record of `count` observations passes `probability_of_edge`.

    A strategy whose true Sharpe ratio this is passes about every second time.
    """
    quantile = float(stdtrit(count - 1, (1 - alpha) ** (1 / trials)))
    return quantile * math.sqrt(sharpe_variance(0.0, count, autocorrelation=autocorrelation))
