"""Bars as a running process closes them, told again from what it wrote down.

A bar closes when a trade at or after its end is counted, or on a timer. Either way a `Cut` says
where: after which trade. Trades in order of ids and the cuts between them make the bars, bit for
bit, whoever made the cuts and why; a trade stamped before a cut that was counted after it counts in
the bar that is open then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl

from vostok_core.errors import DataError
from vostok_core.live.validity import Validity
from vostok_core.market.bars import BarBuilder
from vostok_core.market.instrument import Instrument
from vostok_core.market.ticks import LastTick, last_tick
from vostok_core.times import parse_interval, utc


@dataclass(frozen=True, slots=True)
class Ticks:
    """Trades in order of ids, as columns of the same length.

    Attributes:
        ts: Times, int64 microseconds.
        price: float64.
        qty: float64.
        buyer_maker: Whether a seller took, bool.
        trade_id: int64.
        first_id: Id of the first trade beneath, int64; -1 where there is none.
        last_id: Id of the last one.
    """

    ts: np.ndarray
    price: np.ndarray
    qty: np.ndarray
    buyer_maker: np.ndarray
    trade_id: np.ndarray
    first_id: np.ndarray
    last_id: np.ndarray

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Ticks:
        """The rows of a table of ticks."""
        # Writable, since Polars lends its memory without that right and kernels ask for it.
        first_id, last_id = frame["first_id"].fill_null(-1), frame["last_id"].fill_null(-1)
        return cls(
            frame["ts"].to_physical().to_numpy(writable=True),
            frame["price"].to_numpy(writable=True),
            frame["qty"].to_numpy(writable=True),
            frame["buyer_maker"].to_numpy(writable=True),
            frame["trade_id"].to_numpy(writable=True),
            first_id.to_numpy(writable=True),
            last_id.to_numpy(writable=True),
        )

    def __len__(self) -> int:
        return int(self.ts.size)

    def __getitem__(self, part: slice) -> Ticks:
        return Ticks(
            self.ts[part],
            self.price[part],
            self.qty[part],
            self.buyer_maker[part],
            self.trade_id[part],
            self.first_id[part],
            self.last_id[part],
        )


@dataclass(frozen=True, slots=True)
class Cut:
    """Where bars ended.

    Attributes:
        ts: The end of the bars, microseconds; all that end then are closed.
        last_id: Id of the newest trade that counts in them or before them; -1 if there is none.
        by: What closed them: the next trade, at or after their end, or a timer.
    """

    ts: int
    last_id: int
    by: Literal["trade", "timer"]


@dataclass(frozen=True)
class ClosedBar:
    """A bar that has closed.

    Attributes:
        interval: Its length, such as `1m`.
        row: float64, `market.bars.BAR_FIELDS`.
        first_id: Id of its first trade, -1 where nothing traded.
        last_id: Id of its last one.
        valid: Whether nothing was wrong with it.
    """

    interval: str
    row: np.ndarray
    first_id: int
    last_id: int
    valid: bool

    @property
    def ts(self) -> int:
        """Its end, microseconds."""
        return int(self.row[0])


class LiveBars:
    """The bars of one instrument that are open, of one interval or several.

    Args:
        instrument: Its rules.
        intervals: Lengths of bars, such as `1m`.
        start: Start of the first bars, microseconds, a multiple of every interval.
        previous: The newest trade before `start`, if it is known; after a cut, `newest_counted`.
    """

    def __init__(
        self,
        instrument: Instrument,
        intervals: Sequence[str],
        start: int,
        previous: LastTick | None,
    ) -> None:
        price = seen = None
        if previous is not None:
            price = previous.price, previous.side
            beneath = -1 if previous.last_id is None else previous.last_id
            seen = previous.ts, previous.trade_id, beneath, previous.price
        self._series = []
        for interval in intervals:
            length = parse_interval(interval)
            builder = BarBuilder(length, float(instrument.quantity_step), start, price)
            self._series.append((interval, length, builder, Validity(instrument, start, seen)))
        self._priced = previous is not None
        self._last_id = -1 if previous is None else previous.trade_id

    @property
    def last_id(self) -> int:
        """Id of the newest trade that was counted, or the one before the start; -1 for none."""
        return self._last_id

    @property
    def open_end(self) -> int | None:
        """The earliest end of an open bar, microseconds; none before the first price is known."""
        return min(builder.open_end for _, _, builder, _ in self._series) if self._priced else None

    def push(self, ticks: Ticks) -> Iterator[tuple[Cut, list[ClosedBar]]]:
        """Count trades as they come, closing bars where a trade lies at or after their end.

        Args:
            ticks: Whose ids are above that of any trade before.

        Yields:
            Each cut, with the bars that it closed. Trades are counted as this goes on, so it must
            be gone through.
        """
        begin = 0
        if not self._priced and len(ticks):
            self._count(ticks[:1])
            begin = 1
        while begin < len(ticks):
            end = self.open_end
            beyond = ticks.ts[begin:] >= end
            at = begin + int(beyond.argmax())
            if not beyond[at - begin]:
                break
            self._count(ticks[begin:at])
            begin = at
            assert end is not None
            cut = Cut(end, self._last_id, "trade")
            yield cut, self._close(end)
        self._count(ticks[begin:])

    def close(self, end: int) -> tuple[Cut, list[ClosedBar]]:
        """Close bars on a timer.

        Args:
            end: `open_end`.
        """
        assert end == self.open_end, "a timer closes the bars that end first"
        return Cut(end, self._last_id, "timer"), self._close(end)

    def replay(self, ticks: Ticks, cuts: Sequence[Cut]) -> list[ClosedBar]:
        """Count the trades of a journal, closing bars where its cuts say.

        Args:
            ticks: In order of ids. Those after the last cut count in bars that stay open.
            cuts: In order of time.

        Returns:
            The bars closed, in the order in which they were.

        Raises:
            DataError: A cut comes after a trade that is not there, or not where a bar ends.
        """
        closed: list[ClosedBar] = []
        begin = 0
        for cut in cuts:
            at = int(np.searchsorted(ticks.trade_id, cut.last_id, side="right"))
            self._count(ticks[begin:at])
            begin = max(begin, at)
            if cut.last_id != self._last_id or cut.ts != self.open_end:
                raise DataError(
                    f"the bars cut at {utc(cut.ts):%Y-%m-%d %H:%M:%S} after trade {cut.last_id} "
                    f"can't be told again: the newest trade is {self._last_id}",
                    hint="fetch the trades that the journal lacks, or begin at an earlier cut",
                )
            closed += self._close(cut.ts)
        self._count(ticks[begin:])
        return closed

    def _count(self, ticks: Ticks) -> None:
        """Count trades in the bars that are open, which none of them ends."""
        if not len(ticks):
            return
        for _, length, builder, validity in self._series:
            builder.push(ticks.ts, ticks.price, ticks.qty, ticks.buyer_maker, ticks.trade_id)
            # One stamped before a bar that a timer closed shows no earlier than the bar it counts
            # in begins.
            shown = np.maximum(ticks.ts, builder.open_end - length)
            validity.push(shown, ticks.trade_id, ticks.first_id, ticks.last_id, ticks.price)
        self._priced = True
        self._last_id = int(ticks.trade_id[-1])

    def _close(self, end: int) -> list[ClosedBar]:
        bars: list[ClosedBar] = []
        for interval, length, builder, validity in self._series:
            closed = builder.close(end)
            if not closed.rows.size:
                continue
            good = validity.valid(closed.rows[:, 0].astype(np.int64), length)
            bars += [
                ClosedBar(interval, row, int(first), int(last), bool(is_good))
                for row, (first, last), is_good in zip(closed.rows, closed.ids, good, strict=True)
            ]
        return bars


def newest_counted(
    ticks: pl.DataFrame, cuts: Sequence[Cut], before: LastTick | None = None
) -> LastTick | None:
    """The newest of some trades, for bars that go on after them (`previous`).

    Its time is the latest of any, or the start of the bar that it counted in, if that was later.

    Args:
        ticks: Rows of a table of ticks, in order of ids.
        cuts: The cuts after the time of the newest, or more of them, in order of time.
        before: The trade before all of them, if it is known (`LiveBars`); it is the newest where
            there are none.
    """
    newest = last_tick(ticks)
    if newest is None:
        return before
    starts = [cut.ts for cut in cuts if cut.last_id < newest.trade_id]
    earlier = [] if before is None else [before.ts]
    return replace(newest, ts=max([newest.ts, *starts[-1:], *earlier]))


def bars_from_journal(
    ticks: pl.DataFrame,
    cuts: Sequence[Cut],
    instrument: Instrument,
    intervals: Sequence[str],
    start: int,
    previous: LastTick | None,
) -> list[ClosedBar]:
    """The bars that a process closed, from what it wrote down.

    Args:
        ticks: Rows of a table of ticks, in order of ids: every trade from `start` on.
        cuts: Every cut, in order of time.
        instrument: Its rules.
        intervals: Lengths of bars, such as `1m`.
        start: Where the process began, microseconds.
        previous: The newest trade before `start`, as the process knew it.

    Raises:
        DataError: Cuts and trades don't fit together.
    """
    return LiveBars(instrument, intervals, start, previous).replay(Ticks.of(ticks), cuts)
