"""Kraken's trades as its REST call `Trades` returns them, kept as CSV.

`time,price,volume,side,ordertype,misc`, with or without a header, in any order of time. There are
no trade ids. Kraken's bulk files (time, price, volume) lack the taker's side and can only become
klines (`bulk`).
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from vostok_core.errors import SourceFormatError
from vostok_pipelines.sources.common import Field, Layout, Source, SourceFile, first_line, parse
from vostok_pipelines.sources.frames import decimal_times, trades_without_ids

TRADES = Layout(
    "Kraken trades",
    (
        Field("time", pl.String, ("timestamp",), is_time=True),
        Field("price", pl.Float64),
        Field("qty", pl.Float64, ("volume", "amount")),
        Field("side", pl.String, ("buy_or_sell", "type", "buy/sell")),
        Field("order_type", pl.String, ("market_or_limit", "ordertype", "market/limit")),
        Field("misc", pl.String, ("miscellaneous",), wanted=False),
    ),
)


def read_trades(source: SourceFile) -> Source:
    """Read a file of trades.

    Raises:
        SourceFormatError: It is not one.
    """
    if len(first_line(source)) == 3:
        raise SourceFormatError(
            "line 1: found 3 columns (time, price, volume) and no taker side",
            where=source.path,
            hint="ticks need the taker's side, which Kraken's bulk files leave out: fetch the "
            "trades by its REST call, or make klines of them with --format kraken-bulk",
        )
    parsed = parse(source, (TRADES,))
    parsed.require(pl.col("side").is_in(["b", "s"]), "side", "b or s")
    parsed.require(pl.col("order_type").is_in(["m", "l"]), "order_type", "m or l")
    # What has been looked at is let go before the times take several times their memory.
    sold = parsed.frame["side"] == "s"
    parsed = replace(parsed, frame=parsed.frame.select("time", "price", "qty"))
    return trades_without_ids(parsed, decimal_times(parsed, "time"), buyer_maker=sold)
