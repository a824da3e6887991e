"""A symbol: what its prices and quantities are counted in, and how they are printed.

Prices are ticks, quantities lots, and traded worth atoms (ticks times lots). Balances of every
asset are counted in units of 10^-16, so that lots of base and atoms of quote are whole numbers of
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from vostok_core.errors import UsageError
from vostok_core.market.instrument import Instrument
from vostok_exchange.matching import Side

UNIT = 10**16
"""Units of balance in one of an asset."""

PLACES = 8
"""Decimals that the exchange prints and accepts."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A traded pair.

    Attributes:
        name: The exchange's name, e.g. `BTCUSDT`.
        base: What is traded.
        quote: What it is paid with.
        price_tick: Worth of one tick, in quote per base.
        quantity_step: Size of one lot, in base.
        lot: Units of base in one lot.
        atom: Units of quote in one atom.
    """

    name: str
    base: str
    quote: str
    price_tick: Decimal
    quantity_step: Decimal
    lot: int
    atom: int

    @classmethod
    def of(cls, instrument: Instrument) -> Symbol:
        """The symbol of an instrument.

        Raises:
            UsageError: Its worth can't be counted in units.
        """
        atom = units(instrument.quote_atom)
        lot = units(instrument.quantity_step)
        if atom is None or lot is None:
            raise UsageError(
                f"{instrument.quote_atom} of quote can't be counted in units of 1e-16",
                where=instrument.id,
                hint="choose price_tick and quantity_step whose product is a multiple of 1e-16",
            )
        name = instrument.id
        return cls(
            name.symbol,
            name.base,
            name.quote,
            instrument.price_tick,
            instrument.quantity_step,
            lot,
            atom,
        )

    def ticks(self, price: Decimal) -> int | None:
        """A price in ticks, None where it lies between two."""
        return _whole(price / self.price_tick)

    def lots(self, quantity: Decimal) -> int | None:
        """A quantity in lots, None where it lies between two."""
        return _whole(quantity / self.quantity_step)

    def price(self, ticks: int) -> Decimal:
        """The price of so many ticks."""
        return ticks * self.price_tick

    def quantity(self, lots: int) -> Decimal:
        """The quantity of so many lots."""
        return lots * self.quantity_step

    def paid_in(self, side: Side) -> str:
        """The asset that an order of a side pays with."""
        return self.quote if side == "BUY" else self.base

    def price_text(self, ticks: int) -> str:
        """A price as the exchange prints it."""
        return f"{ticks * self.price_tick:.{PLACES}f}"

    def quantity_text(self, lots: int) -> str:
        """A quantity as the exchange prints it."""
        return amount_text(lots * self.lot)

    def worth_text(self, atoms: int) -> str:
        """An amount of quote as the exchange prints it."""
        return amount_text(atoms * self.atom)


def units(amount: Decimal) -> int | None:
    """An amount of an asset in units, None where it lies between two."""
    return _whole(amount * UNIT)


def amount_text(count: int) -> str:
    """Units of an asset as the exchange prints them: eight decimals, the rest cut off."""
    whole, part = divmod(count, UNIT)
    return f"{whole}.{part // 10 ** (16 - PLACES):0{PLACES}d}"


def _whole(number: Decimal) -> int | None:
    return int(number) if number == number.to_integral_value() else None
