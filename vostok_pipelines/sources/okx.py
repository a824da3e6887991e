"""Trades of OKX's public archive, spot: `trades` and `aggtrades`, which have the same columns.

`trade_id,side,size,price,created_time` with names in Chinese beside the English ones, in GBK, or
since 2024 `instrument_name,trade_id,side,price,size,created_time` and perhaps `source`. Files are
of days in Hong Kong. Whether their ids count every trade is not known, so they tell order only.
"""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from vostok_core.errors import SourceFormatError, UsageError
from vostok_core.market.instrument import Instrument
from vostok_pipelines.sources.common import Field, Layout, Source, SourceFile, parse
from vostok_pipelines.sources.frames import trades_without_ids, whole_times
from vostok_pipelines.sources.instruments import require_symbol, same_symbol

_ID = Field("trade_id", pl.Int64)
_SIDE = Field("side", pl.String)
_QTY = Field("qty", pl.Float64, ("size",))
_PRICE = Field("price", pl.Float64)
_TIME = Field("created_time", pl.Int64, is_time=True)
_NAMED = (Field("instrument_name", pl.String), _ID, _SIDE, _PRICE, _QTY, _TIME)
TRADES = (
    Layout("OKX's trades", (_ID, _SIDE, _QTY, _PRICE, _TIME), has_header=True),
    Layout("OKX's trades", _NAMED, has_header=True),
    Layout("OKX's trades", (*_NAMED, Field("source", pl.String, wanted=False)), has_header=True),
)

_FILE = re.compile(r"([A-Z0-9]+(?:-[A-Z0-9]+)+)-(?:agg)?trades-\d{4}-\d{2}(?:-\d{2})?\..+")


def read_trades(source: SourceFile, instrument: Instrument) -> Source:
    """Read a file of trades.

    Raises:
        UsageError: The instrument is one of derivatives.
        SourceFormatError: The file is not one, or is of another symbol.
    """
    if instrument.id.market != "spot":
        raise UsageError(
            f"the sizes of OKX's derivatives are in contracts, and the market of {instrument.id} "
            f"is {instrument.id.market}",
            hint="work out quantities in base and map them with --format csv",
        )
    _check_name(source.path, instrument)
    parsed = parse(source, TRADES)
    if "instrument_name" in parsed.frame.columns:
        require_symbol(parsed, "instrument_name", instrument)
    parsed.require(pl.col("side").is_in(["buy", "sell"]), "side", "buy or sell")
    return trades_without_ids(
        parsed,
        whole_times(parsed, "created_time"),
        parsed.frame["trade_id"],
        buyer_maker=pl.col("side") == "sell",
    )


def _check_name(path: Path, instrument: Instrument) -> None:
    named = _FILE.fullmatch(path.name)
    if named is not None and not same_symbol(named[1], instrument):
        raise SourceFormatError(
            f"the file is named for {named[1]}, which is not that of {instrument.id}",
            where=path,
            hint="name that symbol's instrument with --instrument, or rename the file if its name "
            "is wrong",
        )
