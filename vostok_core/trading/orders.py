"""What is known of an order: monotone, whatever order the news comes in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from vostok_core.trading.commands import Leg, OrderRequest, Side
from vostok_core.trading.events import Status

_RANK: dict[Status, int] = {
    "sent": 0, "unknown": 1, "held": 2, "open": 3, "partial": 4,
    "filled": 5, "canceled": 5, "expired": 5, "rejected": 5, "absent": 5,
}  # fmt: skip
_TERMINAL = 5


@dataclass(slots=True)
class Order:
    """An order of ours and what became of it.

    Attributes:
        client_order_id: Its id.
        leg, side, price, qty: As sent (ticks, lots).
        list_id: Sequence number it shares with the orders sent as one list with it.
        status: `sent` until the exchange answers, `unknown` when it doesn't. Status never goes
            back: an order that was heard of is not unknown again, and terminal states stay.
        reported: Lots the exchange says were executed.
        filled: Lots of the fills that were heard.
        trade_ids: Their trade ids.
        cancel_asked: A cancel has been sent.
    """

    client_order_id: str
    leg: Leg
    side: Side
    price: int
    qty: int
    list_id: int
    status: Status = "sent"
    reported: int = 0
    filled: int = 0
    trade_ids: list[int] = field(default_factory=list)
    cancel_asked: bool = False

    @classmethod
    def of(cls, request: OrderRequest, list_id: int) -> Order:
        return cls(
            request.client_order_id, request.leg, request.side, request.price, request.qty, list_id
        )

    @property
    def terminal(self) -> bool:
        """Whether the exchange will do nothing more with it."""
        return _RANK[self.status] == _TERMINAL

    @property
    def settled(self) -> bool:
        """Whether it is terminal and every lot reported as executed has been heard as a fill."""
        return _RANK[self.status] == _TERMINAL and self.filled >= self.reported

    @property
    def resting(self) -> bool:
        """Whether the exchange has said that it is working."""
        return self.status in ("open", "partial")

    @property
    def remaining(self) -> int:
        """Lots not filled yet."""
        return self.qty - self.filled

    def update(self, status: Status, filled: int) -> None:
        """Take note of an update; news older than what is known changes nothing."""
        self.reported = max(self.reported, filled)
        known = _RANK[self.status]
        if known == _TERMINAL:
            return
        if status == "filled":
            self.reported = self.qty
        if _RANK[status] > known:
            self.status = status

    def fill(self, trade_id: int, qty: int) -> bool:
        """Take note of a trade; False if it was heard before."""
        if trade_id in self.trade_ids:
            return False
        self.trade_ids.append(trade_id)
        self.filled += qty
        self.reported = max(self.reported, self.filled)
        if self.filled >= self.qty:
            if _RANK[self.status] != _TERMINAL:
                self.status = "filled"
        elif _RANK[self.status] < _RANK["partial"]:
            self.status = "partial"
        return True

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Order:
        known = {f.name: content[f.name] for f in fields(cls)}
        known["trade_ids"] = list(known["trade_ids"])
        return cls(**known)
