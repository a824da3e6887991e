"""Where an order would have filled: the one answer that labels and simulator share.

A `PricePath` is a stretch of prints (or, where no ticks exist, of bars). It knows two questions:
when does a market order meet the other side of the book, and how does a long position with a
take-profit and a stop resting at the exchange end. Every answer is conservative:

- A market order fills strictly after it reached the exchange, at what the next taker of its own
  side paid: a buyer pays the ask, a seller gets the bid.
- A take-profit fills at its limit, and only when the price trades through it, since nothing is
  known about its place in the queue at the limit itself.
- A stop triggers at a print at or below it and fills at the next seller's print, however low.
- On bars, only those count in which somebody traded: an order waits for the next of them.
- On bars the order of high and low is unknown: when one bar touches both exits, the stop wins and
  the exit is marked ambiguous.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl

from vostok_core.compiled import nb

BUYER_TOOK = 1
SELLER_TOOK = -1
EITHER = 0

ExitKind = Literal["take_profit", "stop_loss", "time", "open"]

OPEN, TAKE_PROFIT, STOP_LOSS, TIME = range(4)
KINDS: tuple[ExitKind, ...] = ("open", "take_profit", "stop_loss", "time")

# Frames hand out read-only arrays; a read-only parameter takes writable ones too.
_I8 = nb.types.Array(nb.int8, 1, "C", readonly=True)
_I64 = nb.types.Array(nb.int64, 1, "C", readonly=True)
_F64 = nb.types.Array(nb.float64, 1, "C", readonly=True)
_INT = nb.int64


@nb.njit(_INT(_I8, _INT, _INT), cache=True, nogil=True)
def next_taker(side, start, wanted):  # type: ignore[no-untyped-def]
    """First index at or after `start` whose taker is on the `wanted` side; -1 if there is none."""
    for i in range(start, side.size):
        if side[i] == wanted or side[i] == 0:
            return i
    return -1


@nb.njit(
    nb.types.UniTuple(_INT, 2)(_I64, _F64, _INT, _INT, nb.float64, nb.float64),
    cache=True,
    nogil=True,
)
def tick_touch(ts, price, start, end_ts, take_profit, stop_loss):  # type: ignore[no-untyped-def]
    """What resting exits meet first among prints from `start` on, before `end_ts`.

    Returns:
        (kind, index of the print that triggers it); (OPEN, -1) when the prints end first.
    """
    last = max(start, np.searchsorted(ts, end_ts))
    for i in range(start, min(last, ts.size)):
        if price[i] <= stop_loss:
            return STOP_LOSS, i
        if price[i] > take_profit:
            return TAKE_PROFIT, i
    if last < ts.size:
        return TIME, last
    return OPEN, -1


@nb.njit(
    nb.types.UniTuple(_INT, 3)(_I64, _F64, _F64, _INT, _INT, nb.float64, nb.float64),
    cache=True,
    nogil=True,
)
def bar_touch(starts, high, low, start, end_ts, take_profit, stop_loss):  # type: ignore[no-untyped-def]
    """The same among bars that begin before `end_ts`.

    Returns:
        (kind, index of the bar, 1 if that bar touches both exits else 0).
    """
    last = max(start, np.searchsorted(starts, end_ts))
    for i in range(start, min(last, starts.size)):
        if low[i] <= stop_loss:
            return STOP_LOSS, i, np.int64(high[i] > take_profit)
        if high[i] > take_profit:
            return TAKE_PROFIT, i, 0
    if last < starts.size:
        return TIME, last, 0
    return OPEN, -1, 0


@dataclass(frozen=True)
class Touch:
    """What triggered resting exits.

    Attributes:
        kind: Index into `KINDS`: OPEN (nothing yet), TAKE_PROFIT, STOP_LOSS or TIME.
        index: The print or bar that triggered it; -1 when nothing did.
        ambiguous: One bar touched both exits; the stop was taken.
    """

    kind: int
    index: int
    ambiguous: bool


@dataclass(frozen=True)
class Exit:
    """How a long position ended.

    Attributes:
        kind: `open` when the path ended before the position did.
        trigger: Index of the print or bar that triggered the exit; -1 when nothing did. An open
            position with a trigger has a stop or time exit that met no taker before the path ended.
        index: Index of the print or bar that the exit filled at; -1 when open.
        ts: Time of the fill in microseconds; when open, the time of the path's last print. On bars
            a take-profit or stop fills at a moment unknown, and the bar's end is reported.
        price: Price of the fill, before slippage; NaN when open.
        ambiguous: One bar touched both exits; the stop was taken.
    """

    kind: ExitKind
    trigger: int
    index: int
    ts: int
    price: float
    ambiguous: bool


@dataclass(frozen=True)
class PricePath:
    """Prints in trade-id order, or bars in time order.

    Attributes:
        ts: Time of each print, or end of each bar that traded; int64 microseconds, never
            decreasing.
        price: Price of each print, or close of each bar; float64.
        side: Taker side: 1 a buyer took, -1 a seller took, 0 unknown (serves either); int8.
        bars: Whether the rows are bars.
        starts: Start of each bar; empty for prints.
        open, high, low: Of each bar; empty for prints. The close is `price`.

    Every question costs time linear in the rows it walks past, and no memory.
    """

    ts: np.ndarray
    price: np.ndarray
    side: np.ndarray
    bars: bool
    starts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    open: np.ndarray = field(default_factory=lambda: np.empty(0))
    high: np.ndarray = field(default_factory=lambda: np.empty(0))
    low: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        return int(self.ts.size)

    @property
    def close(self) -> np.ndarray:
        """Close of each bar."""
        return self.price

    def taker_fill(
        self, after_ts: int, side: int, *, start: int = 0
    ) -> tuple[int, int, float] | None:
        """Where a market order fills that reaches the exchange at `after_ts`.

        Args:
            after_ts: Time of arrival at the matching engine, microseconds.
            side: 1 to buy, -1 to sell.
            start: Index before which nothing is looked at.

        Returns:
            (index, ts, price) of the first print strictly after `after_ts` whose taker was on the
            same side; on bars, of the open of the first bar that starts at or after `after_ts`.
            None when the path ends first.
        """
        if self.bars:
            index = max(start, int(np.searchsorted(self.starts, after_ts)))
            if index >= self.ts.size:
                return None
            return index, int(self.starts[index]), float(self.open[index])
        first = max(start, int(np.searchsorted(self.ts, after_ts, side="right")))
        index = int(next_taker(self.side, first, side))
        return None if index < 0 else (index, int(self.ts[index]), float(self.price[index]))

    def first_touch(self, start: int, end_ts: int, take_profit: float, stop_loss: float) -> Touch:
        """What exits resting from row `start` on meet first; `first_exit` says where that fills.

        Args:
            start: First row that they can meet.
            end_ts: They stop resting at this time, microseconds.
            take_profit: Limit price.
            stop_loss: Stop price.
        """
        if self.bars:
            kind, index, both = bar_touch(
                self.starts, self.high, self.low, start, end_ts, take_profit, stop_loss
            )
            return Touch(int(kind), int(index), bool(both))
        kind, index = tick_touch(self.ts, self.price, start, end_ts, take_profit, stop_loss)
        return Touch(int(kind), int(index), ambiguous=False)

    def stop_fill(self, trigger: int, stop_loss: float) -> tuple[int, int, float] | None:
        """Where a stop fills that row `trigger` set off: (index, ts, price), or None."""
        if self.bars:
            price = min(float(self.open[trigger]), stop_loss)
            return trigger, int(self.ts[trigger]), price
        index = int(next_taker(self.side, trigger + 1, SELLER_TOOK))
        return None if index < 0 else (index, int(self.ts[index]), float(self.price[index]))

    def first_exit(self, index: int, end_ts: int, take_profit: float, stop_loss: float) -> Exit:
        """How a long position ends that was entered at row `index`, its exits resting since.

        Args:
            index: Row of the entry fill, from `taker_fill`; -1 when the position was already open
                where the path begins.
            end_ts: When a market sell reaches the exchange and the exits stop resting
                (vertical barrier plus latency), microseconds.
            take_profit: Limit price; filled at this price by a print strictly above it.
            stop_loss: Stop price; triggered by a print at or below it, filled at the next print in
                which a seller took. On bars: at the stop, or at the open if that is lower.

        Returns:
            The exit. `time`: no exit was touched before `end_ts`, and the market sell filled.
        """
        start = max(0, index) if self.bars else index + 1
        touch = self.first_touch(start, end_ts, take_profit, stop_loss)
        fill: tuple[int, int, float] | None = None
        if touch.kind == TAKE_PROFIT:
            fill = touch.index, int(self.ts[touch.index]), take_profit
        elif touch.kind == STOP_LOSS:
            fill = self.stop_fill(touch.index, stop_loss)
        elif touch.kind == TIME:
            fill = self.taker_fill(end_ts, SELLER_TOOK, start=start)
        if fill is None:
            last = int(self.ts[-1]) if self.ts.size else end_ts
            return Exit("open", touch.index, -1, last, float("nan"), touch.ambiguous)
        return Exit(KINDS[touch.kind], touch.index, *fill, touch.ambiguous)


def tick_path(ticks: pl.DataFrame) -> PricePath:
    """The path of prints, from rows of the table `ticks` in trade-id order; days may follow on.

    A print that is stamped earlier than one before it counts as of the later time, so that time
    never runs backwards along the path.
    """
    ts = ticks["ts"].to_physical().to_numpy()
    return PricePath(
        ts=np.maximum.accumulate(ts) if ts.size else ts.astype(np.int64),
        price=np.ascontiguousarray(ticks["price"].to_numpy()),
        side=np.where(ticks["buyer_maker"].to_numpy(), SELLER_TOOK, BUYER_TOOK).astype(np.int8),
        bars=False,
    )


def bar_path(bars: pl.DataFrame, interval_us: int) -> PricePath:
    """The path where no ticks exist, from rows of the table `bars` (or `klines`) in time order.

    Bars in which nobody traded are left out, since nobody could have traded with us either: a
    market order waits for the next bar that did, and a stop that this one opens below fills there.

    Args:
        bars: Columns `ts` (end of the bar), `open`, `high`, `low`, `close`, `volume`.
        interval_us: Length of a bar in microseconds.
    """
    bars = bars.filter(pl.col("volume") > 0)
    ts = np.ascontiguousarray(bars["ts"].to_physical().to_numpy())
    open_, high, low, close = (
        np.ascontiguousarray(bars[name].to_numpy()) for name in ("open", "high", "low", "close")
    )
    return PricePath(
        ts=ts,
        price=close,
        side=np.zeros(ts.size, dtype=np.int8),
        bars=True,
        starts=ts - interval_us,
        open=open_,
        high=high,
        low=low,
    )
