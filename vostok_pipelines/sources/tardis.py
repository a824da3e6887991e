"""Trades as Tardis sells them: CSV of one exchange, data type, symbol and UTC day.

`exchange,symbol,timestamp,local_timestamp,id,side,price,amount`, always with this header, in
microseconds, in the order of arrival. `amount` is as the exchange says it, so it is in base only
where the exchange trades in base; where one contract is worth one unit of quote, the quantity is
amount by price; files of other contracts are refused.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import polars as pl

from vostok_core.errors import SourceFormatError, UsageError
from vostok_core.market.instrument import Instrument
from vostok_pipelines.sources.common import Delimited, Field, Layout, Source, SourceFile, parse
from vostok_pipelines.sources.frames import (
    quantities_by_worth,
    trades_frame,
    trades_without_ids,
    whole_times,
)
from vostok_pipelines.sources.instruments import require_symbol
from vostok_pipelines.sources.text import shortened

TRADES = Layout(
    "Tardis trades",
    (
        Field("exchange", pl.String),
        Field("symbol", pl.String),
        Field("timestamp", pl.Int64, is_time=True),
        Field("local_timestamp", pl.Int64),
        Field("id", pl.String),
        Field("side", pl.String),
        Field("price", pl.Float64),
        Field("amount", pl.Float64),
    ),
    has_header=True,
)

_SPOT = {
    "binance": "binance",
    "binance-us": "binanceus",
    "bitfinex": "bitfinex",
    "bitflyer": "bitflyer",
    "bitstamp": "bitstamp",
    "bybit-spot": "bybit",
    "coinbase": "coinbase",
    "crypto-com": "cryptocom",
    "gate-io": "gate",
    "gemini": "gemini",
    "huobi": "huobi",
    "kraken": "kraken",
    "kucoin": "kucoin",
    "okex": "okx",
    "poloniex": "poloniex",
    "upbit": "upbit",
}
"""Tardis's name of a spot exchange -> what its venue's name begins with."""

_DERIVATIVES = {"binance-futures": ("binance", "usdm")}
"""Tardis's name of an exchange of derivatives that trades in base -> venue and market."""

_WORTH_ONE = {
    ("bitmex", "XBTUSD"): ("BTC", "USD"),
    ("deribit", "BTC-PERPETUAL"): ("BTC", "USD"),
    ("deribit", "ETH-PERPETUAL"): ("ETH", "USD"),
}
"""Contracts whose amounts are in units of quote -> base and quote."""

_FILE = re.compile(r"[a-z0-9-]+_([a-zA-Z0-9_]+)_\d{4}-\d{2}-\d{2}_.+")

_WITH_IDS = ("binance",)
"""Exchanges that number the trades of a symbol without holes."""


def read_trades(source: SourceFile, instrument: Instrument) -> Source:
    """Read a file of trades.

    Raises:
        UsageError: It is of another exchange or market than the instrument.
        SourceFormatError: It is not one, is of another symbol, or its quantities can't be known.
    """
    _check_name(source.path)
    parsed = parse(source, (TRADES,))
    exchange, symbol = (_only(parsed, name) for name in ("exchange", "symbol"))
    parsed = replace(parsed, frame=parsed.frame.rename({"amount": "qty"}))
    warnings: tuple[str, ...] = ()
    if (exchange, symbol) in _WORTH_ONE:
        pair = _WORTH_ONE[exchange, symbol]
        _require(instrument, exchange, exchange, None)
        if (instrument.id.base, instrument.id.quote) != pair:
            raise parsed.refuse(0, f"{symbol} of {exchange} is not {instrument.id}")
        parsed = quantities_by_worth(parsed, "qty")
        warnings = (f"a contract is worth 1 {pair[1]}: quantities are amounts by the price",)
    elif exchange in _SPOT or exchange in _DERIVATIVES:
        venue, market = _DERIVATIVES.get(exchange, (_SPOT.get(exchange, ""), "spot"))
        _require(instrument, exchange, venue, market)
        require_symbol(parsed, "symbol", instrument)
    else:
        what = f"{shortened(symbol)} of {shortened(exchange)}"
        raise SourceFormatError(
            f"line 2: {what} is not known to be traded in its base currency",
            where=source.path,
            hint="if it is, map its columns: --format csv --columns ts=timestamp,price=price,"
            "qty=amount,side=side; quote_qty=amount if a contract is worth 1 in quote",
        )
    ts = whole_times(parsed, "timestamp")
    parsed.require(
        pl.col("side").is_in(["buy", "sell"]), "side", "buy or sell: a tick needs its taker's side"
    )
    side = parsed.frame["side"] == "sell"
    if exchange in _WITH_IDS:
        ids = parsed.frame["id"].cast(pl.Int64, strict=False)
        parsed.require(ids.is_not_null(), "id", "a whole number")
        return Source(trades_frame(parsed, ts, trade_id=ids, buyer_maker=side), warnings)
    found = trades_without_ids(parsed, ts, buyer_maker=side)
    return replace(found, warnings=(*warnings, *found.warnings))


def _only(parsed: Delimited, column: str) -> str:
    """The one name that stands in a column.

    Raises:
        SourceFormatError: There are several.
    """
    names = parsed.frame[column]
    name = str(names[0] or "")
    parsed.require(names == name, column, f"{shortened(name)} like the first line's")
    return name


def _check_name(path: Path) -> None:
    """Liquidations have the very columns that trades have, so a name that says so is heeded."""
    named = _FILE.fullmatch(path.name)
    if named is not None and named[1] != "trades":
        raise SourceFormatError(
            f"the file is named for Tardis's {named[1]}, and trades were expected",
            where=path,
            hint="name a file of trades, or rename it if its name is wrong",
        )


def _require(instrument: Instrument, exchange: str, venue: str, market: str | None) -> None:
    fits = instrument.id.venue.lower().startswith(venue)
    if not fits or market not in (None, instrument.id.market):
        raise UsageError(
            f"the file is of Tardis's exchange {exchange}, which {instrument.id} is not of",
            hint=f"name an instrument {venue}.{market or 'MARKET'}.BASE-QUOTE",
        )
