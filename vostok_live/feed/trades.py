"""One instrument's trades, each once and in order: the stream, and what it lacks fetched by REST.

`run` keeps the stream up and asks for what is missing; `receive` hands on what may be counted. What
came in order is handed on at once; after a break or a hole, what follows waits until the trades in
between were fetched, or given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from vostok_live.feed.connection import Arrival, MarketStream
from vostok_live.feed.continuity import Continuity, Missing
from vostok_live.feed.events import BookTop, DepthDiff, Kline, Resumed, Tick
from vostok_live.feed.http import FeedError
from vostok_live.feed.inbox import Inbox
from vostok_live.feed.rest import MarketRest
from vostok_live.seams import Clock

Other: TypeAlias = BookTop | DepthDiff | Kline

_PAUSE = 0.25  # seconds before a question is repeated that brought nothing
_LONGEST_PAUSE = 4.0


class TradeFeed:
    """The trades of one instrument.

    Args:
        symbol: The exchange's symbol; trades of others are dropped, and counted in the continuity.
        stream: Puts what comes into the inbox.
        inbox: See above.
        continuity: Knows which trade is due.
        rest: Fetches what is missing.
        clock: Tells market time.
        on_other: Called with what is no trade.
        on_error: Called when what is missing can't be fetched; it is tried again.
    """

    def __init__(
        self,
        symbol: str,
        stream: MarketStream,
        inbox: Inbox[Arrival],
        continuity: Continuity,
        rest: MarketRest,
        *,
        clock: Clock,
        on_other: Callable[[Other], None],
        on_error: Callable[[FeedError], None],
    ) -> None:
        self.stream = stream
        self.continuity = continuity
        self._symbol = symbol
        self._inbox = inbox
        self._rest = rest
        self._clock = clock
        self._on_other = on_other
        self._on_error = on_error
        self._answer: tuple[Missing, list[Tick]] | None = None
        self._wanted = asyncio.Event()

    def complete(self, ts: int) -> bool:
        """Whether every trade that the exchange sent before a time has been handed on.

        No hole is open, nothing waits to be looked at, and something has come since: frames come in
        the order in which they were sent.

        Args:
            ts: Market time, microseconds.
        """
        if len(self._inbox) or self._answer is not None or not self.continuity.whole:
            return False
        return self.stream.up and self._clock.market_time.at(self.stream.heard_ns) >= ts

    async def run(self) -> None:
        """Keep the stream up and fetch what it lacks, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.stream.run())
            tasks.create_task(self._fetch())

    async def receive(self, timeout: float) -> list[Tick]:
        """Trades whose turn has come, in order.

        Args:
            timeout: Seconds after which to return even if nothing has happened.

        Returns:
            The trades; none where something else has happened, or nothing.
        """
        ready = self._take()
        if ready:
            return ready
        until = asyncio.get_running_loop().time() + timeout
        if self.continuity.deadline is not None:
            until = min(until, self.continuity.deadline)
        try:
            async with asyncio.timeout_at(until):
                await self._inbox.wait()
        except TimeoutError:
            pass
        return self._take()

    def _take(self) -> list[Tick]:
        """What has come, and what has been fetched, as far as its turn has come."""
        now = asyncio.get_running_loop().time()
        continuity = self.continuity
        ready: list[Tick] = []
        ticks: list[Tick] = []
        for item in self._inbox.take():
            if isinstance(item, Tick):
                if item.symbol == self._symbol:
                    ticks.append(item)
                else:
                    continuity.counts["other_symbol"] += 1
            elif isinstance(item, Resumed):
                ready += continuity.take(ticks, now)
                ticks = []
                continuity.resync()
            else:
                self._on_other(item)
        ready += continuity.take(ticks, now)
        if self._answer is not None:
            asked, fetched = self._answer
            self._answer = None
            ready += continuity.answered(asked, fetched, now)
        ready += continuity.expire(now)
        if continuity.wanted() is not None:
            self._wanted.set()
        return ready

    async def _fetch(self) -> None:
        """Ask for what is missing, one question at a time."""
        asked: Missing | None = None
        pause = _PAUSE
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if self._answer is not None:
                continue  # it is set again when the answer is looked at
            before, asked = asked, self.continuity.wanted()
            if asked is None:
                continue
            if before is not None and before.from_id == asked.from_id:
                await asyncio.sleep(pause)
                pause = min(pause * 2.0, _LONGEST_PAUSE)
            else:
                pause = _PAUSE
            try:
                self._answer = asked, await self._rest.ticks(asked.from_id, asked.limit)
                self._inbox.wake()
            except FeedError as error:
                self._on_error(error)
                self._wanted.set()
