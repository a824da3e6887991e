"""An exchange's rules for one instrument, in integers.

Prices are counted in ticks, quantities in lots (quantity steps) and money in atoms (a price tick
times a quantity step), so that ticks times lots are atoms and no sum is ever rounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any, Self

from vostok_core.market.instrument import Instrument

BPS_SCALE = 10_000 * 1_000_000
"""Denominator of rates, which are held in millionths of a basis point."""


def rate_of(bps: float) -> int:
    """A rate in basis points as an integer over `BPS_SCALE`."""
    return round(bps * 1_000_000)


def charge(amount: int, rate: int) -> int:
    """`rate` of an amount, rounded up: against whoever pays it."""
    return -(-amount * rate // BPS_SCALE)


@dataclass(frozen=True)
class Rules:
    """Ticks, lots and filters of an instrument.

    Attributes:
        price_tick: Worth of one tick, in quote per base.
        quantity_step: Size of one lot, in base.
        min_notional: Least worth of an order, in atoms.
    """

    price_tick: Decimal
    quantity_step: Decimal
    min_notional: int

    @classmethod
    def of(cls, instrument: Instrument) -> Rules:
        """The rules of an instrument of the universe."""
        least = Fraction(instrument.min_notional) / Fraction(instrument.quote_atom)
        return cls(instrument.price_tick, instrument.quantity_step, -(-least // 1))

    def to_json(self) -> dict[str, Any]:
        return {
            "price_tick": str(self.price_tick),
            "quantity_step": str(self.quantity_step),
            "min_notional": self.min_notional,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        return cls(
            Decimal(content["price_tick"]),
            Decimal(content["quantity_step"]),
            content["min_notional"],
        )

    @cached_property
    def _tick(self) -> tuple[int, int]:
        return self.price_tick.as_integer_ratio()

    @cached_property
    def _step(self) -> tuple[int, int]:
        return self.quantity_step.as_integer_ratio()

    @cached_property
    def _atom(self) -> tuple[int, int]:
        return (self.price_tick * self.quantity_step).as_integer_ratio()

    def ticks(self, price: float) -> int:
        """The tick nearest to a price."""
        numerator, denominator = self._tick
        return round(price * denominator / numerator)

    def ticks_up(self, price: float) -> int:
        """The lowest tick at or above a price; a price on the grid keeps its tick."""
        ticks = self.ticks(price)
        return ticks if self.price(ticks) >= price else ticks + 1

    def ticks_down(self, price: float) -> int:
        """The highest tick at or below a price; a price on the grid keeps its tick."""
        ticks = self.ticks(price)
        return ticks if self.price(ticks) <= price else ticks - 1

    def price(self, ticks: int) -> float:
        """The double nearest to a price, the same as parsing its decimal digits."""
        numerator, denominator = self._tick
        return ticks * numerator / denominator

    def average(self, atoms: int, lots: int) -> float:
        """The double nearest to an average price, from what was paid for how many lots."""
        numerator, denominator = self._tick
        return atoms * numerator / (lots * denominator)

    def quantity(self, lots: int) -> float:
        """The double nearest to a quantity, in base."""
        numerator, denominator = self._step
        return lots * numerator / denominator

    def money(self, atoms: int) -> float:
        """The double nearest to an amount, in quote."""
        numerator, denominator = self._atom
        return atoms * numerator / denominator

    def atoms(self, money: Decimal | float) -> int:
        """An amount of quote in atoms, rounded down; a float counts as the decimal it prints as."""
        numerator, denominator = self._atom
        exact = Fraction(money if isinstance(money, Decimal) else repr(float(money)))
        return int(exact * denominator // numerator)
