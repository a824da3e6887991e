"""Market time by the wall, as the exchange tells it."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
import msgspec
from msgspec import Struct

from vostok_live.seams import Clock, MarketTime
from vostok_live.service import logs

_log = logging.getLogger(f"{logs.ROOT}.clock")
_EVERY = 10.0  # seconds
_PATIENCE = aiohttp.ClientTimeout(total=5.0)
_DRIFT = 0.05  # seconds of the wall by which clocks may be apart


class _Shown(Struct):
    wallNs: int  # noqa: N815
    marketUs: int  # noqa: N815
    speed: float


_shown = msgspec.json.Decoder(_Shown)


class Timekeeper:
    """Follows the clock of an exchange whose market time is not the wall's.

    Args:
        url: Where it is told; None where market time is the wall's.
        web: Asks.
        clock: Follows.
    """

    def __init__(self, url: str | None, web: aiohttp.ClientSession, clock: Clock) -> None:
        self._url = url
        self._web = web
        self._clock = clock
        self._wanted = asyncio.Event()

    def look(self) -> None:
        """Look soon: the exchange may have stood still."""
        self._wanted.set()

    async def read(self) -> bool:
        """Look once; whether there was an answer."""
        if self._url is None:
            return True
        before = self._clock.wall_ns()
        try:
            async with self._web.get(self._url, timeout=_PATIENCE) as response:
                shown = _shown.decode(await response.read())
        except (aiohttp.ClientError, OSError, msgspec.MsgspecError) as error:
            logs.event(_log, "warning", "market_clock", f"{type(error).__name__}: {error}")
            return False
        now = self._clock.wall_ns()
        # By our own wall: it was so between the question and the answer, whatever theirs shows.
        told = MarketTime(min(max(shown.wallNs, before), now), shown.marketUs, shown.speed)
        apart = self._clock.market_time.wall_seconds(told.at(now) - self._clock.market())
        if told.speed != self._clock.market_time.speed or abs(apart) > _DRIFT:
            self._clock.follow(told)
        return True

    async def run(self) -> None:
        """Look every now and then, until cancelled."""
        while True:
            self._wanted.clear()
            try:
                async with asyncio.timeout(_EVERY):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            await self.read()
