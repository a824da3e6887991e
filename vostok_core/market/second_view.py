"""Klines of an instrument whose bars are built from ticks: nothing is built from them.

They are the exchange's own account of the same trades, and the bars are held against it.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from vostok_core.lake.parquet import PartitionInfo
from vostok_core.lake.store import Lake
from vostok_core.market.agreement import Agreement, trades_beneath, with_klines
from vostok_core.market.days import (
    CODE_VERSION,
    KLINE_INTERVAL,
    RULES,
    landed_inputs,
    parts_in_use,
    rules_of,
)
from vostok_core.market.instrument import Instrument
from vostok_core.market.kept_once import rows_of, write_once
from vostok_core.market.klines import merge_klines

_RAW = "raw_klines"


def has_second_view(lake: Lake, instrument: Instrument, day: date) -> bool:
    """Whether klines have landed for a day that bars are held against."""
    return instrument.tick != "none" and lake.exists(_RAW, **_keys(instrument, day))


def merge_second_view(
    lake: Lake, instrument: Instrument, day: date
) -> tuple[PartitionInfo, pl.DataFrame]:
    """Merge the klines of a day that `has_second_view`, and write them.

    Returns:
        What was written of `klines`, and rows of `quality` on them alone, which are not written:
        the day's quality is that of its ticks.

    Raises:
        MissingPartition: Rows of a file have gone from the lake.
        Conflict: Somebody else has merged the day's klines meanwhile.
    """
    keys = _keys(instrument, day)
    seen = lake.seen("klines", **keys)
    used = parts_in_use(lake.parts(_RAW, **keys))
    klines, findings = merge_klines([rows_of(lake, _RAW, part, keys) for part in used])
    inputs = {RULES: rules_of(instrument), **landed_inputs(_RAW, day, used)}
    info = write_once(
        lake, "klines", klines, keys, code_version=CODE_VERSION, inputs=inputs, over=seen
    )
    return info, findings


def agreement_of(
    lake: Lake, instrument: Instrument, day: date, bars: pl.DataFrame
) -> Agreement | None:
    """How the bars of a day agree with the klines that the exchange published.

    Args:
        lake: It holds the day's ticks and quality.
        instrument: Whose.
        day: The UTC day.
        bars: The day's bars, interval 1m.

    Returns:
        None where there is nothing to compare: bars are made of these klines, or there are none.
    """
    name, keys = str(instrument.id), _keys(instrument, day)
    if instrument.tick == "none" or not lake.exists("klines", **keys):
        return None
    klines = lake.read("klines", **keys)
    trades = None
    if instrument.tick == "agg_trade" and klines["trades"].null_count() < klines.height:
        columns = ("ts", "first_id", "last_id")
        trades = trades_beneath(lake.read("ticks", columns=columns, instrument=name, date=day))
    quality = lake.read("quality", instrument=name, date=day)
    return with_klines(bars, klines, quality, trades)


def _keys(instrument: Instrument, day: date) -> dict[str, Any]:
    return {"instrument": str(instrument.id), "interval": KLINE_INTERVAL, "date": day}
