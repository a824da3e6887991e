"""Names and places in Binance's public archive (binance/binance-public-data), spot and USD-M.

`data/spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2025-01-06.zip` holds a day and
`data/spot/monthly/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2025-01.zip` a month; for USD-M futures the
market is `futures/um`. Klines lie in a folder for each interval below that of their symbol, and are
named by it (`BTCUSDT-1m-2025-01-06.zip`). Funding rates come by the month only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path, PurePosixPath

from vostok_core.errors import SourceFormatError
from vostok_core.market.instrument import Instrument
from vostok_core.times import days as each_day

SUFFIXES = (".zip", ".csv", ".csv.gz")
"""What the name of a file in the layout ends in; the public archive's are zips."""

MARKETS = {"spot": "spot", "usdm": "futures/um"}
"""Market of an instrument -> its folder."""

_TICKS = {"agg_trade": ("aggTrades", ""), "trade": ("trades", ""), "none": ("klines", "1m")}
"""What one tick of an instrument is -> the kind of its files, and the interval of klines."""

_NAME = re.compile(r"([A-Z0-9]+)-(?:aggTrades|trades|1m|fundingRate)-\d{4}-\d{2}(?:-\d{2})?\..+")


@dataclass(frozen=True)
class ArchiveFile:
    """One file of the layout.

    Attributes:
        path: Its place below the base of the archive, with the leading `data`.
        first: The first day that it is named for.
        last: The last one.
    """

    path: PurePosixPath
    first: date
    last: date

    @property
    def days(self) -> list[date]:
        """The days that it is named for."""
        return list(each_day(self.first, self.last))


@dataclass(frozen=True)
class Series:
    """The files of one kind of one symbol.

    Attributes:
        market: Folder of the market, such as `futures/um`.
        kind: `aggTrades`, `trades`, `klines` or `fundingRate`.
        symbol: The exchange's name of the instrument.
        interval: That of klines; else empty.
    """

    market: str
    kind: str
    symbol: str
    interval: str = ""

    @classmethod
    def of(cls, instrument: Instrument) -> Series:
        """The files that an instrument's ticks, or its klines where it has none, come from."""
        market = MARKETS.get(instrument.id.market, instrument.id.market)
        kind, interval = _TICKS[instrument.tick]
        return cls(market, kind, instrument.id.symbol, interval)

    @classmethod
    def funding(cls, instrument: Instrument) -> Series | None:
        """The files of an instrument's funding rates; None where its market has none."""
        if not has_funding(instrument):
            return None
        return cls(MARKETS["usdm"], "fundingRate", instrument.id.symbol)

    @property
    def stem(self) -> str:
        """What the names of its files begin with."""
        return f"{self.symbol}-{self.interval or self.kind}-"

    def folder(self, period: str) -> PurePosixPath:
        """Where its `daily` or `monthly` files lie, below `data`."""
        return PurePosixPath(self.market, period, self.kind, self.symbol, self.interval)

    def daily(self, day: date) -> ArchiveFile:
        """The zip of a day."""
        return ArchiveFile("data" / self.folder("daily") / f"{self.stem}{day}.zip", day, day)

    def monthly(self, day: date) -> ArchiveFile:
        """The zip of the month that holds a day."""
        first, last = month_of(day)
        path = "data" / self.folder("monthly") / f"{self.stem}{first:%Y-%m}.zip"
        return ArchiveFile(path, first, last)

    def named(self, name: str) -> tuple[date, date] | None:
        """The first and last day that the name of a file of this series says it holds.

        None where it is no name of the series, or names no day or month that there is.
        """
        if not name.startswith(self.stem):
            return None
        suffix = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)
        text = name[len(self.stem) :].removesuffix(suffix or "")
        if suffix is None or not re.fullmatch(r"\d{4}-\d{2}(-\d{2})?", text):
            return None
        try:
            if len(text) == len("2025-01"):
                return month_of(date.fromisoformat(f"{text}-01"))
            day = date.fromisoformat(text)
        except ValueError:
            return None
        return day, day


def has_funding(instrument: Instrument) -> bool:
    """Whether holders of an instrument pay one another a funding rate."""
    return instrument.id.market == "usdm"


def month_of(day: date) -> tuple[date, date]:
    """The first and last day of the month that holds a day."""
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def check_name(path: Path, instrument: Instrument) -> None:
    """Check that a file which is named as the archive names its files is named for an instrument.

    Raises:
        SourceFormatError: It is named for another symbol.
    """
    named = _NAME.fullmatch(path.name)
    if named is not None and named[1] != instrument.id.symbol:
        raise SourceFormatError(
            f"the file is named for {named[1]}, and the symbol of {instrument.id} is "
            f"{instrument.id.symbol}",
            where=path,
            hint="name that symbol's instrument with --instrument, or rename the file if its name "
            "is wrong",
        )
