"""The log of trials: nothing tried is forgotten."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from vostok_core.errors import CorruptPartition, SchemaViolation
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.promotion.trials import log_trial, trials

BTC, ETH = "binance.spot.BTC-USDT", "binance.spot.ETH-USDT"


def path(first: date, returns: list[float]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "date": [first + timedelta(days=i) for i in range(len(returns))],
            "net_return": returns,
            "benchmark_return": [0.0] * len(returns),
            "trades": [1] * len(returns),
            "observed": [1.0] * len(returns),
        },
        schema=table("trials").schema,
    )


MONDAY = date(2024, 1, 1)


def test_every_configuration_of_every_strategy_of_the_instrument_is_found(lake: Lake):
    for strategy, instrument, configuration in [
        ("trend", BTC, "a1"),
        ("trend", BTC, "b2"),
        ("revert", BTC, "a1"),
        ("revert", ETH, "c3"),
    ]:
        log_trial(lake, strategy, instrument, configuration, path(MONDAY, [0.01]), code_version="1")
    assert set(trials(lake, BTC)) == {("trend", "a1"), ("trend", "b2"), ("revert", "a1")}
    assert set(trials(lake, ETH)) == {("revert", "c3")}
    assert trials(lake, "binance.spot.XRP-USDT") == {}


def test_an_empty_lake_has_no_trials(lake: Lake):
    assert trials(lake, BTC) == {}


def test_a_longer_path_replaces_a_shorter_one(lake: Lake):
    log_trial(lake, "trend", BTC, "a1", path(MONDAY, [0.01, 0.02]), code_version="1")
    log_trial(lake, "trend", BTC, "a1", path(MONDAY, [0.03, 0.04, 0.05]), code_version="1")
    assert trials(lake, BTC)["trend", "a1"]["net_return"].to_list() == [0.03, 0.04, 0.05]


def test_walking_an_earlier_week_again_leaves_the_longer_path_as_it_is(lake: Lake):
    log_trial(lake, "trend", BTC, "a1", path(MONDAY, [0.01, 0.02, 0.03]), code_version="1")
    info = log_trial(lake, "trend", BTC, "a1", path(MONDAY, [0.07]), code_version="1")
    frame = trials(lake, BTC)["trend", "a1"]
    assert frame["net_return"].to_list() == [0.01, 0.02, 0.03]
    assert info.rows == 3
    log_trial(lake, "trend", BTC, "a1", path(MONDAY, []), code_version="1")
    assert trials(lake, BTC)["trend", "a1"].equals(frame)


def test_a_path_that_reaches_as_far_replaces_all_days_of_the_older(lake: Lake):
    log_trial(lake, "trend", BTC, "a1", path(MONDAY, [0.01, 0.02, 0.03]), code_version="1")
    later = MONDAY + timedelta(days=1)
    log_trial(lake, "trend", BTC, "a1", path(later, [0.07, 0.08]), code_version="1")
    frame = trials(lake, BTC)["trend", "a1"]
    assert frame["net_return"].to_list() == [0.07, 0.08]
    assert frame["date"].to_list() == [later, later + timedelta(days=1)]


def test_a_trial_without_a_day_is_still_a_trial(lake: Lake):
    log_trial(lake, "trend", BTC, "a1", path(MONDAY, []), code_version="1")
    assert trials(lake, BTC)["trend", "a1"].is_empty()


def test_a_trial_with_a_return_that_is_no_number_is_not_written(lake: Lake):
    with pytest.raises(SchemaViolation):
        log_trial(lake, "trend", BTC, "a1", path(MONDAY, [float("nan")]), code_version="1")
    assert trials(lake, BTC) == {}


def test_a_trial_that_does_not_read_is_an_error_and_not_forgotten(lake: Lake):
    info = log_trial(lake, "trend", BTC, "a1", path(MONDAY, [0.01]), code_version="1")
    info.path.write_bytes(b"not parquet")
    with pytest.raises(CorruptPartition):
        trials(lake, BTC)
