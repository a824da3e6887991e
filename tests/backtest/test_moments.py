"""Moments, the hedge and the drawdown, against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from vostok_core.backtest.moments import hedge, max_drawdown, moments


@settings(deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), min_size=8, max_size=60))
def test_moments_equal_scipys(values):
    x = np.array(values)
    got = moments(values)
    if np.ptp(x) < 1e-9:
        return
    assert got.mean == pytest.approx(x.mean(), abs=1e-12)
    assert got.std == pytest.approx(x.std(ddof=1))
    assert got.sharpe == pytest.approx(x.mean() / x.std(ddof=1), abs=1e-9)
    assert got.skewness == pytest.approx(scipy_stats.skew(x), abs=1e-6)
    assert got.kurtosis == pytest.approx(scipy_stats.kurtosis(x, fisher=False), abs=1e-6)
    centred = x - x.mean()
    rho = (centred[1:] * centred[:-1]).sum() / (centred**2).sum()
    assert got.autocorrelation == pytest.approx(rho, abs=1e-9)


def test_bias_of_the_autocorrelation_estimate_is_removed():
    rng = np.random.default_rng(7)
    paths = rng.normal(size=(4000, 40))
    for day in range(1, 40):
        paths[:, day] = 0.3 * paths[:, day - 1] + math.sqrt(1 - 0.3**2) * paths[:, day]
    records = [moments(path) for path in paths]
    raw = np.mean([m.autocorrelation for m in records])
    unbiased = np.mean([(m.count * m.autocorrelation + 1) / (m.count - 3) for m in records])
    assert raw < 0.26
    assert unbiased == pytest.approx(0.3, abs=0.015)
    assert min(m.cautious_autocorrelation for m in records) == 0.0


def test_a_record_whose_variance_underflows_has_none() -> None:
    record = moments([0.0] * 27 + [2e-162])
    assert record.std == 0.0
    assert math.isnan(record.sharpe)


def test_hedge_is_the_regression_of_returns_on_the_benchmark():
    rng = np.random.default_rng(5)
    benchmark = rng.normal(0.01, 0.02, 50)
    returns = 0.003 + 0.7 * benchmark + rng.normal(0, 0.01, 50)
    got = hedge(returns, benchmark)
    fit = scipy_stats.linregress(benchmark, returns)
    record = moments(got.returns, fitted=1)
    assert got.beta == pytest.approx(fit.slope)
    assert record.mean == pytest.approx(fit.intercept)
    # The test of the hedged mean is the t test of the regression's intercept.
    t = record.sharpe * math.sqrt(record.count / got.inflation)
    assert t == pytest.approx(fit.intercept / fit.intercept_stderr)
    assert record.freedom == 48


def test_hedge_against_a_benchmark_that_stands_still_takes_nothing_out():
    got = hedge([0.01, -0.02, 0.03], [0.0, 0.0, 0.0])
    assert (got.beta, got.inflation) == (0.0, 1.0)
    assert got.returns.tolist() == [0.01, -0.02, 0.03]
    assert math.isnan(hedge([0.01, 0.02], [math.nan, 0.1]).beta)


def test_drawdown_is_the_worst_loss_from_an_earlier_peak():
    assert max_drawdown([1.0, 1.2, 0.9, 1.5, 1.2]) == pytest.approx(0.25)
    assert max_drawdown([1.0, 1.1, 1.2]) == 0.0
    assert max_drawdown([]) == 0.0


@pytest.mark.parametrize("alpha", [0.0, 0.0002])
@pytest.mark.parametrize("beta", [0.1, 0.3, 0.7, 1.3])
def test_of_exposure_alone_nothing_is_left_not_even_its_rounding(alpha, beta):
    """Else the rounding has a Sharpe ratio of its own, and one without bound beside a constant."""
    benchmark = np.random.default_rng(8).normal(0.002, 0.02, 60)
    got = hedge(alpha + beta * benchmark, benchmark)
    assert got.beta == pytest.approx(beta)
    assert got.returns == pytest.approx([alpha] * 60, abs=1e-16)
    record = moments(got.returns, fitted=1)
    assert record.std == 0.0
    assert math.isnan(record.sharpe)


def test_a_benchmark_whose_variance_underflows_stands_still():
    got = hedge([0.01, -0.02, 0.03], [0.0, 0.0, 1e-170])
    assert (got.beta, got.inflation) == (0.0, 1.0)
