"""Trades in order become bars: each is written down, counted, and where bars end the cut as well.

A bar closes when a trade at or after its end is seen, ids unbroken, or `grace` after its end by the
market's clock, once the feed is complete up to its end: nothing is missing, nothing waits, and the
stream has been heard since. While that is not so, the bar stays open until the trades that are
missing have come or were given up. A trade stamped before a bar that a timer closed counts in the
bar that is open.

A trade stamped well ahead of the market's clock would close bars whose trades are yet to come. It
is held back, with all that follow, until the clock has reached it or was set right; nothing is
written down of them, and no bar closes meanwhile. One that has waited for long while trades after
it are not ahead has a stamp that can't be meant: it is refused, and counts as missing.

`vostok_core.live.cuts.bars_from_journal` tells the same bars again from what was written down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from vostok_core.live.cuts import ClosedBar, Cut, LiveBars, Ticks
from vostok_live.feed.events import Tick
from vostok_live.feed.trades import TradeFeed
from vostok_live.seams import Clock

_LONGEST_WAIT = 1.0  # seconds; a clock that was set is noticed within them
_RECHECK = 0.1  # seconds until an incomplete feed is asked again
_HELD = 100_000
"""Trades that are held back beyond which no more are taken from the feed: they wait there, and what
it has no room for is fetched by id later."""


class Market:
    """The bars of one instrument, closed as time goes on.

    Args:
        bars: The open bars. After a restart, those that have counted the journal's trades.
        clock: Tells market time.
        grace: Market time after a bar's end until a timer closes it, microseconds. It should cover
            the way from the exchange and the difference of the clocks.
        ahead: A trade stamped later than the market's clock by more than this, in microseconds, is
            held back.
        on_ticks: Writes down trades, before they count.
        on_cut: Writes down a cut, before its bars are used.
        on_bar: Takes a bar that has closed.
        on_refused: Called with a trade that is refused. Its id is then missing, which makes the bar
            of the next trade invalid.
        on_held: Called with a trade that is held back, if none was before it; and with None once
            none is any more.
        patience: Seconds of the wall that a trade is held back before it may be refused.
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
        on_held: Callable[[Tick | None], None] = lambda _: None,
        patience: float = 600.0,
    ) -> None:
        self._bars = bars
        self._clock = clock
        self._grace = grace
        self._ahead = ahead
        self._on_ticks = on_ticks
        self._on_cut = on_cut
        self._on_bar = on_bar
        self._on_refused = on_refused
        self._on_held = on_held
        self._patience_us = int(patience * 1e6)
        self._held: list[Tick] = []
        self._earliest = 0  # stamp of those held

    async def run(self, feed: TradeFeed) -> None:
        """Take trades from a feed and watch the clock, until cancelled."""
        while True:
            if len(self._held) < _HELD:
                self.push(await feed.receive(self.wait()))
            else:
                await asyncio.sleep(self.wait())
            self.pass_time(feed.complete)

    def push(self, ticks: Sequence[Tick]) -> None:
        """Take in trades.

        Args:
            ticks: In order of ids, above those of any before.
        """
        held = bool(self._held)
        ready = self._ready(ticks)
        if self._held and not held:
            self._on_held(self._held[0])
        if ready:
            self._on_ticks(ready)
            for cut, closed in self._bars.push(columns(ready)):
                self._hand_on(cut, closed)
        if held and not self._held:
            self._on_held(None)

    def pass_time(self, complete: Callable[[int], bool]) -> None:
        """Let go of trades that the clock has reached, and close the bars whose time has run out.

        Args:
            complete: Says whether every trade sent before a time has been pushed.
        """
        if self._held:
            self.push(())
        if self._held:
            return
        now = self._clock.market()
        while (end := self._bars.open_end) is not None and now >= end + self._grace:
            if not complete(end):
                return
            self._hand_on(*self._bars.close(end))

    def wait(self) -> float:
        """Seconds until a timer may be due or a trade that is held back; no more than one."""
        if self._held:
            left = self._held[0].ts - self._ahead - self._clock.market()
            return min(self._clock.market_time.wall_seconds(max(left, 0)), _LONGEST_WAIT)
        end = self._bars.open_end
        if end is None:
            return _LONGEST_WAIT
        left = end + self._grace - self._clock.market()
        if left <= 0:
            return _RECHECK
        return min(self._clock.market_time.wall_seconds(left), _LONGEST_WAIT)

    def _ready(self, ticks: Sequence[Tick]) -> Sequence[Tick]:
        """Trades that may count now, in order; the rest is held back, or refused."""
        latest = self._clock.market() + self._ahead
        if not self._held and all(tick.ts <= latest for tick in ticks):
            return ticks
        waited = self._clock.wall_ns() // 1_000 - self._patience_us
        held = self._held
        earlier = [self._earliest] if held else []
        held += ticks
        self._earliest = min([*earlier, *(tick.ts for tick in ticks)])
        first = held[0]
        if first.ts > latest and (self._earliest > latest or first.seen > waited):
            return ()
        last = max((n for n, tick in enumerate(held) if tick.ts <= latest), default=-1)
        ready: list[Tick] = []
        for n, tick in enumerate(held):
            if tick.ts <= latest:
                ready.append(tick)
            elif n < last and tick.seen <= waited:
                self._on_refused(tick)
            else:
                self._held = held[n:]
                break
        else:
            self._held = []
        self._earliest = min((tick.ts for tick in self._held), default=0)
        return ready

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
