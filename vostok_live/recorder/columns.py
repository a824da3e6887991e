"""What the lines of a segment say, gathered in columns: bytes a value, not objects."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from vostok_core.lake.tables import TIME, table
from vostok_live.feed.events import BookTop, DepthDiff, DepthSnapshot, Level, Tick


class TradeColumns:
    """Trades, of the streams or of REST."""

    def __init__(self) -> None:
        self._ids = [array("q") for _ in range(4)]
        self._numbers = [array("d") for _ in range(2)]
        self._maker = array("b")

    def __len__(self) -> int:
        return len(self._maker)

    def add(self, tick: Tick) -> None:
        """Add a trade."""
        values = (tick.trade_id, tick.ts, tick.first_id, tick.last_id)
        for column, value in zip(self._ids, values, strict=True):
            column.append(value)
        self._numbers[0].append(tick.price)
        self._numbers[1].append(tick.qty)
        self._maker.append(tick.buyer_maker)

    def frame(self) -> pl.DataFrame:
        """Rows of `raw_trades`, each content once, as they came."""
        trade_id, ts, first_id, last_id = map(_numbers, self._ids)
        declared = table("raw_trades").schema
        found = pl.DataFrame(
            {
                "trade_id": trade_id,
                "ts": pl.Series(ts).cast(TIME),
                "price": _numbers(self._numbers[0]),
                "qty": _numbers(self._numbers[1]),
                "buyer_maker": pl.Series(_numbers(self._maker)).cast(pl.Boolean),
                "first_id": first_id,
                "last_id": last_id,
            }
        ).with_columns(
            pl.when(pl.col(name) >= 0).then(pl.col(name)).alias(name)
            for name in ("first_id", "last_id")
        )
        found = found.unique(keep="first", maintain_order=True)
        # A column that other sources have, and no stream says.
        missing = [pl.lit(None, kind).alias(n) for n, kind in declared.items() if n not in found]
        return found.with_columns(missing).select(list(declared))


class QuoteColumns:
    """The best bids and asks."""

    def __init__(self) -> None:
        self._ids = [array("q") for _ in range(2)]
        self._numbers = [array("d") for _ in range(4)]

    def add(self, top: BookTop, ns: int) -> None:
        """Add what came at a time of the wall."""
        for column, value in zip(self._ids, (top.update_id, ns), strict=True):
            column.append(value)
        values = (top.bid, top.bid_qty, top.ask, top.ask_qty)
        for number, each in zip(self._numbers, values, strict=True):
            number.append(each)

    def frame(self) -> pl.DataFrame:
        """Columns of `raw_quotes`, each content once; `seen` is in nanoseconds and `ts` missing."""
        update_id, seen = map(_numbers, self._ids)
        names = ("bid", "bid_qty", "ask", "ask_qty")
        numbers = dict(zip(names, map(_numbers, self._numbers), strict=True))
        found = pl.DataFrame({"update_id": update_id, "seen": seen, **numbers})
        return found.unique(["update_id", *names], keep="first", maintain_order=True)


class DepthColumns:
    """Changes of the book and snapshots of it."""

    def __init__(self) -> None:
        self._ids = [array("q") for _ in range(4)]
        self._snapshot = array("b")
        self._offsets = [array("q", [0]) for _ in range(2)]
        self._levels = [array("d") for _ in range(4)]

    def add(self, change: DepthDiff | DepthSnapshot, ns: int) -> None:
        """Add what came at a time of the wall."""
        snapshot = isinstance(change, DepthSnapshot)
        first, ts = (change.last_id, -1) if snapshot else (change.first_id, change.ts)  # type: ignore[union-attr]
        values = (first, change.last_id, ts, ns)
        for column, value in zip(self._ids, values, strict=True):
            column.append(value)
        self._snapshot.append(snapshot)
        for side, levels in enumerate((change.bids, change.asks)):
            self._add_levels(side, levels)

    def _add_levels(self, side: int, levels: Sequence[Level]) -> None:
        prices, quantities = self._levels[2 * side : 2 * side + 2]
        prices.extend([price for price, _ in levels])
        quantities.extend([qty for _, qty in levels])
        self._offsets[side].append(len(prices))

    def frame(self) -> pl.DataFrame:
        """Columns of `raw_depth`, each change once; `seen` is in nanoseconds, and `ts` is -1 where
        the exchange did not say it."""
        first_id, last_id, ts, seen = map(_numbers, self._ids)
        names = ("bid_price", "bid_qty", "ask_price", "ask_qty")
        found = pl.DataFrame(
            {
                "first_id": first_id,
                "last_id": last_id,
                "ts": ts,
                "seen": seen,
                "snapshot": pl.Series(_numbers(self._snapshot)).cast(pl.Boolean),
                **{
                    name: _lists(self._offsets[k // 2], self._levels[k])
                    for k, name in enumerate(names)
                },
            }
        )
        identity = ["first_id", "last_id", "snapshot"]
        return found.unique(identity, keep="first", maintain_order=True)


def _numbers(column: array[int] | array[float]) -> np.ndarray:
    kinds = {"q": np.int64, "d": np.float64, "b": np.int8}
    return np.frombuffer(column, dtype=kinds[column.typecode])


def _lists(offsets: array[int], values: array[float]) -> pl.Series:
    made = pa.LargeListArray.from_arrays(pa.array(_numbers(offsets)), pa.array(_numbers(values)))
    found = pl.from_arrow(made)
    assert isinstance(found, pl.Series), "an array becomes a series"
    return found
