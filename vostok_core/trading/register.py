"""The orders of one engine: how they are named, and what is known of each by its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from vostok_core.trading.commands import Leg, OrderRequest
from vostok_core.trading.orders import Order
from vostok_core.trading.trade import Trade

_LETTER: dict[Leg, str] = {"entry": "e", "take_profit": "t", "stop_loss": "s", "market": "m"}
_REMEMBERED = 64


@dataclass(slots=True)
class Register:
    """Orders by client id, oldest first.

    Attributes:
        run: Name of the run, part of every id.
        orders: Those of the open trade and the most recent of earlier ones.
        sequence: Number of the newest list; orders sent as one list share it.
    """

    run: str
    orders: dict[str, Order] = field(default_factory=dict)
    sequence: int = 0

    def next_list(self) -> None:
        """Requests from here on belong to a new list, and get ids never used before."""
        self.sequence += 1

    def request(self, leg: Leg, qty: int, price: int) -> OrderRequest:
        """An order of the newest list; lots, ticks."""
        return OrderRequest(
            client_order_id=f"vl{self.run}-{self.sequence}-{_LETTER[leg]}",
            leg=leg,
            side="buy" if leg == "entry" else "sell",
            kind="stop" if leg == "stop_loss" else "market" if leg == "market" else "limit",
            time_in_force="GTC" if leg in ("take_profit", "stop_loss") else "IOC",
            qty=qty,
            price=price,
        )

    def exits(self, trade: Trade, qty: int) -> tuple[OrderRequest, OrderRequest]:
        """Take-profit and stop of a trade, for so many lots."""
        return (
            self.request("take_profit", qty, trade.take_profit),
            self.request("stop_loss", qty, trade.stop_loss),
        )

    def enter(self, trade: Trade, *requests: OrderRequest) -> None:
        """Note down, as a trade's, orders that are about to be sent."""
        for request in requests:
            self.orders[request.client_order_id] = Order.of(request, self.sequence)
            trade.orders.append(request.client_order_id)

    def of(self, trade: Trade) -> list[Order]:
        """The orders of a trade, the entry first."""
        return [self.orders[name] for name in trade.orders]

    def forget(self) -> None:
        """Drop the oldest orders; none may be of an open trade."""
        while len(self.orders) > _REMEMBERED:
            del self.orders[next(iter(self.orders))]

    def to_json(self) -> list[dict[str, Any]]:
        return [order.to_json() for order in self.orders.values()]

    @classmethod
    def from_json(cls, run: str, sequence: int, content: Iterable[Mapping[str, Any]]) -> Self:
        orders = map(Order.from_json, content)
        return cls(run, {order.client_order_id: order for order in orders}, sequence)
