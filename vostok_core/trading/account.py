"""Cash, position and the losses that throw the kill switch, in integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self, TypeVar

import numpy as np

from vostok_core.times import DAY

_Times = TypeVar("_Times", int, np.ndarray)


def closing_day(ts: _Times) -> _Times:
    """UTC day (days since 1970) of times in microseconds; midnight ends the day before it."""
    return (ts - 1) // DAY


@dataclass(slots=True)
class Account:
    """Money and lots.

    Attributes:
        cash: Atoms of quote.
        position: Lots held by the open position.
        dust: Lots left over from earlier positions, too few to be sold; they keep their worth.
        fees: Atoms of fees paid so far.
        mark: Last close, in ticks; 0 before the first bar.
        peak: Highest equity seen, in atoms.
        day: UTC day (days since 1970) of the last mark or trade.
        day_equity: Equity at the end of the day before, at its last mark; atoms.
    """

    cash: int
    position: int = 0
    dust: int = 0
    fees: int = 0
    mark: int = 0
    peak: int = 0
    day: int = -1
    day_equity: int = 0

    @classmethod
    def opening(cls, cash: int) -> Self:
        """An account that holds nothing but cash."""
        return cls(cash=cash, peak=cash, day_equity=cash)

    @property
    def equity(self) -> int:
        """Cash plus everything held, at the last close; atoms."""
        return self.cash + (self.position + self.dust) * self.mark

    def apply(self, ts: int, signed_qty: int, price: int, fee: int) -> None:
        """Book a trade: lots bought (positive) or sold (negative), ticks, atoms."""
        self._begin_day(ts)
        self.cash -= signed_qty * price + fee
        self.position += signed_qty
        self.fees += fee

    def book_dust(self) -> int:
        """Move what is left of the position to dust; how many lots that was."""
        lots = self.position
        self.dust += lots
        self.position = 0
        return lots

    def see(self, ts: int, close: int) -> None:
        """Mark to a close. A bar that ends at midnight belongs to the day it closes."""
        self._begin_day(ts)
        self.mark = close
        self.peak = max(self.peak, self.equity)

    def _begin_day(self, ts: int) -> None:
        """What happens first on a day, mark or trade, is measured by the equity before it."""
        day = closing_day(ts)
        if day > self.day:
            if self.day >= 0:
                self.day_equity = self.equity
            self.day = day

    def rebase(self) -> None:
        """Measure losses from here on (after a reset of the kill switch)."""
        self.peak = self.day_equity = self.equity

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        return cls(**content)
