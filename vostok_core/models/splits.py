"""Which labels may train what (AFML chapter 7, in its causal, walk-forward form).

A label occupies the closed interval [ts, label_end]. Whatever shares an instant with the interval
that a model is judged or calibrated on is kept out of its fit. No embargo: nothing that a model is
judged on comes before what it was fitted on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from vostok_core.errors import TrainingError
from vostok_core.times import WEEK, day_start


@dataclass(frozen=True)
class Window:
    """What the model of a week may see: decisions from `start` whose labels ended before `cutoff`.

    Times in microseconds UTC.
    """

    start: int
    cutoff: int

    @classmethod
    def of(cls, week: date, lag_us: int, train_weeks: int) -> Window:
        """The window of the week named by its Monday, `lag_us` before which the newest data end."""
        cutoff = day_start(week) - lag_us
        return cls(cutoff - train_weeks * WEEK, cutoff)


def training_rows(labels: pl.DataFrame, week: date, lag_us: int, train_weeks: int) -> pl.DataFrame:
    """The labels that the model of a week may see: `ts` in its window, known before its end.

    Args:
        labels: Rows with `ts` and `label_end`.
        week: The Monday from which, at 00:00, the model is used; live, from its promotion.
        lag_us: The deployment lag.
        train_weeks: Length of the window.
    """
    window = Window.of(week, lag_us, train_weeks)
    return labels.filter(
        pl.col("ts").to_physical() >= window.start,
        pl.col("label_end").to_physical() < window.cutoff,
    )


def clear_of(starts: np.ndarray, ends: np.ndarray, hull_start: int, hull_end: int) -> np.ndarray:
    """Which closed intervals share no instant with the closed hull [hull_start, hull_end]."""
    clear: np.ndarray = (ends < hull_start) | (starts > hull_end)
    return clear


def calibration_split(
    starts: np.ndarray, ends: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Split a window into what is fitted on and what is calibrated on.

    Args:
        starts: Decision times in microseconds, in increasing order.
        ends: Label ends.
        share: Share of the labels, the newest, that is calibrated on.

    Returns:
        Indices of the fit labels, purged against the hull of the others, and of the others.
    """
    n = len(starts)
    if np.any(np.diff(starts) < 0):
        raise ValueError("labels must be in time order")
    boundary = n - math.ceil(share * n)
    while 0 < boundary < n and starts[boundary - 1] == starts[boundary]:
        boundary -= 1
    newest = np.arange(boundary, n)
    if boundary in (0, n):
        return np.arange(0, boundary), newest
    older = np.arange(boundary)
    clear = clear_of(starts[older], ends[older], int(starts[newest].min()), int(ends[newest].max()))
    return older[clear], newest


def assert_disjoint(
    train_starts: np.ndarray, train_ends: np.ndarray, test_starts: np.ndarray, test_ends: np.ndarray
) -> None:
    """Check that no train label shares an instant with the hull of the test labels.

    Raises:
        TrainingError: One does: a split is wrong, and nothing must be fitted on it.
    """
    if not len(train_starts) or not len(test_starts):
        return
    clear = clear_of(train_starts, train_ends, int(test_starts.min()), int(test_ends.max()))
    if not clear.all():
        raise TrainingError(
            f"{int((~clear).sum())} train labels share time with the labels they must not see",
            hint="this is a defect of the split, not of the data: please report it",
        )


def assert_known(starts: np.ndarray, ends: np.ndarray, window: Window) -> None:
    """Check that every label lies in the window and was known before its end.

    Raises:
        TrainingError: One is not.
    """
    outside = (starts < window.start) | (ends >= window.cutoff)
    if outside.any():
        raise TrainingError(
            f"{int(outside.sum())} labels lie outside the training window",
            hint="this is a defect of the split, not of the data: please report it",
        )
