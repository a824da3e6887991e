"""Klines and the statistics of the last 24 hours, counted from a tape when somebody asks.

A kline covers [opening, close). Where nobody traded in it, its prices are the last one before and
its volumes 0, from the first print there is up to now.
"""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from vostok_core.times import DAY, HOUR, MINUTE, SECOND, WEEK, day_of, day_start
from vostok_exchange.tape import HIGH, LOW, MAKER, PRICE, QTY, TS, Tape

INTERVALS: dict[str, int | None] = {
    "1s": SECOND,
    **{f"{n}m": n * MINUTE for n in (1, 3, 5, 15, 30)},
    **{f"{n}h": n * HOUR for n in (1, 2, 4, 6, 8, 12)},
    "1d": DAY,
    "3d": 3 * DAY,
    "1w": WEEK,
    "1M": None,
}
"""Length of each interval in microseconds; a month has none."""

_MONDAY = 4 * DAY  # 1970-01-05
_MONTHS = 12


class Kline(NamedTuple):
    """A bar: prices in ticks, volumes in lots, worth in atoms.

    Attributes:
        opening: Its beginning, microseconds.
        close: Its end, which is no more part of it.
        trades: How many single trades.
        buy_lots: Volume that takers bought.
        buy_atoms: Worth of it.
        first_id: First single trade; -1 where there is none.
        last_id: Last one.
    """

    opening: int
    close: int
    open: int
    high: int
    low: int
    last: int
    lots: int
    atoms: int
    trades: int
    buy_lots: int
    buy_atoms: int
    first_id: int
    last_id: int


class DayStatistics(NamedTuple):
    """The last 24 hours; where nobody traded, prices are the last one before and counts are 0.

    Attributes:
        start: Their beginning, which is no more part of them.
        end: Their end.
        before: Last price before them; their first one where there is none.
        last_lots: Quantity of the last aggregate trade.
        first_id: First single trade; -1 where there is none.
        last_id: Last one.
    """

    start: int
    end: int
    before: int
    open: int
    high: int
    low: int
    last: int
    last_lots: int
    lots: int
    atoms: int
    trades: int
    first_id: int
    last_id: int


# Columns of a table of bars, made of prints or of shorter bars.
_AT, _OPEN, _HIGHEST, _LOWEST, _LAST, _LOTS, _ATOMS, _N, _BUY_LOTS, _BUY_ATOMS, _FIRST, _FINAL = (
    range(12)
)


class Klines:
    """A tape's klines.

    Args:
        tape: What was printed.
    """

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._minutes: dict[date, np.ndarray] = {}
        self._beginning: int | None = None

    def between(
        self, interval: str, start: int | None, end: int, limit: int, zone: int = 0
    ) -> list[Kline]:
        """Up to `limit` klines in order of time.

        Args:
            interval: One of `INTERVALS`.
            start: Earliest opening, though none comes before the first print's; None for the
                last `limit`.
            end: Latest opening, at most now.
            limit: How many.
            zone: Microseconds that days begin before those of UTC.
        """
        final = opening(end, interval, zone)
        if start is None:
            openings = [final]
            while len(openings) < limit:
                openings.append(opening(openings[-1] - 1, interval, zone))
            openings.reverse()
        else:
            first = opening(start, interval, zone)
            first = first if first >= start else closing(first, interval, zone)
            openings = [max(first, opening(self._first_print(end), interval, zone))]
            while len(openings) < limit and openings[-1] < final:
                openings.append(closing(openings[-1], interval, zone))
        openings = [at for at in openings if at <= end]
        if not openings:
            return []
        edges = [*openings, closing(openings[-1], interval, zone)]
        return self._bars(edges, interval)

    def _first_print(self, end: int) -> int:
        """When the first print was; `end` where there is none up to then."""
        if self._beginning is None:
            rows = self._tape.aggregates.between(0, end, 1)
            if not len(rows):
                return end
            self._beginning = int(rows[0, TS])
        return self._beginning

    def _bars(self, edges: list[int], interval: str) -> list[Kline]:
        """One kline between each two edges, but none before the first print."""
        table = self._table(edges[0], edges[-1], fine=interval == "1s")
        number = np.searchsorted(np.array(edges), table[:, _AT], side="right") - 1
        bars = dict(zip(number[_starts(number)].tolist(), _fold(table, number), strict=True))
        before = self._tape.aggregates.newest(1, edges[0] - 1)
        last = int(before[0, PRICE]) if len(before) else None
        found = []
        for index, (begin, close) in enumerate(pairwise(edges)):
            bar = bars.get(index)
            if bar is not None:
                last = bar[_LAST]
                found.append(Kline(begin, close, *bar[_OPEN:]))
            elif last is not None:
                found.append(Kline(begin, close, last, last, last, last, 0, 0, 0, 0, 0, -1, -1))
        return found

    def _table(self, start: int, end: int, *, fine: bool) -> np.ndarray:
        """Bars of prints, or of minutes for days that are over, in [start, end)."""
        series = self._tape.aggregates
        parts = []
        for day in series.days:
            if start < day_start(day) + DAY and day_start(day) < end:
                if fine:
                    parts.append(_bars_of(_within(series.day(day), TS, start, end)))
                else:
                    parts.append(_within(self._minutes_of(day), _AT, start, end))
        parts.append(_bars_of(_within(series.open.rows, TS, start, end)))
        return np.concatenate(parts)

    def _minutes_of(self, day: date) -> np.ndarray:
        minutes = self._minutes.get(day)
        if minutes is None:
            bars = _bars_of(self._tape.aggregates.day(day))
            number = bars[:, _AT] // MINUTE
            minutes = np.array(_fold(bars, number), np.int64).reshape(-1, 12)
            self._minutes[day] = minutes
        return minutes


def statistics(tape: Tape, last_price: int, now: int) -> DayStatistics:
    """The last 24 hours, as they are now; `last_price` counts where nobody traded in them."""
    start = now - DAY
    rows = tape.aggregates.between(start + 1, now)
    earlier = tape.aggregates.newest(1, start)
    if not len(rows):
        lots = int(earlier[0, QTY]) if len(earlier) else 0
        prices = (last_price, last_price, last_price, last_price, last_price)
        return DayStatistics(start, now, *prices, lots, 0, 0, 0, -1, -1)
    price, qty = rows[:, PRICE], rows[:, QTY]
    first, last = int(price[0]), int(price[-1])
    return DayStatistics(
        start,
        now,
        int(earlier[0, PRICE]) if len(earlier) else first,
        first,
        int(price.max()),
        int(price.min()),
        last,
        int(qty[-1]),
        int(qty.sum()),
        int((price * qty).sum()),
        int((rows[:, HIGH] - rows[:, LOW] + 1).sum()),
        int(rows[0, LOW]),
        int(rows[-1, HIGH]),
    )


def opening(ts: int, interval: str, zone: int = 0) -> int:
    """When the kline begins that a time is in."""
    length = INTERVALS[interval]
    local = ts + zone
    if length is None:
        return day_start(day_of(local).replace(day=1)) - zone
    anchor = _MONDAY if interval == "1w" else 0
    return (local - anchor) // length * length + anchor - zone


def closing(begin: int, interval: str, zone: int = 0) -> int:
    """When the kline ends that begins at a time."""
    length = INTERVALS[interval]
    if length is None:
        first = day_of(begin + zone)
        year, month = divmod(first.year * _MONTHS + first.month, _MONTHS)
        return day_start(date(year, month + 1, 1)) - zone
    return begin + length


def _within(table: np.ndarray, column: int, start: int, end: int) -> np.ndarray:
    """The rows whose time is in [start, end)."""
    low, high = np.searchsorted(table[:, column], (start, end))
    return table[low:high]


def _bars_of(rows: np.ndarray) -> np.ndarray:
    """Each print as a bar of its own."""
    price, qty, buys = rows[:, PRICE], rows[:, QTY], 1 - rows[:, MAKER]
    worth, count = price * qty, rows[:, HIGH] - rows[:, LOW] + 1
    columns = (
        rows[:, TS], price, price, price, price, qty, worth, count, qty * buys, worth * buys,
        rows[:, LOW], rows[:, HIGH],
    )  # fmt: skip
    return np.stack(columns, axis=1) if len(rows) else np.empty((0, 12), np.int64)


def _starts(number: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.diff(number, prepend=-1))


def _fold(table: np.ndarray, number: np.ndarray) -> list[list[int]]:
    """One bar for every run of equal numbers (0 or more)."""
    if not len(table):
        return []
    starts = _starts(number)
    ends = np.append(starts[1:], len(table)) - 1
    folded = np.empty((len(starts), 12), np.int64)
    folded[:, [_AT, _OPEN, _FIRST]] = table[starts][:, [_AT, _OPEN, _FIRST]]
    folded[:, [_LAST, _FINAL]] = table[ends][:, [_LAST, _FINAL]]
    folded[:, _HIGHEST] = np.maximum.reduceat(table[:, _HIGHEST], starts)
    folded[:, _LOWEST] = np.minimum.reduceat(table[:, _LOWEST], starts)
    for column in (_LOTS, _ATOMS, _N, _BUY_LOTS, _BUY_ATOMS):
        folded[:, column] = np.add.reduceat(table[:, column], starts)
    bars: list[list[int]] = folded.tolist()
    return bars
