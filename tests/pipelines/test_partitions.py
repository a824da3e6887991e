"""Partition keys: what Dagster writes, what assets read back."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from vostok_core.settings import InstrumentSettings, Settings
from vostok_core.times import week_of
from vostok_pipelines.partitions import (
    Partitions,
    date_key,
    days_by_instrument,
    week_key,
    weeks_by_instrument,
)

A, B = "x.spot.AAA-USD", "x.spot.BBB-USD"


@pytest.fixture
def partitions() -> Partitions:
    rules = InstrumentSettings.model_validate(
        {"tick": "trade", "price_tick": "0.1", "quantity_step": "0.1"}
    )
    return Partitions.of(Settings(instruments={A: rules, B: rules}))


def test_keys_of_both_grids_are_dagsters_own(partitions: Partitions) -> None:
    day, monday = date(2024, 2, 29), date(2024, 2, 26)
    assert partitions.date_instrument.has_partition_key(date_key(day, A))
    assert partitions.week_instrument.has_partition_key(week_key(monday, B))
    assert not partitions.week_instrument.has_partition_key(week_key(day, B))
    assert not partitions.date_instrument.has_partition_key(date_key(day, "x.spot.CCC-USD"))


def test_the_week_that_has_begun_is_a_partition_and_today_is_not(partitions: Partitions) -> None:
    today = datetime.now(UTC).date()
    assert partitions.week_instrument.has_partition_key(week_key(week_of(today), A))
    assert not partitions.date_instrument.has_partition_key(date_key(today, A))


def test_a_range_is_every_day_of_its_instruments(partitions: Partitions) -> None:
    keys = [date_key(date(2024, 1, d), name) for name in (B, A) for d in (3, 1, 2)]
    assert list(days_by_instrument(keys)) == [
        (A, [date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)]),
        (B, [date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)]),
    ]
    weeks = [week_key(date(2024, 1, 8), A), week_key(date(2024, 1, 1), A)]
    assert list(weeks_by_instrument(weeks)) == [(A, [date(2024, 1, 1), date(2024, 1, 8)])]
