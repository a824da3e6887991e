"""The exchange's clock, asked for and written down: what times of ours mean to it."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp
import msgspec
from msgspec import Struct

from vostok_live.feed.parse import microseconds
from vostok_live.recorder.lines import Clock as ClockLine
from vostok_live.seams import Clock, MarketTime

_TRIES = 3  # of which the quickest counts
_PATIENCE = aiohttp.ClientTimeout(total=5.0)
_MICROSECONDS = {"X-MBX-TIME-UNIT": "MICROSECOND"}


class _Time(Struct):
    serverTime: int  # noqa: N815


class _Shown(Struct):
    wallNs: int  # noqa: N815
    marketUs: int  # noqa: N815
    speed: float


_time = msgspec.json.Decoder(_Time)
_shown = msgspec.json.Decoder(_Shown)


@dataclass(frozen=True, slots=True)
class ClockFailure:
    """The clock could not be read; `why` in words."""

    why: str


class ClockReader:
    """Asks one exchange what time it is.

    Args:
        rest: Address of its REST API.
        market: Address that tells market time by the wall; None where they are the same.
        web: Asks.
        clock: Ours; it follows.
    """

    def __init__(
        self, rest: str, market: str | None, web: aiohttp.ClientSession, clock: Clock
    ) -> None:
        self._url = market or f"{rest}/api/v3/time"
        self._runs = market is not None
        self._web = web
        self._clock = clock

    async def read(self) -> ClockLine | ClockFailure:
        """What it shows; our own clock tells market time by it from here on."""
        best: ClockLine | None = None
        failure = ClockFailure("")
        for _ in range(_TRIES):
            found = await self._ask()
            if isinstance(found, ClockFailure):
                failure = found
            elif best is None or found.round_trip_ns < best.round_trip_ns:
                best = found
        if best is None:
            return failure
        self._clock.follow(MarketTime(best.wall_ns, best.market_us, best.speed))
        return best

    async def _ask(self) -> ClockLine | ClockFailure:
        before = self._clock.wall_ns()
        try:
            async with self._web.get(
                self._url, headers=_MICROSECONDS, timeout=_PATIENCE
            ) as response:
                response.raise_for_status()
                body = await response.read()
            now = self._clock.wall_ns()
            # It was so between the question and the answer, whatever their wall shows.
            middle = before + (now - before) // 2
            if self._runs:
                shown = _shown.decode(body)
                return ClockLine(middle, shown.marketUs, shown.speed, now - before, apart=True)
            market = microseconds(_time.decode(body).serverTime)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            return ClockFailure(f"{type(error).__name__}: {error}")
        return ClockLine(middle, market, 1.0, now - before, apart=False)
