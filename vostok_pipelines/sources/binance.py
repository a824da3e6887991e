"""Binance's public trade files: `aggTrades` and `trades`, spot and USD-M futures.

Zip (of one CSV), CSV or CSV.gz, with or without a header. Spot times are in milliseconds before
2025 and in microseconds since; the unit is told from the file.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date
from pathlib import Path

import polars as pl

from vostok_core.errors import SourceFormatError
from vostok_core.market.instrument import Instrument
from vostok_pipelines.sources.common import (
    Delimited,
    Field,
    Layout,
    Source,
    SourceFile,
    parse,
)
from vostok_pipelines.sources.frames import trades_frame, whole_times

_AGG_FIELDS = (
    Field("agg_trade_id", pl.Int64, ("aggregate_trade_id", "a")),
    Field("price", pl.Float64, ("p",)),
    Field("qty", pl.Float64, ("quantity", "q")),
    Field("first_trade_id", pl.Int64, ("first_id", "f")),
    Field("last_trade_id", pl.Int64, ("last_id", "l")),
    Field("time", pl.Int64, ("transact_time", "timestamp", "T")),
    Field("is_buyer_maker", pl.Boolean, ("m",)),
)
_BEST = Field("is_best_match", pl.Boolean, ("best_match", "M"))
AGG_TRADES = (
    Layout("Binance spot aggTrades", (*_AGG_FIELDS, _BEST)),
    Layout("Binance USD-M aggTrades", _AGG_FIELDS),
)

_TRADE_FIELDS = (
    Field("trade_id", pl.Int64, ("id",)),
    Field("price", pl.Float64),
    Field("qty", pl.Float64, ("quantity",)),
    Field("quote_qty", pl.Float64, ("quote_quantity",)),
    Field("time", pl.Int64, ("timestamp",)),
    Field("is_buyer_maker", pl.Boolean),
)
TRADES = (
    Layout("Binance spot trades", (*_TRADE_FIELDS, _BEST)),
    Layout("Binance USD-M trades", _TRADE_FIELDS),
)

_MARKETS = {"spot": "spot", "usdm": "futures/um"}
_ARCHIVE = {
    "agg_trade": ("aggTrades", "aggTrades"),
    "trade": ("trades", "trades"),
    "none": ("klines", "1m"),
}
"""What one tick is -> the folder of its files, and the second part of their names."""

_SUFFIXES = (".zip", ".csv", ".csv.gz")

_NAME = re.compile(r"([A-Z0-9]+)-(?:aggTrades|trades|1m)-\d{4}-\d{2}(?:-\d{2})?\..+")


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


def read_agg_trades(source: SourceFile) -> Source:
    """Read a file of aggregate trades.

    Raises:
        SourceFormatError: It is not one.
    """
    parsed = parse(source, AGG_TRADES)
    parsed.require(
        pl.col("last_trade_id") >= pl.col("first_trade_id"),
        "last_trade_id",
        "at or above first_trade_id",
    )
    frame = trades_frame(
        parsed,
        whole_times(parsed, "time"),
        trade_id=pl.col("agg_trade_id"),
        buyer_maker=pl.col("is_buyer_maker"),
        first_id=pl.col("first_trade_id"),
        last_id=pl.col("last_trade_id"),
        **_best_match(parsed),
    )
    return Source(frame)


def read_trades(source: SourceFile) -> Source:
    """Read a file of single trades.

    Raises:
        SourceFormatError: It is not one.
    """
    parsed = parse(source, TRADES)
    parsed.require(
        pl.col("quote_qty").is_finite() & (pl.col("quote_qty") >= 0),
        "quote_qty",
        "a finite number, 0 or above",
    )
    frame = trades_frame(
        parsed,
        whole_times(parsed, "time"),
        trade_id=pl.col("trade_id"),
        buyer_maker=pl.col("is_buyer_maker"),
        **_best_match(parsed),
    )
    return Source(frame)


def _best_match(parsed: Delimited) -> dict[str, pl.Expr]:
    """The last column of spot's files; USD-M's don't have it."""
    there = "is_best_match" in parsed.frame.columns
    return {"best_match": pl.col("is_best_match")} if there else {}


def archive_file(root: Path | None, instrument: Instrument, day: date) -> Path | None:
    """The file of a day in a folder that mirrors Binance's public archive, if it is there.

    `data/spot/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2025-01-06.zip`, with or without the
    leading `data`; or the file itself in `root`. `.csv` and `.csv.gz` are found too. An instrument
    without ticks is looked for among the 1-minute klines. Names in it don't say which venue traded,
    so a folder holds files of one venue; without one (None) nothing is there.
    """
    for place in _places(root, instrument):
        for suffix in _SUFFIXES:
            path = place / f"{_stem(instrument)}{day}{suffix}"
            if path.is_file():
                return path
    return None


def archive_days(root: Path | None, instrument: Instrument) -> list[tuple[date, Path]]:
    """Every day that such a folder has of an instrument, with its file, in order of time."""
    stem = _stem(instrument)
    found: dict[date, Path] = {}
    for place in _places(root, instrument):
        for suffix in _SUFFIXES:
            for path in place.glob(f"{stem}????-??-??{suffix}"):
                with suppress(ValueError):  # a name that only resembles a day's
                    day = date.fromisoformat(path.name[len(stem) :].removesuffix(suffix))
                    found.setdefault(day, path)
    return sorted(found.items())


def _stem(instrument: Instrument) -> str:
    return f"{instrument.id.symbol}-{_ARCHIVE[instrument.tick][1]}-"


def _places(root: Path | None, instrument: Instrument) -> tuple[Path, ...]:
    if root is None:
        return ()
    market = _MARKETS.get(instrument.id.market, instrument.id.market)
    kind, interval = _ARCHIVE[instrument.tick]
    folder = Path(market) / "daily" / kind / instrument.id.symbol
    if instrument.tick == "none":
        folder /= interval
    return root / "data" / folder, root / folder, root
