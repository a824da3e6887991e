"""The gate's statistics: their size and power by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from vostok_core.backtest.moments import Moments, moments
from vostok_core.promotion.edge import probability_of_edge, promotable_sharpe, track_record_needed


@pytest.mark.parametrize(
    "values", [[], [0.01], [0.0] * 30, [0.01] * 30, [0.01, math.nan, 0.02], [0.01, math.inf, 0.0]]
)
def test_records_without_a_sharpe_ratio_are_nan_and_do_not_raise(values):
    record = moments(values)
    assert math.isnan(record.sharpe)
    assert math.isnan(probability_of_edge(record, 3))
    assert math.isnan(track_record_needed(record, 3))


@settings(deadline=None)
@given(
    values=st.lists(st.floats(-0.1, 0.1), min_size=10, max_size=40),
    trials=st.integers(1, 400),
)
def test_another_trial_never_makes_a_record_surer(values, trials):
    record = moments(values)
    if math.isnan(record.sharpe):
        return
    alone = probability_of_edge(record, trials)
    assert probability_of_edge(record, trials + 1) <= alone + 1e-12
    assert track_record_needed(record, trials + 1) >= track_record_needed(record, trials)


def test_one_normal_trial_is_students_test():
    rng = np.random.default_rng(11)
    for _ in range(20):
        x = rng.normal(0.1, 1, 30)
        record = moments(x)
        if record.cautious_autocorrelation == 0.0 and record.sharpe > 0:
            p = scipy_stats.ttest_1samp(x, 0, alternative="greater").pvalue
            assert probability_of_edge(record, 1) == pytest.approx(1 - p)


def test_promotable_sharpe_is_where_the_statistic_reaches_its_bound():
    needed = promotable_sharpe(60, 7, alpha=0.05)
    record = Moments(60, needed, 1.0, needed, 0.0, 3.0, -0.2, 59)
    assert probability_of_edge(record, 7) == pytest.approx(0.95, abs=1e-6)


def _autoregressive(rng: np.random.Generator, rho: float, count: int, paths: int) -> np.ndarray:
    noise = rng.normal(size=(paths, count))
    for t in range(1, count):
        noise[:, t] = rho * noise[:, t - 1] + math.sqrt(1 - rho * rho) * noise[:, t]
    return noise


def _best(records: list[Moments]) -> Moments:
    return max(records, key=lambda m: m.sharpe)


@pytest.mark.parametrize(
    ("null", "count", "trials", "markets", "least", "most"),
    [
        ("normal", 49, 1, 3000, 0.03, 0.06),
        ("normal", 49, 20, 500, 0.015, 0.075),
        ("fat tails", 49, 20, 500, 0.0, 0.06),
        ("autocorrelated", 120, 1, 2000, 0.03, 0.07),
        ("autocorrelated", 120, 20, 400, 0.02, 0.10),
        ("small gains, great losses", 60, 1, 2000, 0.025, 0.065),
        ("small gains, great losses", 60, 20, 400, 0.01, 0.10),
    ],
)
def test_size_of_the_two_track_record_rules_on_worthless_strategies(
    null, count, trials, markets, least, most
):
    rng = np.random.default_rng(20)
    paths = {
        "normal": lambda n: rng.normal(size=(n, count)),
        "fat tails": lambda n: rng.standard_t(3, size=(n, count)),
        "autocorrelated": lambda n: _autoregressive(rng, 0.2, count, n),
        "small gains, great losses": lambda n: 1 - rng.exponential(size=(n, count)),
    }[null](markets * trials)
    passed = 0
    for market in paths.reshape(markets, trials, count):
        # Moments of the best only: it is the one with the greatest t statistic.
        sharpe = market.mean(axis=1) / market.std(axis=1, ddof=1)
        record = moments(market[int(sharpe.argmax())])
        passed += probability_of_edge(
            record, trials
        ) >= 0.95 and record.count >= track_record_needed(record, trials)
    assert least <= passed / markets <= most


def test_ignoring_the_trials_is_what_makes_worthless_strategies_pass():
    """The size test has teeth: without K, most markets of 20 worthless strategies pass."""
    rng = np.random.default_rng(21)
    best = [_best([moments(p) for p in m]) for m in rng.normal(size=(60, 20, 49))]
    assert np.mean([probability_of_edge(m, 1) >= 0.95 for m in best]) > 0.4


def test_power_to_tell_a_strong_edge_from_luck():
    rng = np.random.default_rng(22)
    daily = 6 / math.sqrt(365)
    paths = rng.normal(daily, 1, size=(600, 120))
    passed = np.mean([probability_of_edge(moments(p), 1) >= 0.95 for p in paths])
    t = scipy_stats.t.ppf(0.95, 119)
    assert passed == pytest.approx(scipy_stats.nct.sf(t, 119, daily * math.sqrt(120)), abs=0.04)
    assert passed > 0.88
