"""Writing a day of `ticks` or `klines`, and of `quality`."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from vostok_core.lake.parquet import PartitionInfo
from vostok_core.lake.store import Lake
from vostok_core.market.days import (
    CODE_VERSION,
    KLINE_INTERVAL,
    klines_day,
    ticks_day,
)
from vostok_core.market.instrument import Instrument
from vostok_core.market.kept_once import write_once


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
        Conflict: Somebody else has merged the day meanwhile.
    """
    name = str(instrument.id)
    keys: dict[str, Any] = {"instrument": name, "date": day}
    of_quality = dict(keys)
    main, make = "ticks", ticks_day
    if instrument.tick == "none":
        main, make, keys = "klines", klines_day, keys | {"interval": KLINE_INTERVAL}
    seen, seen_quality = lake.seen(main, **keys), lake.seen("quality", **of_quality)
    frame, findings, inputs = make(lake, instrument, day)
    made: dict[str, Any] = {"code_version": CODE_VERSION, "inputs": inputs}
    info = write_once(lake, main, frame, keys, **made, over=seen)
    quality = lake.write("quality", findings, **made, over=seen_quality, **of_quality)
    return info, quality, findings
