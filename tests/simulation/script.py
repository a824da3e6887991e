"""How the small daemon of the simulation trades, and what it is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vostok_core.trading.config import Capabilities, EngineConfig
from vostok_core.trading.engine import Engine
from vostok_live.feed.continuity import Continuity
from vostok_live.gateway.ccxt_port import CcxtPort
from vostok_live.gateway.orders import Book
from vostok_live.gateway.resolve import Proof, Resolver


@dataclass(frozen=True)
class Script:
    """How a daemon of the simulation trades; durations in seconds of the wall.

    Attributes:
        begin: Market time from which bars are made of trades.
        speed: Seconds of market time in a second.
        interval: Of the bars.
        every: A decision to buy comes with every so-manieth bar.
        horizon: Until a position is closed.
        cover_within: Until a position without exits is given up.
        sigma: Volatility over the horizon; the barriers are one of it away.
        fraction: Share of equity in a position.
        capabilities: What the engine may ask of the venue.
    """

    begin: int
    speed: float = 1.0
    interval: str = "5s"
    every: int = 2
    horizon: float = 25.0
    cover_within: float = 5.0
    sigma: float = 0.001
    fraction: float = 0.2
    capabilities: Capabilities = field(default_factory=Capabilities)

    def config(self) -> EngineConfig:
        """What the engine is told."""

        def market(seconds: float) -> int:
            return int(seconds * self.speed * 1e6)

        return EngineConfig(
            run="w",
            horizon_us=market(self.horizon),
            take_profit=1.0,
            stop_loss=1.0,
            fraction=self.fraction,
            taker_fee_bps=10.0,
            latency_us=market(0.2),
            max_daily_loss=0.9,
            max_drawdown=0.9,
            cover_within_us=market(self.cover_within),
            retry_us=market(1.0),
            capabilities=self.capabilities,
        )


@dataclass
class Parts:
    """What a test may replace by something that is wrong."""

    book: type[Book] = Book
    resolver: type[Resolver] = Resolver
    proof: Proof = field(default_factory=Proof)
    continuity: type[Continuity] = Continuity
    port: Callable[[CcxtPort], Any] = lambda port: port
    restored: Callable[[Engine], None] = lambda _: None
    written_late: float = 0.0
