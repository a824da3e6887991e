"""Market time: real, faster, or stepped by a test."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from vostok_core.times import SECOND


class Clock(Protocol):
    """What tells market time, in microseconds."""

    def now(self) -> int:
        """The time; it never goes back."""
        ...

    async def sleep_until(self, ts: int) -> None:
        """Return once it is `ts` or later."""
        ...


class MarketClock:
    """Market time that runs: `start + speed * (monotonic() - monotonic() at the beginning)`.

    Args:
        start: Market time at the beginning.
        speed: Seconds of market time in a second.
        monotonic: Seconds that only go forward.
        sleep: Waits for some of those seconds.
    """

    def __init__(
        self,
        start: int,
        speed: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._start = start
        self._speed = speed
        self._monotonic = monotonic
        self._sleep = sleep
        self._begun = monotonic()

    def now(self) -> int:
        """The time."""
        return self._start + int((self._monotonic() - self._begun) * self._speed * SECOND)

    async def sleep_until(self, ts: int) -> None:
        """Return once it is `ts` or later; at once where it is."""
        while (left := ts - self.now()) > 0:
            await self._sleep(left / (self._speed * SECOND))


class SteppedClock:
    """Market time that stands still until it is told to go on.

    Args:
        start: Market time at the beginning.
    """

    def __init__(self, start: int) -> None:
        self._now = start
        self._order = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        """The time."""
        return self._now

    async def sleep_until(self, ts: int) -> None:
        """Return once it is `ts` or later; at once where it is."""
        if ts > self._now:
            woken = asyncio.get_running_loop().create_future()
            self._order += 1
            heapq.heappush(self._waiting, (ts, self._order, woken))
            await woken

    def step_to(self, ts: int) -> None:
        """Make it `ts`, and wake who waits for that or less, the earliest first."""
        assert ts >= self._now, "market time goes forward"
        self._now = ts
        while self._waiting and self._waiting[0][0] <= ts:
            woken = heapq.heappop(self._waiting)[2]
            if not woken.done():
                woken.set_result(None)
