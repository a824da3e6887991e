"""Ticks to bars, as a stream: batch and live push the same ticks through the same kernel.

A bar covers [start, end) and is named by its end. Ticks count in trade-id order; one stamped
earlier than the start of the open bar counts in the open bar, since closed bars don't change.
There is one seam: batch cuts days by each trade's own time, so where times run backwards across
midnight, the trades stamped before it come before those stamped after, whatever their ids, and the
bars on both sides of it are not those of a stream that went on (docs/sources.md).
A bar in which nothing traded has no volume and the last price for all its prices. There is no bar
before the first known price.

Of a bar's trades, each compared with the trade before it, which may be in an earlier bar or day:
- `return_sq_sum` is the sum of (log(price / price before))^2,
- `side_changes` counts those whose taker side is not that of the trade before.
`size_entropy` is Shannon's entropy, in bits, of the classes floor(log2(qty / quantity_step)).
`vwap` is quote volume by volume, kept within [low, high]. All sums run in trade-id order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from vostok_core.compiled import nb
from vostok_core.errors import UsageError
from vostok_core.lake.tables import TIME, table
from vostok_core.market.instrument import Instrument
from vostok_core.market.klines import lay_out
from vostok_core.market.quality import valid
from vostok_core.times import DAY, MINUTE, day_start, parse_interval

BAR_FIELDS = (
    "ts",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "trades",
    "buy_volume",
    "vwap",
    "max_qty",
    "qty_sq_sum",
    "size_entropy",
    "return_sq_sum",
    "side_changes",
)
"""A bar as one row of float64: what the kernel here writes and the feature kernels read."""

_TICK_STATISTICS = ("max_qty", "qty_sq_sum", "size_entropy", "return_sq_sum", "side_changes")

# State of the open bar, float64.
_LAST, _OPEN, _HIGH, _LOW, _VOLUME, _QUOTE, _BUY, _MAX, _QTY_SQ, _RETURN_SQ, _STEP = range(11)
# State of the open bar, int64; the counts of 64 size classes follow.
_INTERVAL, _END, _KNOWN, _SIDE, _TRADES, _CHANGES, _FIRST_ID, _LAST_ID, _CLASSES = range(9)
_CLASS_COUNT = 64


@nb.njit(
    nb.void(nb.float64[::1], nb.int64[::1], nb.float64[::1], nb.int64[::1]),
    cache=True,
    nogil=True,
)
def _close_bar(f, i, row, ids):  # type: ignore[no-untyped-def]
    """Write the open bar into `row` and `ids`, and open the next one."""
    trades = i[_TRADES]
    close = f[_LAST]
    row[0] = i[_END]
    row[4] = close
    row[5] = f[_VOLUME]
    row[6] = f[_QUOTE]
    row[7] = trades
    row[8] = f[_BUY]
    row[10] = f[_MAX]
    row[11] = f[_QTY_SQ]
    row[12] = 0.0
    row[13] = f[_RETURN_SQ]
    row[14] = i[_CHANGES]
    ids[0] = i[_FIRST_ID]
    ids[1] = i[_LAST_ID]
    if trades == 0:
        row[1] = close
        row[2] = close
        row[3] = close
        row[9] = close
    else:
        row[1] = f[_OPEN]
        row[2] = f[_HIGH]
        row[3] = f[_LOW]
        row[9] = min(max(f[_QUOTE] / f[_VOLUME], f[_LOW]), f[_HIGH])
        entropy = 0.0
        for k in range(_CLASSES, _CLASSES + _CLASS_COUNT):
            if i[k] > 0:
                share = i[k] / trades
                entropy -= share * math.log2(share)
                i[k] = 0
        row[12] = entropy
    for k in range(_VOLUME, _RETURN_SQ + 1):
        f[k] = 0.0
    i[_TRADES] = 0
    i[_CHANGES] = 0
    i[_FIRST_ID] = -1
    i[_LAST_ID] = -1
    i[_END] += i[_INTERVAL]


def _readonly(dtype: nb.types.Type) -> nb.types.Type:
    """A contiguous array that is only read: Polars lends its memory without the right to write."""
    return nb.types.Array(dtype, 1, "C", readonly=True)


@nb.njit(
    nb.int64(
        _readonly(nb.int64),
        _readonly(nb.float64),
        _readonly(nb.float64),
        _readonly(nb.boolean),
        _readonly(nb.int64),
        nb.int64,
        nb.float64[::1],
        nb.int64[::1],
        nb.float64[:, ::1],
        nb.int64[:, ::1],
    ),
    cache=True,
    nogil=True,
)
def _push(ts, price, qty, buyer_maker, trade_id, until, f, i, rows, ids):  # type: ignore[no-untyped-def]
    """Feed ticks, then close what ends at or before `until`; returns the number of bars closed.

    Linear in ticks and bars; the state is all the memory it needs.
    """
    closed = 0
    for n in range(ts.size):
        if i[_KNOWN] == 0:
            i[_END] = max(i[_END], (ts[n] // i[_INTERVAL] + 1) * i[_INTERVAL])
        else:
            while ts[n] >= i[_END]:
                _close_bar(f, i, rows[closed], ids[closed])
                closed += 1
        p = price[n]
        q = qty[n]
        side = -1 if buyer_maker[n] else 1
        if i[_TRADES] == 0:
            f[_OPEN] = p
            f[_HIGH] = p
            f[_LOW] = p
            i[_FIRST_ID] = trade_id[n]
        else:
            f[_HIGH] = max(f[_HIGH], p)
            f[_LOW] = min(f[_LOW], p)
        if i[_KNOWN] == 1 and p != f[_LAST]:
            r = math.log(p / f[_LAST])
            f[_RETURN_SQ] += r * r
        if i[_SIDE] != 0 and side != i[_SIDE]:
            i[_CHANGES] += 1
        i[_KNOWN] = 1
        f[_LAST] = p
        i[_SIDE] = side
        i[_LAST_ID] = trade_id[n]
        i[_TRADES] += 1
        f[_VOLUME] += q
        f[_QUOTE] += p * q
        if side == 1:
            f[_BUY] += q
        f[_MAX] = max(f[_MAX], q)
        f[_QTY_SQ] += q * q
        # q / step = m * 2^e with m in [0.5, 1), so floor(log2(q / step)) = e - 1. The doubles
        # nearest to s and to 2^k * s differ by exactly 2^k, so the edges of classes are exact.
        size_class = math.frexp(q / f[_STEP])[1] - 1
        i[_CLASSES + min(max(size_class, 0), _CLASS_COUNT - 1)] += 1
    if i[_KNOWN] == 0:
        i[_END] = max(i[_END], (until // i[_INTERVAL] + 1) * i[_INTERVAL])
        return closed
    while i[_END] <= until:
        _close_bar(f, i, rows[closed], ids[closed])
        closed += 1
    return closed


@dataclass(frozen=True)
class ClosedBars:
    """Bars that were closed by a push.

    Attributes:
        rows: float64, shape (bars, 15): `BAR_FIELDS`, `ts` in microseconds.
        ids: int64, shape (bars, 2): ids of the first and the last trade, -1 where there is none.
    """

    rows: np.ndarray
    ids: np.ndarray


class BarBuilder:
    """Builds the time bars of one instrument from a stream of ticks.

    However a stream in id order is cut into pushes, the bars have the same bits.

    Args:
        interval_us: Length of a bar, microseconds.
        quantity_step: Smallest quantity step, the unit of the size classes.
        start: Start of the first bar, microseconds, a multiple of the interval.
        previous: Price and taker side (1, -1; 0 unknown) of the newest trade before `start`.
    """

    def __init__(
        self,
        interval_us: int,
        quantity_step: float,
        start: int,
        previous: tuple[float, int] | None = None,
    ) -> None:
        assert start % interval_us == 0, "bars lie on multiples of their interval"
        self._f = np.zeros(_STEP + 1)
        self._i = np.zeros(_CLASSES + _CLASS_COUNT, dtype=np.int64)
        self._f[_STEP] = quantity_step
        self._i[_INTERVAL] = interval_us
        self._i[_END] = start + interval_us
        self._i[_FIRST_ID] = self._i[_LAST_ID] = -1
        if previous is not None:
            self._i[_KNOWN] = 1
            self._f[_LAST], self._i[_SIDE] = previous

    @property
    def open_end(self) -> int:
        """End of the bar that is open, microseconds."""
        return int(self._i[_END])

    def push(
        self,
        ts: np.ndarray,
        price: np.ndarray,
        qty: np.ndarray,
        buyer_maker: np.ndarray,
        trade_id: np.ndarray,
        *,
        until: int = 0,
    ) -> ClosedBars:
        """Feed ticks, then close the bars that end at or before `until`.

        Args:
            ts: Times, int64 microseconds.
            price: Prices, float64.
            qty: Quantities, float64.
            buyer_maker: Whether a seller took, bool.
            trade_id: Ids, int64.
            until: Time that has passed without a further trade: the end of the day, or a timer.
        """
        newest = max(int(ts.max()), until) if ts.size else until
        room = max(0, (newest - self.open_end) // int(self._i[_INTERVAL]) + 1)
        rows = np.empty((room, len(BAR_FIELDS)))
        ids = np.empty((room, 2), dtype=np.int64)
        closed = _push(ts, price, qty, buyer_maker, trade_id, until, self._f, self._i, rows, ids)
        return ClosedBars(rows[:closed], ids[:closed])

    def close(self, until: int) -> ClosedBars:
        """Close the bars that end at or before `until`."""
        none = np.empty(0, dtype=np.int64)
        return self.push(none, np.empty(0), np.empty(0), np.empty(0, np.bool_), none, until=until)


def day_bars(
    ticks: pl.DataFrame,
    day: date,
    interval: str,
    instrument: Instrument,
    previous: tuple[float, int] | None,
    quality: pl.DataFrame,
) -> pl.DataFrame:
    """The bars of one day of ticks.

    Args:
        ticks: The day's rows of the table `ticks`, in id order.
        day: The UTC day.
        interval: Length of a bar, e.g. `1m`; it divides a day.
        instrument: Its quantity step is the unit of the size classes.
        previous: Price and taker side of the newest trade before the day, if known. Without it
            bars begin with that of the day's first trade.
        quality: The day's rows of the table `quality`; they decide which bars are valid.

    Returns:
        Rows of the table `bars`, source `ticks`. `trades` counts ticks.
    """
    interval_us = parse_interval(interval)
    start = day_start(day)
    ts = ticks["ts"].to_physical().to_numpy()
    assert not ts.size or (ts.min() >= start and ts.max() < start + DAY), "ticks of another day"
    builder = BarBuilder(interval_us, float(instrument.quantity_step), start, previous)
    closed = builder.push(
        ts,
        ticks["price"].to_numpy(),
        ticks["qty"].to_numpy(),
        ticks["buyer_maker"].to_numpy(),
        ticks["trade_id"].to_numpy(),
        until=start + DAY,
    )
    values = {name: closed.rows[:, k] for k, name in enumerate(BAR_FIELDS)}
    good = valid(values["ts"].astype(np.int64), interval_us, quality, instrument.max_silence)
    return _frame(values, closed.ids, good, "ticks")


def bars_from_klines(
    klines: pl.DataFrame,
    day: date,
    interval: str,
    instrument: Instrument,
    previous_close: float | None,
    quality: pl.DataFrame,
) -> pl.DataFrame:
    """The bars of one day of 1-minute klines.

    Args:
        klines: The day's rows of the table `klines`, interval 1m, sorted by time.
        day: The UTC day.
        interval: Length of a bar: a whole number of minutes that divides a day.
        instrument: Its `max_silence` says from when on absent minutes were held for an outage.
        previous_close: Close of the newest kline before the day, if known.
        quality: The day's rows of the table `quality`; they decide which bars are valid.

    Returns:
        Rows of the table `bars`, source `klines`: statistics of single trades are NaN, and so is
        what the source doesn't publish (quote volume and hence VWAP, trades, buy volume). A
        minute without a kline has no volume and the last close for its prices.

    Raises:
        UsageError: The interval is not a whole number of minutes.
    """
    interval_us = parse_interval(interval)
    start = day_start(day)
    grid = lay_out(klines, start, start + DAY, MINUTE, previous_close)
    minutes, rest = divmod(interval_us, MINUTE)
    if rest or not minutes:
        raise UsageError(
            f"{interval} bars can't be built from 1-minute klines",
            hint="choose an interval of whole minutes, or land trades",
        )
    # The first bar may begin before the first known price: minutes that it lacks are filled with
    # that price and no volume, which changes nothing in it.
    lacking = (-grid.ends.size) % minutes
    price = grid.values["open"][:1]
    v = {}
    for name, array in grid.values.items():
        lead = price if name in ("open", "high", "low", "close") else np.zeros_like(price)
        v[name] = np.concatenate((np.repeat(lead, lacking), array)).reshape(-1, minutes)
    ends = grid.ends[minutes - 1 - lacking :: minutes]
    sums = {name: v[name][:, 0] for name in ("volume", "quote_volume", "trades", "buy_volume")}
    for k in range(1, minutes):  # in time order, whatever order a library's sum would take
        sums = {name: total + v[name][:, k] for name, total in sums.items()}
    close = v["close"][:, -1]
    high, low = v["high"].max(axis=1), v["low"].min(axis=1)
    quote, volume = sums["quote_volume"], sums["volume"]
    traded = volume > 0
    vwap = np.where(np.isnan(quote), np.nan, close)
    vwap[traded] = np.clip(quote[traded] / volume[traded], low[traded], high[traded])
    values = {
        "ts": ends,
        "open": v["open"][:, 0],
        "high": high,
        "low": low,
        "close": close,
        **sums,
        "vwap": vwap,
        **{name: np.full(ends.size, np.nan) for name in _TICK_STATISTICS},
    }
    no_ids = np.full((ends.size, 2), -1, dtype=np.int64)
    good = valid(ends, interval_us, quality, instrument.max_silence)
    return _frame(values, no_ids, good, "klines")


def _frame(
    values: Mapping[str, np.ndarray], ids: np.ndarray, good: np.ndarray, source: str
) -> pl.DataFrame:
    """Rows of the table `bars`."""
    ends = values["ts"].astype(np.int64)
    columns: dict[str, pl.Series | pl.Expr] = {
        name: pl.Series(np.ascontiguousarray(values[name])) for name in BAR_FIELDS if name != "ts"
    }
    for k, name in enumerate(("first_trade_id", "last_trade_id")):
        column = pl.Series(np.ascontiguousarray(ids[:, k]), dtype=pl.Int64)
        columns[name] = column.set(column < 0, None)
    frame = pl.DataFrame(
        {
            "ts": pl.Series(ends, dtype=pl.Int64).cast(TIME),
            **columns,
            "valid": good,
        }
    ).with_columns(kind=pl.lit("time"), source=pl.lit(source))
    return frame.select(list(table("bars").schema))
