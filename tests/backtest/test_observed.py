"""Which days of a path are evidence, and that nothing it gained or lost is lost with the others."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vostok_core.backtest.observed import observed_days
from vostok_core.lake.tables import table


def path(*days: tuple[float | None, float | None]) -> pl.DataFrame:
    """Days as (return, share observed); holding returned half as much."""
    return pl.DataFrame(
        {
            "date": [date(2024, 1, 1) + timedelta(days=i) for i in range(len(days))],
            "net_return": [day[0] for day in days],
            "benchmark_return": [None if day[0] is None else day[0] / 2 for day in days],
            "trades": [1] * len(days),
            "observed": [day[1] for day in days],
        },
        schema=table("trials").schema,
    )


def test_a_day_stays_with_half_of_its_bars_and_not_with_less() -> None:
    days = path((0.1, 1.0), (0.2, 0.5), (0.0, 0.4999), (0.3, 0.0))
    assert observed_days(days)["date"].to_list() == days["date"].to_list()[:2]


def test_a_day_of_which_nobody_knows_how_much_was_seen_does_not_stay() -> None:
    assert observed_days(path((0.1, None))).is_empty()


def test_a_path_that_was_seen_is_left_as_it_is_to_the_bit() -> None:
    days = path((0.1, 1.0), (-0.07, 0.9), (1e-17, 0.6), (0.0, 1.0))
    assert observed_days(days).equals(days)
    still = path((0.1, 1.0), (0.0, 0.0), (0.3, 1.0))
    assert observed_days(still).equals(still[[0, 2]])


def test_a_jump_at_the_end_of_an_outage_is_a_return_of_the_next_day_that_was_seen() -> None:
    days = path((0.01, 1.0), (-0.2, 0.1), (-0.1, 0.0), (0.05, 1.0), (0.02, 1.0))
    found = observed_days(days)
    assert found["net_return"].to_list() == [0.01, pytest.approx(0.8 * 0.9 * 1.05 - 1), 0.02]
    assert found["benchmark_return"][1] == pytest.approx(0.9 * 0.95 * 1.025 - 1)


def test_a_loss_in_an_outage_that_ends_the_path_is_one_of_the_last_day_that_was_seen() -> None:
    found = observed_days(path((0.01, 1.0), (-0.2, 0.1), (-0.1, 0.0)))
    assert found["net_return"].to_list() == [pytest.approx(1.01 * 0.8 * 0.9 - 1)]


@pytest.mark.parametrize("unknown", [None, math.nan])
def test_a_return_that_is_no_number_is_not_left_out_with_its_day(unknown: float | None) -> None:
    (found,) = observed_days(path((unknown, 0.0), (0.1, 1.0)))["net_return"].to_list()
    assert found is None or math.isnan(found)


@given(
    st.lists(st.tuples(st.floats(-0.5, 0.5), st.floats(0, 1)), min_size=1, max_size=30).filter(
        lambda days: any(seen >= 0.5 for _, seen in days)
    )
)
def test_what_a_path_made_of_its_start_is_what_its_observed_days_make(days) -> None:
    whole = path(*days)
    for name in ("net_return", "benchmark_return"):
        kept = np.prod(1 + observed_days(whole)[name].to_numpy())
        assert kept == pytest.approx(np.prod(1 + whole[name].to_numpy()))
