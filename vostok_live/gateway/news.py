"""What the gateway has to tell of orders, and the words that it is told in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from vostok_core.trading.commands import Alert
from vostok_core.trading.events import Fill, OrderUpdate, Status
from vostok_live.gateway.port import OrderReport, TradeReport

OURS = re.compile(r"vl[A-Za-z0-9]{1,12}-\d+-[etsm]")
"""Client order ids of the engine (`vostok_core.trading.register`)."""

STATUS: Mapping[str, Status] = {
    "NEW": "open",
    "PENDING_NEW": "held",
    "PENDING_CANCEL": "open",
    "PARTIALLY_FILLED": "partial",
    "FILLED": "filled",
    "CANCELED": "canceled",
    "REJECTED": "rejected",
    "EXPIRED": "expired",
    "EXPIRED_IN_MATCH": "expired",
}
"""The exchange's words for an order's status, in the engine's."""


@dataclass(frozen=True, slots=True)
class OrderNews:
    """An order is not what it was.

    Attributes:
        client_order_id: The order.
        update: For the engine; None where it knows.
        report: What the exchange said; None where it said nothing.
        filled: Lots executed.
    """

    client_order_id: str
    update: OrderUpdate | None
    report: OrderReport | None
    filled: int


@dataclass(frozen=True, slots=True)
class FillNews:
    """A trade of ours that was not heard before; write it down, then tell the engine."""

    fill: Fill
    trade: TradeReport


News: TypeAlias = OrderNews | FillNews | Alert
