"""The research table: what `ta` computes, less what looks ahead or never forgets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
import pytest
import ta.momentum

from vostok_core.features.leaks import check_function, probe_rows
from vostok_core.lake.store import Lake
from vostok_pipelines.research import ta_catalogue as module
from vostok_pipelines.research.ta_catalogue import LEFT_OUT, ta_catalogue, ta_catalogue_days


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return probe_rows("bars", 260, 8, empty=0.0, flat=0.0, gaps=0.0)


@pytest.fixture
def catalogue(make_bars_frame: Callable[..., pl.DataFrame]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda r: ta_catalogue(make_bars_frame(r)).drop("ts").to_numpy()


def test_every_column_left_in_is_causal(
    rows: np.ndarray,
    make_bars_frame: Callable[..., pl.DataFrame],
    catalogue: Callable[[np.ndarray], np.ndarray],
) -> None:
    columns = ta_catalogue(make_bars_frame(rows)).columns[1:]
    assert len(columns) > 70
    assert not set(columns) & set(LEFT_OUT)
    assert check_function("ta", columns, catalogue, rows, cuts=[35, 60, 200]) == []


def test_columns_left_out_for_looking_ahead_do_look_ahead(
    rows: np.ndarray,
    make_bars_frame: Callable[..., pl.DataFrame],
    catalogue: Callable[[np.ndarray], np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ahead = {name for name, reason in LEFT_OUT.items() if "later bars" in reason}
    named = set(LEFT_OUT)
    monkeypatch.setattr(module, "LEFT_OUT", {})
    columns = ta_catalogue(make_bars_frame(rows)).columns[1:]
    assert named <= set(columns)
    findings = check_function("ta", columns, catalogue, rows, cuts=[35, 60, 200])
    assert {finding.feature for finding in findings} == ahead


def test_values_are_those_of_the_library(make_bars_frame: Callable[..., pl.DataFrame]) -> None:
    bars = make_bars_frame(probe_rows("bars", 300, 2))
    found = ta_catalogue(bars)
    assert found["ts"].equals(bars["ts"])
    assert set(found.dtypes[1:]) == {pl.Float64}
    rsi = ta.momentum.RSIIndicator(bars["close"].to_pandas(), 14).rsi()
    np.testing.assert_array_equal(found["momentum_rsi"].to_numpy(), rsi)


@pytest.mark.parametrize("count", [0, 1, 27])
def test_too_few_bars_give_nan_under_the_same_columns(
    make_bars_frame: Callable[..., pl.DataFrame], count: int
) -> None:
    whole = make_bars_frame(probe_rows("bars", 60, 2))
    short = ta_catalogue(whole[:count])
    assert short.schema == ta_catalogue(whole).schema
    assert short.height == count
    assert np.isnan(short.drop("ts").to_numpy()).all()


def test_days_are_anchored_and_go_into_their_table(
    lake: Lake, land_bars: Callable[..., pl.DataFrame], instrument: str
) -> None:
    bars = land_bars(date(2024, 2, 28), date(2024, 3, 2), interval="5m")
    days = [date(2024, 3, 2), date(2024, 3, 1)]
    found = {day: (f, i) for day, f, i in ta_catalogue_days(lake, instrument, "5m", days)}
    assert list(found) == sorted(days)
    whole = ta_catalogue(bars)
    assert found[days[0]][0].equals(whole.tail(288), null_equal=True)
    [(_, alone, inputs)] = ta_catalogue_days(lake, instrument, "5m", [days[1]])
    assert alone.equals(found[days[1]][0])
    assert inputs == found[days[1]][1]
    info = lake.write(
        "ta_catalogue",
        alone,
        code_version=module.CODE_VERSION,
        inputs=inputs,
        instrument=instrument,
        interval="5m",
        date=days[1],
    )
    assert info.rows == 288
