"""Sharpe statistics: published vectors and the authors' own library."""

from __future__ import annotations

import math

import jsharpe
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy import stats as scipy_stats

from vostok_core.backtest import sharpe as s

# Bailey and López de Prado's hedge fund: monthly mean .036, deviation .079, 24 months.
MEAN, DEVIATION = 0.036, 0.079
FUND = MEAN / DEVIATION
SHAPE = (-2.448, 10.164)


@pytest.mark.parametrize(
    ("sharpe", "skewness", "kurtosis", "trials", "expected"),
    [
        (2.5, -3, 10, 100, 0.900397),
        (2.5, -3, 10, 46, 0.950502),
        (2.5, 0, 3, 88, 0.950491),
        (2.5, 0, 3, 89, 0.949839),
    ],
)
def test_deflated_sharpe_of_the_paper(sharpe, skewness, kurtosis, trials, expected):
    value = s.deflated_sharpe(sharpe / math.sqrt(250), 1250, trials, 0.5 / 250, skewness, kurtosis)
    assert value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("trials", "expected"), [(100, 0.113172), (46, 0.100362)])
def test_threshold_that_the_deflated_sharpe_paper_prints(trials, expected):
    assert math.sqrt(0.5 / 250) * s.expected_maximum(trials) == pytest.approx(expected, abs=1e-6)


def test_psr_2012_of_the_paper():
    assert s.psr_2012(0.458, 0, 24) == pytest.approx(0.981675, abs=1e-6)
    assert s.psr_2012(0.458, 0, 24, *SHAPE) == pytest.approx(0.913361, abs=1e-6)


@pytest.mark.parametrize(
    ("sharpe", "shape", "deviation"),
    [(0.7079, (-0.2250, 2.9570), 0.1028), (0.8183, (-1.4455, 7.0497), 0.1550)],
)
def test_deviation_of_two_hedge_fund_indices(sharpe, shape, deviation):
    assert math.sqrt(s.sharpe_variance_2012(sharpe, 134, *shape)) == pytest.approx(
        deviation, abs=5e-5
    )


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        (2, 0.519755),
        (5, 1.192594),
        (7, 1.386774),
        (10, 1.574598),
        (45, 2.235640),
        (100, 2.530603),
        (1000, 3.255122),
    ],
)
def test_expected_maximum_of_trials(trials, expected):
    assert s.expected_maximum(trials) == pytest.approx(expected, abs=1e-6)


def test_one_trial_has_no_maximum_to_allow_for():
    assert s.expected_maximum(1) == 0.0
    assert s.maximum_moments(1) == (0.0, 1.0)


def test_a_fraction_above_one_trial_does_not_lower_the_bar():
    expected = [s.expected_maximum(k) for k in (1, 1.05, 1.2, 1.5, 2)]
    assert expected == sorted(expected)
    assert expected[0] == 0.0


def test_2025_statistics_of_the_fund():
    assert math.sqrt(s.sharpe_variance(FUND, 24, *SHAPE)) == pytest.approx(0.329, abs=5e-4)
    assert math.sqrt(s.sharpe_variance(FUND, 24)) == pytest.approx(0.214, abs=5e-4)
    assert s.psr(FUND, 0, 24, *SHAPE) == pytest.approx(0.987, abs=5e-4)
    assert s.psr(FUND, 0.1, 24, *SHAPE) == pytest.approx(0.939, abs=5e-4)


def test_2025_statistics_of_the_fund_with_autocorrelation():
    shape = (*SHAPE, 0.2)
    assert s.psr(FUND, 0, 24, *shape) == pytest.approx(0.966, abs=5e-4)
    assert s.psr(FUND, 0.1, 24, *shape) == pytest.approx(0.900, abs=5e-4)


def test_2025_deflation_of_the_fund():
    best = s.expected_maximum(10) * math.sqrt(0.1)
    assert best == pytest.approx(0.498, abs=5e-4)
    assert math.sqrt(s.sharpe_variance(best, 24, *SHAPE, 0, 10)) == pytest.approx(0.200, abs=5e-4)
    assert s.psr(FUND, best, 24, *SHAPE, 0, 10) == pytest.approx(0.416, abs=5e-4)
    assert math.sqrt(s.sharpe_variance(best, 24, *SHAPE)) == pytest.approx(0.341, abs=5e-4)
    assert s.psr(FUND, best, 24, *SHAPE) == pytest.approx(0.451, abs=5e-4)
    assert s.psr(FUND, best, 24, *SHAPE, 0.2, 10) == pytest.approx(0.427, abs=5e-4)


@pytest.mark.parametrize(
    ("count", "sharpe", "expected"), [(12, 0.5, 0.3062), (60, 1, 0.1581), (250, 1, 0.0775)]
)
def test_deviation_of_a_normal_sharpe_by_lo(count, sharpe, expected):
    assert math.sqrt(s.sharpe_variance(sharpe, count)) == pytest.approx(expected, abs=5e-5)


@settings(deadline=None)
@given(
    sharpe=st.floats(-0.5, 0.9),
    benchmark=st.floats(-0.3, 0.4),
    count=st.integers(10, 3000),
    skewness=st.floats(-1.5, 1.5),
    excess=st.floats(0.5, 10),
    rho=st.floats(-0.5, 0.7),
    trials=st.integers(1, 60),
)
def test_agrees_with_the_library_of_the_2025_authors(
    sharpe, benchmark, count, skewness, excess, rho, trials
):
    kurtosis = skewness**2 + 1 + excess
    ours, theirs = (skewness, kurtosis, rho), {"gamma3": skewness, "gamma4": kurtosis, "rho": rho}
    variance = jsharpe.sharpe_ratio_variance(benchmark, count, K=trials, **theirs)
    assert s.sharpe_variance(benchmark, count, *ours, trials) == pytest.approx(variance, rel=1e-6)
    if s.sharpe_variance(benchmark, count, *ours) <= 0:
        return
    assert s.psr(sharpe, benchmark, count, *ours, trials) == pytest.approx(
        jsharpe.probabilistic_sharpe_ratio(sharpe, benchmark, T=count, K=trials, **theirs),
        rel=1e-6,
        abs=1e-12,
    )


@settings(deadline=None)
@given(trials=st.integers(2, 5000))
def test_expected_maxima_agree_with_the_library(trials):
    assert s.expected_maximum(trials) == pytest.approx(
        jsharpe.expected_maximum_sharpe_ratio(trials, 1.0)
    )


@pytest.mark.parametrize("trials", [2, 3, 20, 500])
def test_moments_of_the_maximum_equal_adaptive_quadrature(trials):
    def density(z: float) -> float:
        return trials * scipy_stats.norm.pdf(z) * scipy_stats.norm.cdf(z) ** (trials - 1)

    mean = integrate.quad(lambda z: z * density(z), -9, 9, limit=200)[0]
    second = integrate.quad(lambda z: z * z * density(z), -9, 9, limit=200)[0]
    assert s.maximum_moments(trials) == pytest.approx((mean, second - mean**2), abs=1e-9)


def test_effective_rank_of_known_matrices():
    assert s.effective_rank(np.eye(4)) == pytest.approx(4)
    assert s.effective_rank(np.ones((4, 4))) == pytest.approx(1)
    blocks = np.kron(np.eye(2), np.ones((3, 3)))
    assert s.effective_rank(blocks) == pytest.approx(2)
    noisy = np.corrcoef(np.random.default_rng(3).normal(size=(12, 90)))
    assert s.effective_rank(noisy) == pytest.approx(jsharpe.effective_rank(noisy))
