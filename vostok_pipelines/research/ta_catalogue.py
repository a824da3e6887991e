"""The catalogue of the `ta` library over bars, less the columns that can't be trusted.

What earns its place here is written as a step kernel in `vostok_core.features`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from importlib.metadata import version

import numpy as np
import polars as pl

from vostok_core.features.history import walks
from vostok_core.lake.store import Lake

CODE_VERSION = f"1+ta{version('ta')}"

WARMUP_BARS = 1024
"""Bars before the first of a month: after these the recursive indicators agree to the last bit
wherever they began."""

_MEAN_OF_ALL = "warm-up rows are filled with the mean of the whole series, later bars included"
_CUMULATED = "a level cumulated from the first row: it never forgets where the series began"
_TREND_STATE = "its state follows from the first row and need not forget it"

LEFT_OUT: dict[str, str] = {
    **dict.fromkeys(
        (
            "trend_kst",
            "trend_kst_sig",
            "trend_kst_diff",
            "trend_visual_ichimoku_a",
            "trend_visual_ichimoku_b",
        ),
        _MEAN_OF_ALL,
    ),
    **dict.fromkeys(
        ("volume_adi", "volume_obv", "volume_vpt", "volume_nvi", "others_cr"), _CUMULATED
    ),
    **dict.fromkeys(
        (
            "trend_psar_up",
            "trend_psar_down",
            "trend_psar_up_indicator",
            "trend_psar_down_indicator",
        ),
        _TREND_STATE,
    ),
}
"""Columns of `ta` that are not in the table, and why.

TRIX, DPO and Vortex fill their first rows in the same way, but show NaN until these are forgotten.
"""

_LEAST_BARS = 28  # `ta`'s ADX can't be computed on fewer
_PRICES = ("open", "high", "low", "close", "volume")


def ta_catalogue(bars: pl.DataFrame) -> pl.DataFrame:
    """Every indicator of `ta` but those of `LEFT_OUT`, for every bar.

    Args:
        bars: `ts`, `open`, `high`, `low`, `close`, `volume`, in order.

    Returns:
        `ts` and a float64 column per indicator, under `ta`'s names and with its parameters; of
        fewer than 28 bars all NaN.
    """
    import pandas as pd
    from ta import add_all_ta_features

    short = bars.height < _LEAST_BARS
    prices = {name: bars[name].to_numpy() for name in _PRICES}
    if short:
        prices = {name: np.ones(_LEAST_BARS) for name in _PRICES}
    frame = pd.DataFrame(prices)
    with np.errstate(divide="ignore", invalid="ignore"):
        add_all_ta_features(frame, *_PRICES)
    names = [name for name in frame.columns if name not in _PRICES and name not in LEFT_OUT]
    nothing = np.full(bars.height, np.nan)
    return bars.select("ts").with_columns(
        pl.Series(name, nothing if short else frame[name].to_numpy(dtype=np.float64))
        for name in names
    )


def ta_catalogue_days(
    lake: Lake, instrument: str, interval: str, days: Sequence[date], *, rules: str | None = None
) -> Iterator[tuple[date, pl.DataFrame, dict[str, str]]]:
    """The catalogue of the wanted days, anchored as features are; the arguments are those of
    `feature_frames`.

    Yields:
        In order of days: the day, its frame, and the hash of the bars it was computed from.

    Raises:
        MissingPartition, StalePartition: As in `history.walks`.
    """
    for wanted, found in walks(
        lake,
        instrument,
        interval,
        days,
        warmup=WARMUP_BARS,
        columns=("ts", *_PRICES),
        rules=rules,
    ):
        catalogue = ta_catalogue(found.bars)
        for day in wanted:
            start, count = found.places[day]
            yield day, catalogue.slice(start, count), {"bars": found.hash_through(day)}
