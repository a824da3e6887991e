"""The market: trades in, in order and once each, bars out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import aiohttp

from vostok_core.live.cuts import ClosedBar, Cut, LiveBars
from vostok_core.trading.commands import Alert
from vostok_live.daemon.plan import Plan
from vostok_live.feed.connection import Allowance, Arrival, Change, MarketStream, Patience
from vostok_live.feed.continuity import Continuity
from vostok_live.feed.events import Malformed, Tick
from vostok_live.feed.http import FeedError
from vostok_live.feed.inbox import Inbox
from vostok_live.feed.rest import MarketRest
from vostok_live.feed.trades import TradeFeed
from vostok_live.journal.writer import Journal
from vostok_live.market import Market
from vostok_live.seams import Seams
from vostok_live.service import logs
from vostok_live.service.measures import Measures
from vostok_live.service.status import Reason

_log = logging.getLogger(f"{logs.ROOT}.market")

_ROOM = 200_000  # trades that may wait to be looked at
_PATIENCE = 600.0
"""Seconds that missing trades are asked for before they are given up, and that one ahead of the
clock is held back before it is. Nothing is entered meanwhile, and a bar that lacks trades makes
features useless for as long as they look back."""
_AHEAD = 5_000_000  # microseconds of the wall that a trade may be ahead of our clock
_CODE = "trade_ahead"
_QUIET = 600.0
"""Seconds in which a person is told once of trades ahead of the clock: they come in numbers."""


class MarketSide:
    """The feed of one instrument, and its bars.

    Args:
        plan: What is traded, and where.
        bars: They have counted the journal's trades.
        next_id: The first trade that they have not.
        rest: Fetches what the stream lacks.
        journal: Where trades and cuts are written down.
        web: Opens connections.
        seams: Clock and chance.
        allowance: Shared by all who open connections to this exchange.
        measures: Where things are counted.
        on_bar: Takes a bar that has closed.
        arrived: Called with the wall's time, nanoseconds, at which a trade came that may close a
            bar; with 0 before a timer closes one.
        tell: Tells a person.
        on_connected: Called when a connection is up.
        doubts: Why nothing may be entered, by code: `trade_ahead` is, while trades are held back.

    Attributes:
        refused: Trades that were.
    """

    def __init__(
        self,
        plan: Plan,
        bars: LiveBars,
        next_id: int,
        rest: MarketRest,
        journal: Journal,
        *,
        web: aiohttp.ClientSession,
        seams: Seams,
        allowance: Allowance,
        measures: Measures,
        on_bar: Callable[[ClosedBar], None],
        arrived: Callable[[int], None],
        tell: Callable[[Alert], None],
        on_connected: Callable[[], None],
        doubts: dict[str, Reason],
    ) -> None:
        symbol = plan.instrument.id.symbol
        kind = "aggTrade" if plan.instrument.tick == "agg_trade" else "trade"
        speed = seams.clock.market_time.speed
        self.last: Tick | None = None
        self.connections = 0
        self.refused = 0
        self._doubts = doubts
        self._told_ns: dict[str, int] = {}
        self._clock = seams.clock
        self._journal = journal
        self._measures = measures
        self._arrived = arrived
        self._tell = tell
        self._on_connected = on_connected
        inbox: Inbox[Arrival] = Inbox(_ROOM)
        stream = MarketStream(
            plan.venue.streams,
            [f"{symbol.lower()}@{kind}"],
            inbox,
            session=web,
            seams=seams,
            patience=Patience(),
            allowance=allowance,
            on_change=self._changed,
            on_flaw=self._flawed,
        )
        self.feed = TradeFeed(
            symbol,
            stream,
            inbox,
            Continuity(next_id, patience=_PATIENCE),
            rest,
            clock=seams.clock,
            on_other=lambda _: None,
            on_error=self._failed,
        )
        self.market = Market(
            bars,
            seams.clock,
            grace=int(plan.timing.grace * speed),
            ahead=int(_AHEAD * speed),
            on_ticks=self._record,
            on_cut=self._cut,
            on_bar=on_bar,
            on_refused=self._refuse,
            on_held=self._hold,
            patience=_PATIENCE,
        )

    async def run(self) -> None:
        """Keep the trades coming and close bars, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.feed.run())
            group.create_task(self.market.run(self.feed))

    def _record(self, ticks: Sequence[Tick]) -> None:
        self._journal.record_ticks(ticks)
        newest = ticks[-1]
        self.last = newest
        self._arrived(newest.seen * 1_000)
        if newest.sent >= 0:
            self._measures.feed_delay.observe((newest.seen - newest.sent) / 1e6)

    def _cut(self, cut: Cut) -> None:
        self._journal.record_cut(cut)
        if cut.by == "timer":
            self._arrived(0)

    def _hold(self, tick: Tick | None) -> None:
        """Doubt while trades are held back."""
        if tick is None:
            self._doubts.pop(_CODE, None)
            return
        what = self._ahead(tick)
        hint = "it waits for the clock: see that it is right"
        self._doubts[_CODE] = Reason(_CODE, what, hint)
        self._warn(_CODE, f"{what}: it waits, with all that follow")

    def _refuse(self, tick: Tick) -> None:
        self.refused += 1
        what = f"{self._ahead(tick)}, and those after it are not: it counts as missing"
        self._warn("trade_refused", what)

    def _ahead(self, tick: Tick) -> str:
        apart = self._clock.market_time.wall_seconds(tick.ts - self._clock.market())
        return f"trade {tick.trade_id} is stamped {apart:.0f} s ahead of the market's clock"

    def _warn(self, code: str, what: str) -> None:
        """Tell a person, if that was not done lately."""
        now = self._clock.wall_ns()
        if code not in self._told_ns or now - self._told_ns[code] > _QUIET * 1e9:
            self._told_ns[code] = now
            self._tell(Alert("warning", code, what))

    def _changed(self, change: Change) -> None:
        self.connections += change.state == "connecting"
        said = f"market stream {change.state} {change.reason}".strip()
        logs.event(_log, "info", "market_stream", said)
        if change.state == "up":
            self._on_connected()

    @staticmethod
    def _flawed(malformed: Malformed) -> None:
        logs.event(_log, "warning", "malformed", malformed.detail)

    @staticmethod
    def _failed(error: FeedError) -> None:
        logs.event(_log, "warning", "trades_missing", str(error))
