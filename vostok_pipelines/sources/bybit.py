"""Trades of Bybit's public archive, derivatives and spot.

Derivatives: `timestamp,symbol,side,size,price,…` in decimal seconds; older files run from the
newest trade to the oldest. Contracts of a pair in USD are worth 1 USD each, others are in base.
Spot: `id,timestamp,price,volume,side` in milliseconds, where `id` counts the rows of the file.
Newer files of both have one more column, whether a price was improved.
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from vostok_core.errors import UsageError
from vostok_core.market.instrument import Instrument
from vostok_pipelines.sources.common import Field, Layout, Source, SourceFile, parse
from vostok_pipelines.sources.frames import (
    decimal_times,
    quantities_by_worth,
    trades_without_ids,
    whole_times,
)
from vostok_pipelines.sources.instruments import require_symbol

_DERIVATIVES = (
    Field("timestamp", pl.String, is_time=True),
    Field("symbol", pl.String),
    Field("side", pl.String),
    Field("qty", pl.Float64, ("size",)),
    Field("price", pl.Float64),
    Field("tickDirection", pl.String, wanted=False),
    Field("trdMatchID", pl.String, wanted=False),
    Field("grossValue", pl.String, wanted=False),
    Field("homeNotional", pl.String, wanted=False),
    Field("foreignNotional", pl.String, wanted=False),
)
_SPOT = (
    Field("id", pl.Int64),
    Field("timestamp", pl.Int64, is_time=True),
    Field("price", pl.Float64),
    Field("qty", pl.Float64, ("volume",)),
    Field("side", pl.String),
)
_RPI = Field("rpi", pl.String, wanted=False)
TRADES = (
    Layout("Bybit's trades of derivatives", _DERIVATIVES, has_header=True),
    Layout("Bybit's trades of derivatives", (*_DERIVATIVES, _RPI), has_header=True),
    Layout("Bybit's trades of spot", _SPOT, has_header=True),
    Layout("Bybit's trades of spot", (*_SPOT, _RPI), has_header=True),
)


def read_trades(source: SourceFile, instrument: Instrument) -> Source:
    """Read a file of trades.

    Raises:
        UsageError: The instrument is of another market.
        SourceFormatError: The file is not one, or is of another symbol.
    """
    parsed = parse(source, TRADES)
    is_spot = "symbol" not in parsed.frame.columns
    if is_spot != (instrument.id.market == "spot"):
        raise UsageError(
            f"the file holds {parsed.layout.name}, and the market of {instrument.id} is "
            f"{instrument.id.market}",
            hint="name an instrument of the file's market",
        )
    side = parsed.frame["side"].str.to_lowercase()
    parsed.require(side.is_in(["buy", "sell"]), "side", "Buy or Sell")
    if is_spot:
        return trades_without_ids(
            parsed, whole_times(parsed, "timestamp"), buyer_maker=side == "sell"
        )
    require_symbol(parsed, "symbol", instrument)
    ts = decimal_times(parsed, "timestamp")
    if instrument.id.quote != "USD":
        return trades_without_ids(parsed, ts, buyer_maker=side == "sell")
    found = trades_without_ids(quantities_by_worth(parsed, "qty"), ts, buyer_maker=side == "sell")
    worth = "a contract is worth 1 USD: quantities are sizes by the price"
    return replace(found, warnings=(worth, *found.warnings))
