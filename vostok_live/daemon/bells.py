"""Timers of market time, on an event loop that counts the wall's."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable

from vostok_live.seams import Clock

_LONGEST = 1.0  # seconds; a clock that was set is noticed within them


class Bells:
    """Calls back at or soon after the times that were asked for, once each.

    Args:
        clock: Tells market time.
        ring: Called when one or more of the times have come.
        times: Those that are waited for from the beginning.
    """

    def __init__(self, clock: Clock, ring: Callable[[], None], times: Iterable[int] = ()) -> None:
        self._clock = clock
        self._ring = ring
        self._times = sorted(set(times))
        self._changed = asyncio.Event()

    def ask(self, ts: int) -> None:
        """Ring at a market time, microseconds."""
        if ts not in self._times:
            heapq.heappush(self._times, ts)
            self._changed.set()

    async def run(self) -> None:
        """Ring, until cancelled."""
        while True:
            self._changed.clear()
            now = self._clock.market()
            if self._times and self._times[0] <= now:
                while self._times and self._times[0] <= now:
                    heapq.heappop(self._times)
                self._ring()
                continue
            wait = _LONGEST
            if self._times:
                wait = min(wait, self._clock.market_time.wall_seconds(self._times[0] - now))
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                pass
