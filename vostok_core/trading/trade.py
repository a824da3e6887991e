"""The one position that may be open, from the decision to its last exit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from vostok_core.trading.commands import Closed, Leg


@dataclass(slots=True)
class Trade:
    """A trade in progress.

    Attributes:
        decision_ts: Time of the decision.
        deadline: Vertical barrier.
        probability: Probability at the decision.
        take_profit, stop_loss: Exit prices, ticks.
        entry: Client id of the entry order.
        orders: Client ids of all its orders, the entry first.
        leaving: Why it is being closed; None while it is held.
        exit_leg: Leg of the last sell fill.
        bought, cost, sold, proceeds, fees: Sums of its fills, in lots and atoms.
        entry_ts, exit_ts: Times of the first buy fill and the last sell fill; -1 before.
        cover_by: When a position without resting exits is given up; 0 while it is covered.
        wait_until: When an answer is overdue; 0 when none is awaited.
        waits: How often in a row it was.
        refusals: Market sells that the exchange refused.
        sell_after: Earliest time of the next market sell.
    """

    decision_ts: int
    deadline: int
    probability: float
    take_profit: int
    stop_loss: int
    entry: str
    orders: list[str] = field(default_factory=list)
    leaving: str | None = None
    exit_leg: Leg | None = None
    bought: int = 0
    cost: int = 0
    sold: int = 0
    proceeds: int = 0
    fees: int = 0
    entry_ts: int = -1
    exit_ts: int = -1
    cover_by: int = 0
    wait_until: int = 0
    waits: int = 0
    refusals: int = 0
    sell_after: int = 0

    @property
    def reason(self) -> str:
        """What ended it: the exit that filled last, or why the engine sold."""
        if self.exit_leg in ("take_profit", "stop_loss"):
            return self.exit_leg
        return self.leaving or "dust"

    def leave(self, why: str) -> None:
        """Close it, unless it is being closed already: the first reason stays."""
        if self.leaving is None:
            self.leaving = why

    def book(self, leg: Leg, ts: int, qty: int, price: int, fee: int) -> None:
        """Add a fill of one of its orders to the sums."""
        self.wait_until = 0
        self.fees += fee
        if leg == "entry":
            self.bought += qty
            self.cost += qty * price
            if self.entry_ts < 0:
                self.entry_ts = ts
        else:
            self.sold += qty
            self.proceeds += qty * price
            self.exit_ts = ts
            self.exit_leg = leg

    def closed(self, ts: int, dust: int, mark: int) -> Closed:
        """The report of the trade, once nothing is left but dust."""
        return Closed(
            decision_ts=self.decision_ts,
            entry_ts=self.entry_ts,
            exit_ts=self.exit_ts if self.exit_ts >= 0 else ts,
            reason=self.reason,
            probability=self.probability,
            bought=self.bought,
            cost=self.cost,
            sold=self.sold,
            proceeds=self.proceeds,
            dust=dust,
            dust_worth=dust * mark,
            fees=self.fees,
            entry_id=self.entry,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Trade:
        known = {f.name: content[f.name] for f in fields(cls)}
        known["orders"] = list(known["orders"])
        return cls(**known)
