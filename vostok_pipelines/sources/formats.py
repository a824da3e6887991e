"""Every format of source files: what such files hold, and what reads one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vostok_core.market.instrument import Instrument
from vostok_pipelines.sources import (
    binance,
    bulk,
    bybit,
    funding,
    klines,
    kraken,
    okx,
    tardis,
)
from vostok_pipelines.sources.common import Kind, Layout, Source, SourceFile

Reader = Callable[[SourceFile, Instrument], Source]


@dataclass(frozen=True)
class FileFormat:
    """A format of source files.

    Attributes:
        holds: What such files hold; none where it has to be said.
        layouts: The columns that they may have; none where these have to be said.
        read: What reads one; none where columns have to be said.
        tick: What one trade in it is; none if it can be either.
        venues: What the name of its exchange's venue begins with; none if it can be of any.
        by_lines: Whether each line can be read by itself, so that a large file can be read in
            blocks (`by_day`).
    """

    holds: Kind | None
    layouts: tuple[Layout, ...] = ()
    read: Reader | None = None
    tick: Literal["agg_trade", "trade"] | None = None
    venues: tuple[str, ...] = ()
    by_lines: bool = False

    @property
    def time_field(self) -> int | None:
        """The place of the time in a line, from 0, where large files can be read in blocks."""
        return self.layouts[0].time_field if self.by_lines else None


def _of_any(read: Callable[[SourceFile], Source]) -> Reader:
    """A reader to which it doesn't matter whose the file is."""
    return lambda source, _: read(source)


FORMATS: dict[str, FileFormat] = {
    "binance-aggtrades": FileFormat(
        "trades", binance.AGG_TRADES, _of_any(binance.read_agg_trades), "agg_trade", by_lines=True
    ),
    "binance-trades": FileFormat(
        "trades", binance.TRADES, _of_any(binance.read_trades), "trade", by_lines=True
    ),
    "binance-klines": FileFormat("klines", (klines.BINANCE,), _of_any(klines.read_binance)),
    "kraken-trades": FileFormat("trades", (kraken.TRADES,), _of_any(kraken.read_trades), "trade"),
    "kraken-bulk": FileFormat("klines", (bulk.KRAKEN,), _of_any(bulk.read_kraken)),
    "kraken-ohlcvt": FileFormat("klines", (klines.KRAKEN,), _of_any(klines.read_kraken)),
    "bybit-trades": FileFormat("trades", bybit.TRADES, bybit.read_trades, "trade", ("bybit",)),
    "okx-trades": FileFormat("trades", okx.TRADES, okx.read_trades, "trade", ("okx", "okex")),
    "tardis-trades": FileFormat("trades", (tardis.TRADES,), tardis.read_trades, "trade"),
    "bitcoincharts": FileFormat("klines", (bulk.BITCOINCHARTS,), _of_any(bulk.read_bitcoincharts)),
    "csv": FileFormat(None),
    "parquet": FileFormat(None),
    "feather": FileFormat(None),
}

OF_OTHER_TABLES = {
    "binance-funding": FileFormat(None, (funding.BINANCE,), _of_any(funding.read_binance)),
}
"""Formats of files that hold neither trades nor klines, and that others read."""
