"""What every part of the protocol shares: the desk, its clocks, its memory, keys and limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

from vostok_exchange.clock import Clock
from vostok_exchange.commands import Answer, Command
from vostok_exchange.protocol.limits import Limits, Policy
from vostok_exchange.protocol.signing import Keyring
from vostok_exchange.state import State

if TYPE_CHECKING:
    from vostok_exchange.protocol.calls import Call

_AHEAD = 1.5  # seconds of the wall for which market time is noted in advance

Wall = Callable[[], int]
"""Tells the wall's time, nanoseconds since 1970 UTC."""

Hold = Callable[["Call"], Awaitable[None]]
"""Called with a request that is about to reach the matching engine; it goes on when this ends."""


async def at_once(_call: Call) -> None:
    """Hold nothing up."""


class Exchange:
    """A desk that follows a clock.

    Args:
        state: Its folder, which nobody else uses.
        clock: Market time, which begins where the state says.
        speed: Seconds of market time in a second.
        wall: Wall time.
        policy: What may be asked.
        hold: What a request waits for before it reaches the matching engine.

    Attributes:
        desk: The venue and its markets.
        keys: API keys.
        limits: What has been asked.
        stirred: Set when something may be due earlier than it was.
    """

    def __init__(
        self,
        state: State,
        clock: Clock,
        *,
        speed: float = 1.0,
        wall: Wall = time.time_ns,
        policy: Policy | None = None,
        hold: Hold = at_once,
    ) -> None:
        self.state = state
        self.desk = state.desk
        self.clock = clock
        self.speed = speed
        self.hold = hold
        self.keys = Keyring(state.setup.accounts)
        self.limits = Limits(policy or Policy())
        self.desk.listeners.append(self.limits.hear)
        self.desk.on_day = self._save
        self.stirred = asyncio.Event()
        self._wall = wall
        self._noted = 0

    def wall(self) -> int:
        """Wall time, microseconds."""
        return self._wall() // 1_000

    def now(self) -> int:
        """Market time, after all that happens up to it has happened."""
        now = self.clock.now()
        if now > self._noted:
            self._noted = now + int(self.speed * _AHEAD * 1e6)
            self.state.record(self._noted)
        self.desk.advance(now)
        return now

    def do(self, command: Command[Answer]) -> Answer:
        """Ask the venue, and remember that it was asked."""
        now = self.now()
        answer = self.desk.do(command, now)
        self.state.record(now, command)
        self.stirred.set()
        return answer

    def _save(self) -> None:
        """A day is over: begin anew to note what is asked, and how far time may come."""
        self.state.save()
        self.state.record(self._noted)

    def times(self) -> dict[str, int | float]:
        """What the clocks show, for whoever wants to tell market time by the wall."""
        return {"wallNs": self._wall(), "marketUs": self.clock.now(), "speed": self.speed}

    def assets(self) -> Iterator[str]:
        """Every asset that is traded, paid with, or paid for commission."""
        found: dict[str, None] = {}
        for listing in self.desk.venue.listings.values():
            found |= {listing.symbol.base: None, listing.symbol.quote: None}
        return iter(found | {"BNB": None})
