"""Bars with every hard side, as rows for kernels and as partitions of a lake."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
import pytest

from vostok_core.features.inputs import TS
from vostok_core.features.leaks import probe_rows
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TIME
from vostok_core.market.bars import BAR_FIELDS
from vostok_core.market.days import CODE_VERSION
from vostok_core.times import day_start, days, parse_interval

INSTRUMENT = "binance.spot.BTC-USDT"


def bars_frame(rows: np.ndarray, valid: np.ndarray | None = None) -> pl.DataFrame:
    """Rows of kernel inputs as rows of the table `bars`."""
    frame = pl.DataFrame({name: rows[:, j] for j, name in enumerate(BAR_FIELDS)})
    return frame.with_columns(
        pl.col("ts").cast(pl.Int64).cast(TIME),
        pl.lit(None, pl.Int64).alias("first_trade_id"),
        pl.lit(None, pl.Int64).alias("last_trade_id"),
        pl.Series("valid", np.ones(len(rows), bool) if valid is None else valid),
        pl.lit("time").alias("kind"),
        pl.lit("ticks").alias("source"),
    )


@pytest.fixture(scope="session")
def make_bars_frame() -> Callable[..., pl.DataFrame]:
    return bars_frame


@pytest.fixture
def land_bars(lake: Lake) -> Callable[..., pl.DataFrame]:
    """Write the bars of consecutive days to the lake and return them in one frame."""

    def land(first: date, last: date, *, interval: str = "1m", seed: int = 5) -> pl.DataFrame:
        length = parse_interval(interval)
        per_day = 86_400_000_000 // length
        span = list(days(first, last))
        rows = probe_rows("bars", per_day * len(span), seed, gaps=0.0, unknown=0.02)
        rows[:, TS] = day_start(first) + length * np.arange(1, len(rows) + 1)
        valid = np.random.default_rng(seed).random(len(rows)) > 0.02
        bars = bars_frame(rows, valid)
        for k, day in enumerate(span):
            lake.write(
                "bars",
                bars.slice(k * per_day, per_day),
                code_version=CODE_VERSION,
                instrument=INSTRUMENT,
                interval=interval,
                date=day,
            )
        return bars

    return land


@pytest.fixture
def instrument() -> str:
    return INSTRUMENT
