"""What was printed in a symbol: its trades and aggregate trades, from the world's first day on.

A day that is over is a daily file of the archive, which this writes, and reads again when somebody
asks; the day that isn't is in memory. Rows are whole numbers: ticks, lots and microseconds.
"""

from __future__ import annotations

import base64
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vostok_core.times import DAY, day_of, day_start
from vostok_exchange.archive import (
    Kind,
    archive_path,
    archived_days,
    read_day,
    write_day,
    write_single_trades,
)
from vostok_exchange.events import AggTrade, Trade
from vostok_exchange.symbols import PLACES, Symbol

ID, TS, PRICE, QTY, MAKER, LOW, HIGH = range(7)
"""Columns: id, time, ticks, lots, whether the buyer was the maker, first and last trade beneath."""

_HELD = 8  # days whose rows are kept once they were read
_ROOM = 1024
_END = 2**63 - 1


def rows_of(ticks: pl.DataFrame, symbol: Symbol) -> np.ndarray:
    """Rows of the table `ticks` in whole numbers; shape (n, 7), int64."""
    columns = [
        ticks["trade_id"],
        ticks["ts"].to_physical(),
        (ticks["price"] / float(symbol.price_tick)).round(),
        (ticks["qty"] / float(symbol.quantity_step)).round(),
        ticks["buyer_maker"],
        ticks["first_id"],
        ticks["last_id"],
    ]
    return np.stack([column.cast(pl.Int64).to_numpy() for column in columns], axis=1)


class _Open:
    """Rows of the day that isn't over."""

    def __init__(self) -> None:
        self._table = np.empty((_ROOM, 7), np.int64)
        self._size = 0

    def add(self, row: tuple[int, ...]) -> None:
        if self._size == len(self._table):
            self._table = np.concatenate([self._table, np.empty_like(self._table)])
        self._table[self._size] = row
        self._size += 1

    def fill(self, rows: np.ndarray) -> None:
        self._table = np.concatenate([rows, np.empty((_ROOM, 7), np.int64)])
        self._size = len(rows)

    @property
    def rows(self) -> np.ndarray:
        return self._table[: self._size]


class Series:
    """Prints of one kind, in order of ids, which is their order in time.

    Args:
        symbol: What they are prints of.
        archive: The archive's folder.
        kind: Aggregate or single trades.
        first: First day; what the archive has from before it is another world's.
        today: The day that isn't over.
    """

    def __init__(self, symbol: Symbol, archive: Path, kind: Kind, first: date, today: date) -> None:
        self._symbol = symbol
        self._archive = archive
        self._kind: Kind = kind
        self._days = [day for day in self._files() if first <= day < today]
        self._held: OrderedDict[date, np.ndarray] = OrderedDict()
        self._heads: dict[date, tuple[int, int]] = {}
        self.open = _Open()

    @property
    def days(self) -> list[date]:
        """Days that are over, in order."""
        return self._days

    def day(self, day: date) -> np.ndarray:
        """The rows of a day that is over."""
        rows = self._held.get(day)
        if rows is None:
            rows = self._held[day] = self._read(day)
            self._heads[day] = (int(rows[0, ID]), int(rows[0, TS])) if len(rows) else (_END, _END)
            if len(self._held) > _HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(day)
        return rows

    def newest(self, limit: int, until: int = _END) -> np.ndarray:
        """The last `limit` rows up to a time."""
        found: list[np.ndarray] = []
        last = bisect_right(self._days, day_of(until)) if until < _END else len(self._days)
        for rows in self._backward(last):
            upto = int(np.searchsorted(rows[:, TS], until, side="right"))
            found.append(rows[max(0, upto - limit) : upto])
            limit -= len(found[-1])
            if not limit:
                break
        return np.concatenate(found[::-1])

    def from_id(self, first: int, limit: int) -> np.ndarray:
        """`limit` rows from an id on."""
        start = max(0, bisect_right(self._days, first, key=lambda day: self._head(day)[0]) - 1)
        return self._forward(start, ID, first, _END, limit)

    def between(self, start: int, end: int, limit: int = _END) -> np.ndarray:
        """Up to `limit` rows from a time through another."""
        return self._forward(bisect_left(self._days, day_of(start)), TS, start, end, limit)

    def close(self, day: date, rows: np.ndarray) -> None:
        """The day is over, and these were its rows."""
        if not self._days or self._days[-1] < day:
            self._days.append(day)
        self._held.pop(day, None)
        self._heads.pop(day, None)
        self.open.fill(rows[len(rows) :])

    def _forward(self, first: int, column: int, low: int, high: int, limit: int) -> np.ndarray:
        found = [self.open.rows[:0]]
        for rows in self._blocks(first):
            values = rows[:, column]
            start = int(np.searchsorted(values, low))
            end = int(np.searchsorted(values, high, side="right"))
            found.append(rows[start : min(end, start + limit)])
            limit -= len(found[-1])
            if not limit or end < len(rows):
                break
        return np.concatenate(found)

    def _blocks(self, first: int) -> Iterator[np.ndarray]:
        for day in self._days[first:]:
            yield self.day(day)
        yield self.open.rows

    def _backward(self, last: int) -> Iterator[np.ndarray]:
        yield self.open.rows
        for day in reversed(self._days[:last]):
            yield self.day(day)

    def _head(self, day: date) -> tuple[int, int]:
        """First id and time of a day, or of the one after it where nothing was printed."""
        if day not in self._heads:
            self.day(day)
        head = self._heads[day]
        if head[0] == _END:
            index = bisect_left(self._days, day) + 1
            return self._head(self._days[index]) if index < len(self._days) else head
        return head

    def _files(self) -> list[date]:
        """Days of which the archive has what this needs."""
        found = set(archived_days(self._archive, self._symbol.name, self._kind))
        # Where only aggregates were written, those of one trade stand for it.
        if self._kind == "trades":
            found |= set(archived_days(self._archive, self._symbol.name))
        return sorted(found)

    def _read(self, day: date) -> np.ndarray:
        kind, symbol = self._kind, self._symbol
        if not archive_path(self._archive, symbol.name, day, kind).exists():
            kind = "aggTrades"
        frame = read_day(self._archive, symbol.name, day, kind)
        if kind == "trades":
            frame = frame.with_columns(first_id="trade_id", last_id="trade_id")
        rows = rows_of(frame, symbol)
        if self._kind == "trades" and kind == "aggTrades":
            rows = rows[rows[:, LOW] == rows[:, HIGH]]
            rows[:, ID] = rows[:, LOW]
        return rows


class Tape:
    """A symbol's trades and aggregate trades.

    Args:
        symbol: The symbol.
        archive: The archive's folder.
        first: First day.
        today: The day that isn't over.
    """

    def __init__(self, symbol: Symbol, archive: Path, first: date, today: date) -> None:
        self.symbol = symbol
        self.today = today
        self.aggregates = Series(symbol, archive, "aggTrades", first, today)
        self.trades = Series(symbol, archive, "trades", first, today)
        self._archive = archive

    def begin(self, rows: np.ndarray) -> None:
        """Today's rows before trading begins here: aggregates of one trade each."""
        self.aggregates.open.fill(rows)
        self.trades.open.fill(rows)

    def hear(self, event: Trade | AggTrade) -> None:
        """Write down what was printed; today, or the caller would have called `turn`."""
        ts, price, qty, maker = event.ts, event.price, event.qty, event.buyer_maker
        if isinstance(event, AggTrade):
            row = (event.agg_id, ts, price, qty, maker, event.first_id, event.last_id)
            self.aggregates.open.add(row)
        else:
            key = event.trade_id
            self.trades.open.add((key, ts, price, qty, maker, key, key))

    def turn(self, ts: int) -> None:
        """A new day begins at `ts`: put the one before into the archive."""
        assert ts == day_start(self.today) + DAY, "days end one after the other"
        day, name = self.today, self.symbol.name
        aggregates, trades = self.aggregates.open.rows, self.trades.open.rows
        write_day(self._archive, name, day, self._frame(aggregates))
        worth = [self.symbol.worth_text(p * q) for p, q in trades[:, [PRICE, QTY]].tolist()]
        frame = self._frame(trades).with_columns(worth=pl.Series(worth, dtype=pl.String))
        write_single_trades(self._archive, name, day, frame)
        self.aggregates.close(day, aggregates)
        self.trades.close(day, trades)
        self.today = day + timedelta(days=1)

    def snapshot(self) -> dict[str, Any]:
        """Today's rows, as JSON-like values; the days before are in the archive."""
        return {
            "today": str(self.today),
            "aggregates": _packed(self.aggregates.open.rows),
            "trades": _packed(self.trades.open.rows),
        }

    def restore(self, content: Mapping[str, Any]) -> None:
        """Go on from where `snapshot` stood; the tape was made for that day."""
        assert content["today"] == str(self.today), "a tape is restored on the day it was written"
        for series, name in ((self.aggregates, "aggregates"), (self.trades, "trades")):
            series.open.fill(_unpacked(content[name]))

    def _frame(self, rows: np.ndarray) -> pl.DataFrame:
        """Rows as the archive writes them: decimals as the nearest doubles."""
        symbol = self.symbol
        price, qty = (
            np.round(rows[:, column] * float(step), PLACES)
            for column, step in ((PRICE, symbol.price_tick), (QTY, symbol.quantity_step))
        )
        return pl.DataFrame(
            {
                "trade_id": rows[:, ID],
                "ts": rows[:, TS],
                "price": price,
                "qty": qty,
                "first_id": rows[:, LOW],
                "last_id": rows[:, HIGH],
                "buyer_maker": rows[:, MAKER].astype(bool),
            }
        )


def _packed(rows: np.ndarray) -> str:
    """A day has tens of thousands of rows: as numbers in a text they would take a second."""
    return base64.b64encode(rows.astype("<i8").tobytes()).decode()


def _unpacked(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<i8").astype(np.int64).reshape(-1, 7)
