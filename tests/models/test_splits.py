from __future__ import annotations

import math
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vostok_core.errors import TrainingError
from vostok_core.models.splits import (
    Window,
    assert_disjoint,
    assert_known,
    calibration_split,
    clear_of,
    training_rows,
)
from vostok_core.times import DAY, HOUR, WEEK, day_start

SPANS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 30)), min_size=1, max_size=40)


def arrays(spans: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    starts = np.array(sorted(s for s, _ in spans))
    return starts, starts + np.array([d for _, d in spans])


def share_an_instant(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return any(t in range(b[0], b[1] + 1) for t in range(a[0], a[1] + 1))


@given(SPANS, st.integers(0, 60), st.integers(0, 30))
def test_purging_equals_comparing_instants(spans, hull_start: int, length: int) -> None:
    starts, ends = arrays(spans)
    hull = (hull_start, hull_start + length)
    expected = [not share_an_instant((s, e), hull) for s, e in zip(starts, ends, strict=True)]
    assert clear_of(starts, ends, *hull).tolist() == expected


@given(SPANS, st.floats(0.01, 0.89))
def test_no_fit_label_shares_an_instant_with_a_calibration_label(spans, share: float) -> None:
    starts, ends = arrays(spans)
    fit, newest = calibration_split(starts, ends, share)
    assert len(newest) >= math.ceil(share * len(starts))
    assert newest.tolist() == list(range(len(starts) - len(newest), len(starts)))
    assert not set(fit) & set(newest)
    for i in fit:
        for j in newest:
            assert not share_an_instant((starts[i], ends[i]), (starts[j], ends[j]))
    # Nothing is left out without need: the hull of the newest begins at its first decision.
    for i in set(range(len(starts))) - set(fit) - set(newest):
        assert ends[i] >= starts[newest[0]]
    assert_disjoint(starts[fit], ends[fit], starts[newest], ends[newest])


@given(SPANS, SPANS)
def test_the_assertion_fires_exactly_when_time_is_shared_with_the_hull(train, test) -> None:
    train_starts, train_ends = arrays(train)
    test_starts, test_ends = arrays(test)
    hull = (int(test_starts.min()), int(test_ends.max()))
    shared = any(
        share_an_instant((s, e), hull) for s, e in zip(train_starts, train_ends, strict=True)
    )
    if shared:
        with pytest.raises(TrainingError, match="share time"):
            assert_disjoint(train_starts, train_ends, test_starts, test_ends)
    else:
        assert_disjoint(train_starts, train_ends, test_starts, test_ends)


def test_touching_at_one_instant_is_sharing_time() -> None:
    with pytest.raises(TrainingError):
        assert_disjoint(np.array([0]), np.array([10]), np.array([10]), np.array([20]))
    assert_disjoint(np.array([0]), np.array([9]), np.array([10]), np.array([20]))


def labels_at(rows: list[tuple[int, int]]) -> pl.DataFrame:
    kind = pl.Datetime("us", "UTC")
    return pl.DataFrame(
        {
            "ts": pl.Series([a for a, _ in rows], dtype=pl.Int64).cast(kind),
            "label_end": pl.Series([b for _, b in rows], dtype=pl.Int64).cast(kind),
        }
    )


@given(
    st.lists(st.tuples(st.integers(-40 * DAY, DAY), st.integers(1, 3 * DAY)), max_size=30),
    st.integers(0, 3 * DAY),
    st.integers(1, 5),
)
def test_training_rows_equal_asking_every_label(offsets, lag: int, weeks: int) -> None:
    monday = date(2024, 3, 4)
    rows = [(day_start(monday) + a, day_start(monday) + a + d) for a, d in offsets]
    cutoff = day_start(monday) - lag
    expected = [(a, b) for a, b in rows if b < cutoff and a >= cutoff - weeks * WEEK]
    found = training_rows(labels_at(rows), monday, lag, weeks)
    assert (
        list(zip(found["ts"].to_physical(), found["label_end"].to_physical(), strict=True))
        == expected
    )
    window = Window.of(monday, lag, weeks)
    assert_known(
        found["ts"].to_physical().to_numpy(), found["label_end"].to_physical().to_numpy(), window
    )
    # With a lag of at least nothing, no label reaches into the week that the model is used in.
    assert all(b < day_start(monday) for _, b in expected)


def test_a_label_that_ends_at_the_cutoff_is_not_known_before_it() -> None:
    monday = date(2024, 3, 4)
    cutoff = day_start(monday) - DAY
    rows = [(cutoff - HOUR, cutoff - 1), (cutoff - HOUR, cutoff)]
    assert training_rows(labels_at(rows), monday, DAY, 1).height == 1
    with pytest.raises(TrainingError, match="outside the training window"):
        assert_known(np.array([cutoff - HOUR]), np.array([cutoff]), Window.of(monday, DAY, 1))


def test_decisions_at_the_same_instant_fall_on_the_same_side() -> None:
    starts = np.array([1, 5, 5, 5, 9])
    fit, newest = calibration_split(starts, starts + 1, 0.4)
    assert newest.tolist() == [1, 2, 3, 4]
    assert fit.tolist() == [0]
