"""Instruments: names, and the exchange's rules for prices and quantities."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from vostok_core.errors import UsageError

_ID = re.compile(r"([a-z0-9]+)\.([a-z0-9]+)\.([A-Z0-9]+)-([A-Z0-9]+)")


@dataclass(frozen=True)
class InstrumentId:
    """`venue.market.BASE-QUOTE`, e.g. `binance.spot.BTC-USDT`: hive key, partition key, name."""

    venue: str
    market: str
    base: str
    quote: str

    @classmethod
    def parse(cls, text: str) -> InstrumentId:
        """Read an id.

        Raises:
            UsageError: The text is not an id.
        """
        match = _ID.fullmatch(text)
        if match is None:
            raise UsageError(
                f"{text!r} is not an instrument",
                hint="write venue.market.BASE-QUOTE, such as binance.spot.BTC-USDT",
            )
        return cls(*match.groups())

    def __str__(self) -> str:
        return f"{self.venue}.{self.market}.{self.base}-{self.quote}"

    @property
    def symbol(self) -> str:
        """The exchange's own symbol, e.g. `BTCUSDT`."""
        return self.base + self.quote


@dataclass(frozen=True)
class Instrument:
    """An instrument of the universe, with the rules its exchange enforces.

    Attributes:
        id: Its name.
        tick: What one tick is: an aggregate trade, a trade, or none where only klines exist.
        price_tick: Smallest price step, in quote per base.
        quantity_step: Smallest quantity step, in base.
        min_notional: Least worth of an order, in quote.
        max_silence: Longest time without a trade, in microseconds, that is not held for an outage.
    """

    id: InstrumentId
    tick: Literal["agg_trade", "trade", "none"]
    price_tick: Decimal
    quantity_step: Decimal
    min_notional: Decimal
    max_silence: int

    @property
    def quote_atom(self) -> Decimal:
        """Worth of one price tick times one quantity step: money is counted in these."""
        return self.price_tick * self.quantity_step
