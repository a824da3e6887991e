"""Writing a day of `ticks` or `klines`, and of `quality`."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from vostok_core.lake.files import PartitionInfo
from vostok_core.lake.store import Lake
from vostok_core.market.days import (
    CODE_VERSION,
    KLINE_INTERVAL,
    LANDED,
    klines_day,
    ticks_day,
)
from vostok_core.market.instrument import Instrument
from vostok_core.market.kept_once import give_back, keep_once


def merge_day(
    lake: Lake, instrument: Instrument, day: date
) -> tuple[PartitionInfo, PartitionInfo, pl.DataFrame]:
    """Merge and inspect a day that has landed, and write it.

    Returns:
        What was written of `ticks` (or `klines`) and of `quality`, and the rows of `quality`.

    Raises:
        MissingPartition: Nothing of the day has landed, or the day before has landed and has not
            been merged, or rows of a file have gone from the lake.
        DataError: The landed files can't be merged.
    """
    name = str(instrument.id)
    keys: dict[str, Any] = {"instrument": name, "date": day}
    if instrument.tick == "none":
        main, keys = "klines", keys | {"interval": KLINE_INTERVAL}
        frame, findings, inputs = klines_day(lake, instrument, day)
    else:
        main = "ticks"
        frame, findings, inputs = ticks_day(lake, instrument, day)
    give_back(lake, LANDED[main], keys, frame)
    info = lake.write(main, frame, code_version=CODE_VERSION, inputs=inputs, **keys)
    quality = lake.write(
        "quality", findings, code_version=CODE_VERSION, inputs=inputs, instrument=name, date=day
    )
    keep_once(lake, LANDED[main], keys, main, info)
    return info, quality, findings
