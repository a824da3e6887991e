"""Klines: Binance's public files, and what all klines have in common."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from vostok_core.errors import SourceFormatError
from vostok_core.market.days import KLINE_INTERVAL
from vostok_core.times import DAY, HOUR, MINUTE, SECOND
from vostok_pipelines.sources.common import Field, Layout, Source, SourceFile, parse
from vostok_pipelines.sources.frames import UNITS, klines_frame, unit_of, whole_times

BINANCE = Layout(
    "Binance klines",
    (
        Field("open_time", pl.Int64, is_time=True),
        Field("open", pl.Float64),
        Field("high", pl.Float64),
        Field("low", pl.Float64),
        Field("close", pl.Float64),
        Field("volume", pl.Float64),
        Field("close_time", pl.Int64),
        Field("quote_volume", pl.Float64, ("quote_asset_volume",)),
        Field("count", pl.Int64, ("number_of_trades", "trades")),
        Field("taker_buy_volume", pl.Float64, ("taker_buy_base_asset_volume",)),
        Field("taker_buy_quote_volume", pl.Float64, ("taker_buy_quote_asset_volume",)),
        Field("ignore", pl.String, wanted=False),
    ),
)

KRAKEN = Layout(
    "Kraken's OHLCVT",
    (
        Field("open_time", pl.Int64, ("timestamp", "time"), is_time=True),
        Field("open", pl.Float64),
        Field("high", pl.Float64),
        Field("low", pl.Float64),
        Field("close", pl.Float64),
        Field("volume", pl.Float64),
        Field("trades", pl.Int64, ("count",)),
    ),
)


def read_kraken(source: SourceFile) -> Source:
    """Read one of Kraken's bulk files of klines; minutes in which nothing traded have none.

    Raises:
        SourceFormatError: It is not one.
    """
    parsed = parse(source, (KRAKEN,))
    opens = whole_times(parsed, "open_time")
    interval = infer_interval(opens, source)
    return Source(klines_frame(parsed, opens, interval, trades=pl.col("trades")), (), interval)


def read_binance(source: SourceFile) -> Source:
    """Read a file of Binance klines; the interval is the usual distance of open and close times.

    Raises:
        SourceFormatError: It is not one.
    """
    parsed = parse(source, (BINANCE,))
    opens = whole_times(parsed, "open_time")
    unit = unit_of(int(parsed.frame["open_time"][0]))
    assert unit is not None
    per_second = UNITS[unit]
    # A bar closes one unit before the next one opens.
    lengths = (parsed.frame["close_time"] - parsed.frame["open_time"] + 1) * 10**6 // per_second
    usual = int(lengths.mode().sort()[0])
    interval = interval_name(usual)
    if interval is None:
        raise parsed.refuse(0, f"close_time lies {usual} us after open_time, which is no interval")
    frame = klines_frame(
        parsed,
        opens,
        interval,
        quote_volume=pl.col("quote_volume"),
        trades=pl.col("count"),
        buy_volume=pl.col("taker_buy_volume"),
    )
    return Source(frame, _odd(lengths, usual), interval)


def _odd(lengths: pl.Series, usual: int) -> tuple[str, ...]:
    odd = int((lengths != usual).sum())
    return (f"{odd} klines are not of the usual length",) if odd else ()


def require_minutes(interval: str | None, where: Path) -> None:
    """Check that klines are those that bars are built from; trades have no interval.

    Raises:
        SourceFormatError: They are of another interval.
    """
    if interval in (None, KLINE_INTERVAL):
        return
    raise SourceFormatError(
        f"the file holds klines of {interval}, and bars are built from klines of {KLINE_INTERVAL}",
        where=where,
        hint=f"ingest the {KLINE_INTERVAL} klines of these days: bars of longer intervals are "
        "built from them ([bars] intervals in vostok.toml)",
    )


def interval_name(length: int) -> str | None:
    """The name of an interval of some microseconds, if it divides a UTC day."""
    if length < SECOND or DAY % length:
        return None
    for unit, size in (("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND)):
        if length % size == 0:
            return f"{length // size}{unit}"
    return None


def infer_interval(opens: pl.Series, source: SourceFile) -> str:
    """The interval of klines from the least distance between their open times.

    Raises:
        SourceFormatError: There are fewer than two times, or the distance divides no day.
    """
    steps = opens.sort().diff().drop_nulls()
    forward = steps.filter(steps > 0).sort()
    least = int(forward[0]) if forward.len() else 0
    name = interval_name(least)
    if name is None:
        raise SourceFormatError(
            f"the bars' interval can't be told from their times (least distance: {least} us)",
            where=source.path,
            hint="a file needs at least two bars, whose distance divides a UTC day",
        )
    return name
