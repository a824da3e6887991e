"""Trades in order become bars: each is written down, counted, and where bars end the cut as well.

A bar closes when a trade at or after its end is seen, ids unbroken, or `grace` after its end by the
market's clock, once the feed is complete up to its end: nothing is missing, nothing waits, and the
stream has been heard since. While that is not so, the bar stays open until the trades that are
missing have come or were given up. A trade stamped before a bar that a timer closed counts in the
bar that is open.

`vostok_core.live.cuts.bars_from_journal` tells the same bars again from what was written down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vostok_core.live.cuts import ClosedBar, Cut, LiveBars, Ticks
from vostok_live.feed.events import Tick
from vostok_live.feed.trades import TradeFeed
from vostok_live.seams import Clock

_LONGEST_WAIT = 1.0  # seconds; a clock that was set is noticed within them
_RECHECK = 0.1  # seconds until an incomplete feed is asked again


class Market:
    """The bars of one instrument, closed as time goes on.

    Args:
        bars: The open bars. After a restart, those that have counted the journal's trades.
        clock: Tells market time.
        grace: Market time after a bar's end until a timer closes it, microseconds. It should cover
            the way from the exchange and the difference of the clocks.
        ahead: A trade stamped later than the market's clock by more than this, in microseconds, is
            refused: counting it would close bars whose trades are yet to come. Its id is then
            missing, which makes the bar of the next trade invalid.
        on_ticks: Writes down trades, before they count.
        on_cut: Writes down a cut, before its bars are used.
        on_bar: Takes a bar that has closed.
        on_refused: Called with a trade that was refused.
    """

    def __init__(
        self,
        bars: LiveBars,
        clock: Clock,
        *,
        grace: int,
        ahead: int,
        on_ticks: Callable[[Sequence[Tick]], None],
        on_cut: Callable[[Cut], None],
        on_bar: Callable[[ClosedBar], None],
        on_refused: Callable[[Tick], None],
    ) -> None:
        self._bars = bars
        self._clock = clock
        self._grace = grace
        self._ahead = ahead
        self._on_ticks = on_ticks
        self._on_cut = on_cut
        self._on_bar = on_bar
        self._on_refused = on_refused

    async def run(self, feed: TradeFeed) -> None:
        """Take trades from a feed and watch the clock, until cancelled."""
        while True:
            self.push(await feed.receive(self.wait()))
            self.pass_time(feed.complete)

    def push(self, ticks: Sequence[Tick]) -> None:
        """Take in trades.

        Args:
            ticks: In order of ids, above those of any before.
        """
        latest = self._clock.market() + self._ahead
        if any(tick.ts > latest for tick in ticks):
            for tick in ticks:
                if tick.ts > latest:
                    self._on_refused(tick)
            ticks = [tick for tick in ticks if tick.ts <= latest]
        if not ticks:
            return
        self._on_ticks(ticks)
        for cut, closed in self._bars.push(columns(ticks)):
            self._hand_on(cut, closed)

    def pass_time(self, complete: Callable[[int], bool]) -> None:
        """Close the bars whose time has run out.

        Args:
            complete: Says whether every trade sent before a time has been pushed.
        """
        now = self._clock.market()
        while (end := self._bars.open_end) is not None and now >= end + self._grace:
            if not complete(end):
                return
            self._hand_on(*self._bars.close(end))

    def wait(self) -> float:
        """Seconds until a timer may be due; no more than one."""
        end = self._bars.open_end
        if end is None:
            return _LONGEST_WAIT
        left = end + self._grace - self._clock.market()
        if left <= 0:
            return _RECHECK
        return min(self._clock.market_time.wall_seconds(left), _LONGEST_WAIT)

    def _hand_on(self, cut: Cut, closed: Sequence[ClosedBar]) -> None:
        self._on_cut(cut)
        for bar in closed:
            self._on_bar(bar)


def columns(ticks: Sequence[Tick]) -> Ticks:
    """Trades as columns."""
    return Ticks(
        np.array([tick.ts for tick in ticks], dtype=np.int64),
        np.array([tick.price for tick in ticks]),
        np.array([tick.qty for tick in ticks]),
        np.array([tick.buyer_maker for tick in ticks], dtype=np.bool_),
        np.array([tick.trade_id for tick in ticks], dtype=np.int64),
        np.array([tick.first_id for tick in ticks], dtype=np.int64),
        np.array([tick.last_id for tick in ticks], dtype=np.int64),
    )
