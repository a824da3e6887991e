from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from vostok_core.errors import BundleError
from vostok_core.models.calibration import Calibration, fit_calibration


def sample(seed: int, n: int = 400, slope: float = 1.3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.normal(0.2, 1.0, n), 2)
    labels = (rng.random(n) < 1 / (1 + np.exp(-(slope * scores - 0.4)))).astype(float)
    labels[:2] = 0, 1
    return scores, labels


@pytest.mark.parametrize("seed", range(5))
def test_sigmoid_minimises_the_log_loss_of_platts_targets(seed: int) -> None:
    scores, labels = sample(seed)
    positives = labels.sum()
    targets = np.where(
        labels == 1, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2)
    )

    def loss(x: np.ndarray) -> float:
        z = x[0] * scores + x[1]
        return float(np.sum(np.logaddexp(0, z) - targets * z))

    best = minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-9})
    found = fit_calibration("sigmoid", scores, labels)
    np.testing.assert_allclose([found.x[0], found.y[0]], best.x, rtol=1e-5, atol=1e-6)
    expected = 1 / (1 + np.exp(-(found.x[0] * scores + found.y[0])))
    np.testing.assert_allclose(found.probability(scores), expected, rtol=1e-14)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), n=st.integers(3, 200), decimals=st.integers(0, 4))
def test_isotonic_is_scikit_learns(seed: int, n: int, decimals: int) -> None:
    from sklearn.isotonic import IsotonicRegression

    scores, labels = sample(seed, n)
    scores = np.round(scores, decimals)
    found = fit_calibration("isotonic", scores, labels)
    oracle = IsotonicRegression(out_of_bounds="clip").fit(scores, labels)
    asked = np.concatenate([scores, np.linspace(-6, 6, 101), [np.inf, -np.inf]])
    finite = np.clip(asked, -1e9, 1e9)
    np.testing.assert_allclose(
        found.probability(asked), oracle.predict(finite), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("kind", ["sigmoid", "isotonic"])
@given(seed=st.integers(0, 2**32), slope=st.sampled_from([-2.0, 0.0, 2.0, 50.0]))
@settings(max_examples=40)
def test_probabilities_never_fall_where_scores_rise(kind: str, seed: int, slope: float) -> None:
    scores, labels = sample(seed, 120, slope)
    found = fit_calibration(kind, scores, labels)
    curve = found.probability(np.sort(np.concatenate([scores, np.linspace(-50, 50, 997)])))
    assert (np.diff(curve) >= 0).all()
    assert ((curve >= 0) & (curve <= 1)).all()


def test_a_model_that_is_wrong_on_the_slice_gets_the_base_rate_not_a_reversal() -> None:
    scores, labels = sample(3, 2000, slope=-2.0)
    found = fit_calibration("sigmoid", scores, labels)
    rate = (labels.sum() + 1) / (len(labels) + 2)
    np.testing.assert_allclose(found.probability(np.array([-3.0, 3.0])), rate, rtol=1e-3)


def test_huge_scores_do_not_overflow() -> None:
    found = Calibration("sigmoid", np.array([2.0]), np.array([0.0]))
    assert found.probability(np.array([-1e308, 0.0, 1e308])).tolist() == [0.0, 0.5, 1.0]


def test_labels_that_scores_separate_can_still_be_fitted() -> None:
    scores = np.linspace(-1, 1, 50)
    found = fit_calibration("sigmoid", scores, (scores > 0).astype(float))
    assert math.isfinite(found.x[0])
    assert found.probability(np.array([1.0]))[0] > 0.9


def test_labels_of_one_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="both kinds"):
        fit_calibration("sigmoid", np.arange(5.0), np.ones(5))


@pytest.mark.parametrize(
    ("kind", "x", "y"),
    [
        ("sigmoid", [-1.0], [0.0]),
        ("sigmoid", [1.0, 2.0], [0.0, 1.0]),
        ("sigmoid", [np.nan], [0.0]),
        ("isotonic", [0.0, 0.0], [0.1, 0.2]),
        ("isotonic", [0.0, 1.0], [0.3, 0.2]),
        ("isotonic", [0.0, 1.0], [0.3, 1.2]),
        ("isotonic", [0.0], [0.3, 0.4]),
        ("isotonic", [], []),
        ("spline", [0.0], [0.3]),
    ],
)
def test_arrays_that_are_no_calibration_are_refused(kind: str, x: list, y: list) -> None:
    with pytest.raises(BundleError, match="calibration"):
        Calibration(kind, np.array(x, dtype=float), np.array(y, dtype=float))


@pytest.mark.parametrize("kind", ["sigmoid", "isotonic"])
def test_a_score_that_is_not_a_number_has_no_probability(kind) -> None:
    scores = np.array([-1.0, 0.0, 1.0, 2.0])
    calibration = fit_calibration(kind, scores, np.array([0.0, 1.0, 0.0, 1.0]))
    found = calibration.probability(np.array([0.5, np.nan, 1.5]))
    assert np.isnan(found).tolist() == [False, True, False]
