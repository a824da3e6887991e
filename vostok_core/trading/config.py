"""What an engine is told once, before its first event."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Self

from vostok_core.errors import SettingsError
from vostok_core.strategy import Strategy
from vostok_core.times import SECOND
from vostok_core.trading.rules import rate_of

_RUN = re.compile(r"[A-Za-z0-9]{1,12}")


@dataclass(frozen=True)
class Capabilities:
    """What the venue can do in one request.

    A venue must at least take a list of two exits of which one cancels the other (OCO).

    Attributes:
        entry_list: An entry that carries its exits (OTOCO, OPOCO).
        replace: Cancel an order and send another.
        max_market: Lots that one market order may have; 0 for any number. No position is larger, so
            that it can always be left at once.
    """

    entry_list: bool = True
    replace: bool = True
    max_market: int = 0


@dataclass(frozen=True)
class EngineConfig:
    """Rules of trading of one strategy on one instrument.

    Attributes:
        run: Names this run in client order ids; 1 to 12 letters and digits.
        horizon_us: Vertical barrier after the decision, microseconds.
        take_profit: Upper barrier, in volatilities of the horizon.
        stop_loss: Lower barrier, in volatilities of the horizon.
        fraction: Share of equity in one position.
        taker_fee_bps: What an entry costs, for sizing; fills carry the fee that was paid.
        latency_us: How long a request is expected to be under way; an entry that has not filled is
            called back this long before it expires.
        max_daily_loss: Loss of the day before's equity that throws the kill switch.
        max_drawdown: Loss from the highest equity that throws it.
        cover_within_us: Longest time that a position may be without its exits resting.
        retry_us: Wait before an unanswered or refused request is repeated; doubles up to 64 times.
        capabilities: What the venue can do.

    Raises:
        SettingsError: A value can't be meant.
    """

    run: str
    horizon_us: int
    take_profit: float
    stop_loss: float
    fraction: float = 1.0
    taker_fee_bps: float = 10.0
    latency_us: int = 0
    max_daily_loss: float = 0.25
    max_drawdown: float = 0.5
    cover_within_us: int = 5 * SECOND
    retry_us: int = SECOND
    capabilities: Capabilities = Capabilities()

    def __post_init__(self) -> None:
        if _RUN.fullmatch(self.run) is None:
            raise SettingsError(
                f"the run name {self.run!r} can't be part of a client order id",
                hint="use 1 to 12 letters and digits",
            )
        for name, low, high in (
            ("horizon_us", 1, None), ("take_profit", 0, None), ("stop_loss", 0, None),
            ("fraction", 0, 1), ("taker_fee_bps", 0, 10_000), ("latency_us", 0, None),
            ("max_daily_loss", 0, 1), ("max_drawdown", 0, 1), ("cover_within_us", 1, None),
            ("retry_us", 1, None),
        ):  # fmt: skip
            value = getattr(self, name)
            if not (low <= value and (high is None or value <= high)):
                raise SettingsError(
                    f"the engine can't work with {name} = {value!r}",
                    hint=f"use a value from {low} to {high}" if high else f"use {low} or more",
                )

    @classmethod
    def from_strategy(
        cls,
        strategy: Strategy,
        *,
        run: str = "sim",
        capabilities: Capabilities | None = None,
    ) -> EngineConfig:
        """The configuration that a strategy file asks for."""
        labels, costs, decision = strategy.file.labels, strategy.file.costs, strategy.file.decision
        return cls(
            run=run,
            horizon_us=strategy.horizon_us,
            take_profit=labels.take_profit,
            stop_loss=labels.stop_loss,
            fraction=decision.fraction,
            taker_fee_bps=costs.taker_fee_bps,
            latency_us=strategy.latency_us,
            capabilities=capabilities or Capabilities(),
        )

    def at_speed(self, speed: float) -> Self:
        """The same where market time goes faster than the wall's: what is meant by the wall (how
        long requests are under way and waited for) passes sooner.

        Args:
            speed: Seconds of market time in a second.
        """
        return replace(
            self,
            latency_us=round(self.latency_us * speed),
            cover_within_us=round(self.cover_within_us * speed),
            retry_us=round(self.retry_us * speed),
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        capabilities = Capabilities(**content["capabilities"])
        return cls(**{**content, "capabilities": capabilities})

    @cached_property
    def fraction_rate(self) -> int:
        return rate_of(self.fraction * 10_000)

    @cached_property
    def fee_rate(self) -> int:
        return rate_of(self.taker_fee_bps)

    @cached_property
    def daily_loss_rate(self) -> int:
        return rate_of(self.max_daily_loss * 10_000)

    @cached_property
    def drawdown_rate(self) -> int:
        return rate_of(self.max_drawdown * 10_000)
