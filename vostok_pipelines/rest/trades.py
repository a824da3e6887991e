"""Trades on their way from an exchange to the lake."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import polars as pl

from vostok_core.lake.tables import TIME, table
from vostok_core.times import SECOND
from vostok_pipelines.sources.frames import EARLIEST_SECOND, LATEST_SECOND


class Trade(NamedTuple):
    """One trade as an exchange tells it.

    Attributes:
        id: The exchange's; None where it gives none.
        ts: Its time, microseconds.
        price: Quote per base.
        qty: In base.
        buyer_maker: Whether the taker sold.
        first_id: First trade beneath an aggregate one.
        last_id: Last trade beneath an aggregate one.
        best_match: Whether the exchange calls it the best match; None where it doesn't say.
    """

    id: int | None
    ts: int
    price: float
    qty: float
    buyer_maker: bool
    first_id: int | None = None
    last_id: int | None = None
    best_match: bool | None = None


class Unusable(Exception):
    """An answer that can't be right; the same question may get a better one."""


SCHEMA: dict[str, Any] = {
    "trade_id": pl.Int64,
    "ts": TIME,
    "price": pl.Float64,
    "qty": pl.Float64,
    "buyer_maker": pl.Boolean,
    "first_id": pl.Int64,
    "last_id": pl.Int64,
    "best_match": pl.Boolean,
}
"""Columns of trades in a frame, in the order of `Trade`."""


def checked(trades: Sequence[Trade]) -> Sequence[Trade]:
    """The trades, if each of them can be.

    Raises:
        Unusable: A price or quantity is not finite and above 0, a time not between 2009 and 2100,
            or an id is negative or missing though others have one.
    """
    for trade in trades:
        if not (0 < trade.price < math.inf and 0 < trade.qty < math.inf):
            raise Unusable(f"a trade of {trade.qty:g} at {trade.price:g}")
        if not EARLIEST_SECOND <= trade.ts // SECOND < LATEST_SECOND:
            raise Unusable(f"a trade at {trade.ts} us since 1970")
        if trade.id is not None and trade.id < 0:
            raise Unusable(f"a trade with the id {trade.id}")
        if (trade.id is None) is not (trades[0].id is None):
            raise Unusable("trades with ids beside trades without")
    return trades


def frame_of(trades: Iterable[Trade]) -> pl.DataFrame:
    """Trades as a frame of `SCHEMA`."""
    columns = list(zip(*trades, strict=True)) or [() for _ in SCHEMA]
    return pl.DataFrame(
        {
            name: pl.Series(values, dtype=pl.Int64).cast(TIME)
            if dtype == TIME
            else pl.Series(values, dtype=dtype)
            for (name, dtype), values in zip(SCHEMA.items(), columns, strict=True)
        }
    )


def trades_of(frame: pl.DataFrame) -> list[Trade]:
    """The trades of such a frame."""
    physical = frame.with_columns(pl.col("ts").to_physical())
    return [Trade(*row) for row in physical.select(list(SCHEMA)).iter_rows()]


def landed_rows(frame: pl.DataFrame, *, keep_ids: bool) -> pl.DataFrame:
    """Rows of the table `raw_trades` of a frame of trades, in its order.

    Args:
        frame: Of `SCHEMA`.
        keep_ids: Whether the ids are unbroken numbers; others only put trades in order, and holes
            in them would be taken for missing trades.
    """
    rows = frame if keep_ids else frame.with_columns(trade_id=pl.lit(None, pl.Int64))
    return rows.select(list(table("raw_trades").schema))
