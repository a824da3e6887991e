from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vostok_core.labels.barriers import barrier_ticks, horizon_sigma

TICKS = st.sampled_from([Decimal(t) for t in ("0.00000001", "0.0001", "0.01", "0.05", "0.5", "1")])


def test_barriers_of_a_price_on_the_grid() -> None:
    # 65,000.12 ± 1.5 × 2 % = 66,950.1236 and 63,050.1164
    assert barrier_ticks(65000.12, 0.02, 1.5, 1.5, Decimal("0.01")) == (6_695_012, 6_305_012)


def test_a_barrier_that_falls_on_a_tick_stays_there() -> None:
    assert barrier_ticks(100.0, 0.25, 2.0, 1.0, Decimal("0.5")) == (300, 150)


def test_a_price_between_ticks_gets_barriers_that_enclose_it_within_the_distances() -> None:
    assert barrier_ticks(100.25, 0.01, 1.0, 1.0, Decimal("0.5")) == (202, 199)


def test_barriers_closer_than_a_tick_are_put_one_tick_away() -> None:
    assert barrier_ticks(1.0, 1e-9, 1.0, 1.0, Decimal("0.01")) == (101, 99)


def test_a_stop_below_zero_is_the_smallest_price() -> None:
    assert barrier_ticks(1.0, 0.9, 2.0, 2.0, Decimal("0.01"))[1] == 1


@pytest.mark.parametrize(
    ("reference", "sigma"), [(0.0, 0.1), (-1.0, 0.1), (1.0, 0.0), (1.0, math.nan), (math.inf, 0.1)]
)
def test_no_barriers_without_a_price_and_a_volatility(reference: float, sigma: float) -> None:
    with pytest.raises(ValueError, match="no barriers"):
        barrier_ticks(reference, sigma, 1.0, 1.0, Decimal("0.01"))


@given(
    n=st.integers(1, 10**11),
    tick=TICKS,
    sigma=st.floats(1e-5, 0.3),
    up=st.floats(0.1, 4),
    down=st.floats(0.1, 3),
)
def test_rounding_never_enlarges_the_distance_and_moves_less_than_a_tick(
    n: int, tick: Decimal, sigma: float, up: float, down: float
) -> None:
    upper, lower = barrier_ticks(float(n * tick), sigma, up, down, tick)
    exact_up = n * Fraction(up) * Fraction(sigma)
    exact_down = n * Fraction(down) * Fraction(sigma)
    hair = Fraction(1, 10**9) + n * Fraction(2) ** -50  # what doubles can't tell apart
    if exact_up >= 1:
        assert exact_up - 1 - hair < upper - n <= exact_up + hair
    else:
        assert upper - n == 1
    if 1 <= exact_down < n - 1:
        assert exact_down - 1 - hair < n - lower <= exact_down + hair
    elif exact_down < 1:
        assert lower == max(n - 1, 1)


def test_volatility_grows_with_the_root_of_the_horizon() -> None:
    assert horizon_sigma(0.001, 240) == 0.001 * 240**0.5
