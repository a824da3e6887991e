"""Trades that the streams lack, fetched by id and written down beside what they brought.

Which trade is missing is known as in the daemon's feed (`continuity`); only that here nothing waits
for its turn: what comes is written down at once, and what was missed follows when it is had.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from vostok_live.feed.continuity import Continuity, Missing
from vostok_live.feed.events import Tick
from vostok_live.feed.http import FeedError
from vostok_live.feed.rest import MarketRest
from vostok_live.recorder.lines import Skipped, Trades, compact

_PAUSE = 0.25  # seconds before a question is repeated that brought nothing
_LONGEST_PAUSE = 4.0


class MissedTrades:
    """One instrument's ids.

    Args:
        continuity: Knows which trade is due.
        rest: Fetches what is missing.
        write: Writes a line down.
        on_error: Called when what is missing can't be had; it is tried again.

    Attributes:
        continuity: See above.
        fetched: Trades that REST brought and the streams had not.
    """

    def __init__(
        self,
        continuity: Continuity,
        rest: MarketRest,
        write: Callable[[Trades | Skipped], None],
        on_error: Callable[[FeedError], None],
    ) -> None:
        self.continuity = continuity
        self.fetched = 0
        self._rest = rest
        self._write = write
        self._on_error = on_error
        self._wanted = asyncio.Event()

    def take(self, tick: Tick) -> None:
        """A trade has come on a stream."""
        self.continuity.take((tick,), asyncio.get_running_loop().time())
        if not self.continuity.whole:
            self._wanted.set()

    def resumed(self) -> None:
        """A new connection carries the streams: what happened in between is to be asked for."""
        self.continuity.resync()
        self._wanted.set()

    async def run(self) -> None:
        """Ask for what is missing, one question at a time, until cancelled."""
        loop = asyncio.get_running_loop()
        asked: Missing | None = None
        pause = _PAUSE
        while True:
            await self._until_wanted()
            self._give_up(loop.time())
            before, asked = asked, self.continuity.wanted()
            if asked is None:
                continue
            if before is not None and before.from_id == asked.from_id:
                await asyncio.sleep(pause)
                pause = min(pause * 2.0, _LONGEST_PAUSE)
            else:
                pause = _PAUSE
            try:
                body, ticks = await self._rest.raw_ticks(asked.from_id, asked.limit)
            except FeedError as error:
                self._on_error(error)
            else:
                if ticks:
                    self._write(Trades(asked.from_id, compact(body)))
                repeated = self.continuity.counts["duplicate"]
                self.continuity.answered(asked, ticks, loop.time())
                self.fetched += len(ticks) - self.continuity.counts["duplicate"] + repeated
            if self.continuity.wanted() is not None:
                self._wanted.set()

    async def _until_wanted(self) -> None:
        """Wait until something may be missing, or what was is to be given up."""
        try:
            async with asyncio.timeout_at(self.continuity.deadline):
                await self._wanted.wait()
        except TimeoutError:
            pass
        self._wanted.clear()

    def _give_up(self, now: float) -> None:
        """Go on beyond trades that can't be had; what is missing is written down."""
        due, lost = self.continuity.next_id, self.continuity.counts["lost"]
        self.continuity.expire(now)
        lost = self.continuity.counts["lost"] - lost
        if lost and due is not None:
            self._write(Skipped(due, due + lost, "the exchange did not give them in time"))
