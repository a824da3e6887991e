"""Klines of trades without the taker's side: Kraken's bulk files, bitcoincharts.

`time,price,volume`, without a header, in seconds. They can't be ticks, which need the taker's side,
but klines of a minute can be made of them, with all but the volume that takers bought. Such a file
may begin or end inside a minute, so its first and last minute count only where it may well begin or
end with them: at the beginning and at the end of a UTC day.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from vostok_core.errors import SourceFormatError
from vostok_core.market.bars import BAR_FIELDS, BarBuilder
from vostok_core.times import DAY, MINUTE
from vostok_pipelines.sources.common import Field, Layout, Source, SourceFile, parse
from vostok_pipelines.sources.frames import decimal_times, klines_frame, require_positive

_FIELDS = (
    Field("time", pl.String, ("timestamp",), is_time=True),
    Field("price", pl.Float64),
    Field("qty", pl.Float64, ("volume", "amount")),
)
KRAKEN = Layout("Kraken's bulk trades", _FIELDS)
BITCOINCHARTS = Layout("bitcoincharts trades", _FIELDS)


def read_kraken(source: SourceFile) -> Source:
    """Read one of Kraken's files of all trades of a pair and span.

    Raises:
        SourceFormatError: It is not one.
    """
    return _read(source, KRAKEN)


def read_bitcoincharts(source: SourceFile) -> Source:
    """Read a file of bitcoincharts' trades.

    Raises:
        SourceFormatError: It is not one.
    """
    return _read(source, BITCOINCHARTS)


def _read(source: SourceFile, layout: Layout) -> Source:
    parsed = parse(source, (layout,))
    require_positive(parsed, "price")
    fine = pl.col("qty").is_finite() & (pl.col("qty") >= 0)
    parsed.require(fine, "qty", "a finite number, 0 or above")
    times = decimal_times(parsed, "time")
    parsed = replace(parsed, frame=parsed.frame.select("price", "qty", ts=times))
    rows = parsed.frame.filter(pl.col("qty") > 0)
    if not rows["ts"].is_sorted():
        rows = rows.sort("ts", maintain_order=True)
    minutes, away = _whole_minutes(_minutes(rows))
    nothing = parsed.frame.height - rows.height
    if minutes.is_empty():
        raise SourceFormatError(
            "the file holds no minute of which it is known to have all trades",
            where=source.path,
            hint="ingest a file of a longer span",
        )
    made = replace(parsed, frame=minutes)
    extra = {name: pl.col(name) for name in ("quote_volume", "trades")}
    frame = klines_frame(made, minutes["ts"] - MINUTE, "1m", **extra)
    made_of = f"{rows.height} trades without the taker's side became {frame.height} klines"
    warnings = [f"{made_of}, whose buy_volume is not known"]
    if nothing:
        warnings.append(f"{nothing} trades of quantity 0 were left out")
    if away:
        edges = "the minutes of its first and last trade, inside of which it may begin or end"
        warnings.append(f"{away} minutes were left out, of {edges}")
    return Source(frame, tuple(warnings), "1m")


def _minutes(rows: pl.DataFrame) -> pl.DataFrame:
    """The minutes in which something traded, of trades in order of time.

    Built by the kernel that builds bars, a day at a time, so that minutes without a trade take no
    memory.
    """
    ts = rows["ts"].to_numpy()
    price, qty = rows["price"].to_numpy(), rows["qty"].to_numpy()
    side, ids = np.zeros(ts.size, dtype=np.bool_), np.zeros(ts.size, dtype=np.int64)
    made = [np.empty((0, len(BAR_FIELDS)))]
    days, starts = np.unique(ts // DAY, return_index=True)
    for day, first, end in zip(days, starts, [*starts[1:], ts.size], strict=False):
        part = slice(first, end)
        builder = BarBuilder(MINUTE, 1.0, int(day) * DAY)
        bars = builder.push(
            ts[part], price[part], qty[part], side[part], ids[part], until=(int(day) + 1) * DAY
        )
        made.append(bars.rows[bars.rows[:, BAR_FIELDS.index("trades")] > 0])
    table = np.concatenate(made)
    columns = {name: table[:, k].copy() for k, name in enumerate(BAR_FIELDS[:8])}
    return pl.DataFrame(columns).with_columns(pl.col("ts", "trades").cast(pl.Int64))


def _whole_minutes(minutes: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Those of which the file has all trades, and how many others there are."""
    if minutes.is_empty():
        return minutes, 0
    begins = int(minutes["ts"][0]) % DAY == MINUTE
    ends = int(minutes["ts"][-1]) % DAY == 0
    kept = minutes[0 if begins else 1 : minutes.height if ends else -1]
    return kept, minutes.height - kept.height
