"""What the daemon takes from the world: time, chance, connections and the journal's file.

Nothing else in the package asks for the time, draws a number or opens a connection, so that a
simulation which passes seams of its own decides all that can happen. Waiting is asyncio's.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import aiohttp

Random = random.Random
Connect = Callable[[Path], sqlite3.Connection]
"""Opens a database file that exists, to write, with no transaction but those that are asked for."""


@dataclass(frozen=True, slots=True)
class MarketTime:
    """How market time goes by, measured by the wall.

    Attributes:
        wall_ns: A time of the wall, nanoseconds since 1970 UTC.
        market_us: What the market's clock showed then, microseconds since 1970 UTC.
        speed: Seconds of market time in a second.
    """

    wall_ns: int = 0
    market_us: int = 0
    speed: float = 1.0

    def __post_init__(self) -> None:
        assert self.speed > 0, "market time goes forward"

    def at(self, wall_ns: int) -> int:
        """What the market's clock shows at a time of the wall; microseconds, rounded down."""
        numerator, denominator = self.speed.as_integer_ratio()
        return self.market_us + (wall_ns - self.wall_ns) * numerator // (denominator * 1_000)

    def wall_seconds(self, market_us: int) -> float:
        """How long so much of market time takes, as asyncio counts it."""
        return market_us / (self.speed * 1e6)


def _steady_ns() -> int:
    """Nanoseconds since the machine started, those in which it was suspended among them."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Clock(Protocol):
    """Tells what time it is."""

    @property
    def market_time(self) -> MarketTime:
        """How market time goes by, as far as is known."""
        ...

    def follow(self, market_time: MarketTime) -> None:
        """Tell market time by this from here on."""
        ...

    def wall_ns(self) -> int:
        """The wall's time, nanoseconds since 1970 UTC."""
        ...

    def market(self) -> int:
        """The market's time, microseconds since 1970 UTC; it jumps where `follow` makes it."""
        ...


class WallClock:
    """The wall's time as it was when this was made, and what has gone by since.

    A wall clock that is set, by a person or because NTP comes late, is not followed: deadlines
    would pass that have not come, and come again. How far it is off the exchange's is measured
    (`CcxtPort.offset_ms`), and requests are signed by that. The time that a machine is suspended
    counts.

    Args:
        market_time: How market time goes by.
        wall: Tells the wall's time, nanoseconds since 1970 UTC.
        steady: Nanoseconds that only go forward.
    """

    def __init__(
        self,
        market_time: MarketTime,
        wall: Callable[[], int] = time.time_ns,
        steady: Callable[[], int] = _steady_ns,
    ) -> None:
        self._market_time = market_time
        self._steady = steady
        self._ahead = wall() - steady()

    @property
    def market_time(self) -> MarketTime:
        return self._market_time

    def follow(self, market_time: MarketTime) -> None:
        self._market_time = market_time

    def wall_ns(self) -> int:
        return self._steady() + self._ahead

    def market(self) -> int:
        return self._market_time.at(self.wall_ns())


@dataclass(frozen=True, slots=True)
class Seams:
    """Everything that a simulation replaces.

    Attributes:
        clock: Tells the time.
        random: Chance, for jitter and for secrets.
        connector: Makes the connector of an aiohttp session; called inside the event loop.
        connect: Opens the journal's file.
    """

    clock: Clock
    random: Random
    connector: Callable[[], aiohttp.BaseConnector]
    connect: Connect


def real_seams(market_time: MarketTime | None = None) -> Seams:
    """The machine's clock, the system's chance, sockets and files.

    Args:
        market_time: How market time goes by; by default it is the wall's.
    """
    return Seams(
        clock=WallClock(market_time or MarketTime()),
        random=random.SystemRandom(),
        connector=_connector,
        connect=_connect,
    )


def _connector() -> aiohttp.BaseConnector:
    import aiohttp

    return aiohttp.TCPConnector()


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
