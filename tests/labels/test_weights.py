from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vostok_core.labels.weights import average_uniqueness

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), min_size=1, max_size=25)


def slow_uniqueness(starts: np.ndarray, ends: np.ndarray) -> list[float]:
    """Instant by instant, as chapter 4 defines it."""
    return [
        float(
            np.mean(
                [
                    1 / sum(s <= t < e for s, e in zip(starts, ends, strict=True))
                    for t in range(start, end)
                ]
            )
        )
        for start, end in zip(starts, ends, strict=True)
    ]


def test_the_three_labels_of_chapter_four() -> None:
    # Labels over periods 0-2, 2-3 and 4-5: uniqueness 5/6, 3/4, 1 (AFML 4.4).
    found = average_uniqueness(np.array([0, 2, 4]), np.array([3, 4, 6]))
    np.testing.assert_allclose(found, [5 / 6, 3 / 4, 1], rtol=1e-15)


@given(SPANS)
def test_equals_counting_every_instant(spans: list[tuple[int, int]]) -> None:
    starts = np.array([s for s, _ in spans])
    ends = starts + np.array([d for _, d in spans])
    found = average_uniqueness(starts, ends)
    np.testing.assert_allclose(found, slow_uniqueness(starts, ends), rtol=1e-12)
    assert ((found > 0) & (found <= 1)).all()


@given(SPANS, st.randoms())
def test_order_of_the_labels_does_not_matter(spans: list[tuple[int, int]], random) -> None:
    starts = np.array([s for s, _ in spans])
    ends = starts + np.array([d for _, d in spans])
    order = np.array(random.sample(range(len(spans)), len(spans)))
    np.testing.assert_array_equal(
        average_uniqueness(starts, ends)[order], average_uniqueness(starts[order], ends[order])
    )


def test_a_label_without_life_is_refused() -> None:
    with pytest.raises(ValueError, match="must end after"):
        average_uniqueness(np.array([5]), np.array([5]))
