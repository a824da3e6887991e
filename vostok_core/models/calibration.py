"""From raw scores to probabilities of a net profit.

Both kinds are two short arrays applied by one kernel. `sigmoid` is Platt scaling (1999) fitted as
Lin, Lin and Weng (2007) do, with Platt's smoothed targets; `isotonic` is the fit by pooling
adjacent violators, interpolated between its knots and constant beyond them. Neither may fall where
the score rises: on a slice where high scores did worse, all get the slice's base rate.

Calibration is fitted without sample weights, because decisions are taken without any.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vostok_core.compiled import nb
from vostok_core.errors import BundleError

_F8 = nb.types.Array(nb.float64, 1, "C", readonly=True)
_SIGMOID, _ISOTONIC = 0, 1
_KINDS = {"sigmoid": _SIGMOID, "isotonic": _ISOTONIC}


@nb.njit(nb.float64(nb.float64), cache=True, nogil=True)
def _logistic(z):  # type: ignore[no-untyped-def]
    if z >= 0.0:
        return 1.0 / (1.0 + math.exp(-z))
    e = math.exp(z)
    return e / (1.0 + e)


@nb.njit(nb.void(nb.int64, _F8, _F8, _F8, nb.float64[::1]), cache=True, nogil=True)
def _probability(kind, x, y, scores, out):  # type: ignore[no-untyped-def]
    last = x.shape[0] - 1
    for i in range(scores.shape[0]):
        score = scores[i]
        if kind == _SIGMOID:
            out[i] = _logistic(x[0] * score + y[0])
        elif math.isnan(score):  # it lies between no two knots
            out[i] = math.nan
        elif score <= x[0]:
            out[i] = y[0]
        elif score >= x[last]:
            out[i] = y[last]
        else:
            k = np.searchsorted(x, score, side="right") - 1
            share = (score - x[k]) / (x[k + 1] - x[k])
            # Kept between the knots: rounding must not make the curve fall.
            out[i] = min(y[k + 1], max(y[k], y[k] + share * (y[k + 1] - y[k])))


@nb.njit(
    nb.float64(_F8, _F8, nb.float64, nb.float64, nb.float64, nb.float64), cache=True, nogil=True
)
def _sigmoid_loss(scores, labels, high, low, slope, intercept):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(scores.shape[0]):
        z = slope * scores[i] + intercept
        target = high if labels[i] > 0.5 else low
        # -t·log p - (1 - t)·log(1 - p), written so that exp never overflows
        if z >= 0.0:
            total += (1.0 - target) * z + math.log1p(math.exp(-z))
        else:
            total += -target * z + math.log1p(math.exp(z))
    return total


@nb.njit(nb.types.UniTuple(nb.float64, 2)(_F8, _F8), cache=True, nogil=True)
def _fit_sigmoid(scores, labels):  # type: ignore[no-untyped-def]
    n = scores.shape[0]
    positives = 0.0
    for i in range(n):
        positives += labels[i]
    high = (positives + 1.0) / (positives + 2.0)
    low = 1.0 / (n - positives + 2.0)
    slope, intercept = 0.0, math.log((positives + 1.0) / (n - positives + 1.0))

    value = _sigmoid_loss(scores, labels, high, low, slope, intercept)
    moved = value
    for _ in range(100):
        h11 = h22 = 1e-12
        h21 = g1 = g2 = 0.0
        for i in range(n):
            p = _logistic(slope * scores[i] + intercept)
            target = high if labels[i] > 0.5 else low
            w = p * (1.0 - p)
            h11 += scores[i] * scores[i] * w
            h22 += w
            h21 += scores[i] * w
            g1 += scores[i] * (p - target)
            g2 += p - target
        if abs(g1) < 1e-10 and abs(g2) < 1e-10:
            break
        determinant = h11 * h22 - h21 * h21
        da = -(h22 * g1 - h21 * g2) / determinant
        db = -(-h21 * g1 + h11 * g2) / determinant
        descent = g1 * da + g2 * db
        step = 1.0
        while step >= 1e-10:
            moved = _sigmoid_loss(
                scores, labels, high, low, slope + step * da, intercept + step * db
            )
            if moved < value + 1e-4 * step * descent:
                break
            step /= 2.0
        if step < 1e-10:
            break
        slope += step * da
        intercept += step * db
        value = moved
    return slope, intercept


@nb.njit(nb.int64(nb.float64[::1], nb.float64[::1], nb.float64[::1]), cache=True, nogil=True)
def _pool(x, y, weight):  # type: ignore[no-untyped-def]
    """Pool adjacent violators in place; afterwards the fitted value of every x stands in y."""
    n = x.shape[0]
    ends = np.empty(n, dtype=np.int64)
    mean = np.empty(n)
    mass = np.empty(n)
    blocks = 0
    for i in range(n):
        mean[blocks], mass[blocks], ends[blocks] = y[i], weight[i], i + 1
        blocks += 1
        while blocks > 1 and mean[blocks - 2] >= mean[blocks - 1]:
            total = mass[blocks - 2] + mass[blocks - 1]
            mean[blocks - 2] = (
                mean[blocks - 2] * mass[blocks - 2] + mean[blocks - 1] * mass[blocks - 1]
            ) / total
            mass[blocks - 2] = total
            ends[blocks - 2] = ends[blocks - 1]
            blocks -= 1
    start = 0
    for b in range(blocks):
        y[start : ends[b]] = mean[b]
        start = ends[b]
    return blocks


@dataclass(frozen=True)
class Calibration:
    """A fitted calibration.

    Attributes:
        kind: `sigmoid`: p = 1 / (1 + exp(-(x[0]·score + y[0]))). `isotonic`: p is interpolated
            between the knots (x, y).
        x: Slope, or the knots' scores, increasing; float64.
        y: Intercept, or the knots' probabilities, not decreasing; float64.
    """

    kind: Literal["sigmoid", "isotonic"]
    x: np.ndarray
    y: np.ndarray

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise _broken(f"its kind {self.kind!r} is unknown")
        for array in (self.x, self.y):
            if array.dtype != np.dtype("<f8") or array.ndim != 1 or not np.isfinite(array).all():
                raise _broken("it is not two flat arrays of numbers")
        if len(self.x) != len(self.y) or not len(self.x):
            raise _broken("its arrays differ in length")
        if self.kind == "sigmoid" and (len(self.x) != 1 or self.x[0] < 0.0):
            raise _broken("a sigmoid has one slope, which is not negative")
        if self.kind == "isotonic" and (
            np.any(np.diff(self.x) <= 0.0)
            or np.any(np.diff(self.y) < 0.0)
            or self.y[0] < 0.0
            or self.y[-1] > 1.0
        ):
            raise _broken("its knots are not increasing")

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated probability of every raw score; float64 in [0, 1], shape as given.

        A score that is NaN has the probability NaN.
        """
        scores = np.ascontiguousarray(scores, dtype=np.float64)
        out = np.empty(scores.shape[0])
        _probability(_KINDS[self.kind], self.x, self.y, scores, out)
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, as a bundle keeps them."""
        return {"calibration_x": self.x, "calibration_y": self.y}

    @classmethod
    def from_arrays(
        cls, kind: Literal["sigmoid", "isotonic"], arrays: Mapping[str, np.ndarray]
    ) -> Calibration:
        """A calibration from named arrays.

        Raises:
            BundleError: An array is absent or breaks an invariant.
        """
        if "calibration_x" not in arrays or "calibration_y" not in arrays:
            raise _broken("an array is absent")
        return cls(kind, arrays["calibration_x"], arrays["calibration_y"])


def fit_calibration(
    kind: Literal["sigmoid", "isotonic"], scores: np.ndarray, labels: np.ndarray
) -> Calibration:
    """Fit a calibration on scores that the model was not fitted on.

    Args:
        kind: Which.
        scores: Raw scores, float64.
        labels: 0 or 1; both must occur.

    Raises:
        ValueError: Only one of the labels occurs.
    """
    scores = np.ascontiguousarray(scores, dtype=np.float64)
    targets = np.ascontiguousarray(labels, dtype=np.float64)
    positives = int(targets.sum())
    if not 0 < positives < len(targets):
        raise ValueError("calibration needs labels of both kinds")
    if kind == "sigmoid":
        slope, intercept = _fit_sigmoid(scores, targets)
        if not slope > 0.0:
            slope = 0.0
            _, intercept = _fit_sigmoid(np.zeros_like(scores), targets)
        return Calibration(kind, np.array([slope]), np.array([intercept]))
    order = np.argsort(scores, kind="stable")
    x, first, counts = np.unique(scores[order], return_index=True, return_counts=True)
    sums = np.add.reduceat(targets[order], first)
    y, weight = sums / counts, counts.astype(np.float64)
    _pool(x, y, weight)
    # A plateau needs only its two ends.
    inner = np.zeros(len(x), dtype=bool)
    inner[1:-1] = (y[1:-1] == y[:-2]) & (y[1:-1] == y[2:])
    return Calibration(kind, x[~inner].copy(), y[~inner].copy())


def _broken(what: str) -> BundleError:
    return BundleError(f"the calibration can't be trusted: {what}", hint="train the model again")
