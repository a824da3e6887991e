"""What the venue tells: the public what happened in the market, and each account its own part.

Prices are ticks, quantities lots, worth atoms and balances units (see `symbols`); times are
microseconds of market time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from vostok_exchange.matching import Top
from vostok_exchange.orders import Order, OrderList, RejectReason

ExecutionType = Literal[
    "NEW", "CANCELED", "REJECTED", "TRADE", "EXPIRED", "TRADE_PREVENTION"
]  # fmt: skip


class Trade(NamedTuple):
    """A public trade."""

    symbol: str
    ts: int
    trade_id: int
    price: int
    qty: int
    buyer_maker: bool


class AggTrade(NamedTuple):
    """The fills of one taker order at one price."""

    symbol: str
    ts: int
    agg_id: int
    price: int
    qty: int
    first_id: int
    last_id: int
    buyer_maker: bool


class DepthChange(NamedTuple):
    """Levels that one transaction changed: lots now at a price, 0 where nobody is left.

    Attributes:
        first: Update id of the first change; one more than the last of the event before.
        last: Update id of the last change.
    """

    symbol: str
    ts: int
    first: int
    last: int
    bids: dict[int, int]
    asks: dict[int, int]


class BookTop(NamedTuple):
    """The best prices or their quantities changed."""

    symbol: str
    ts: int
    update_id: int
    top: Top


@dataclass(frozen=True, slots=True)
class Prevention:
    """What an execution report says of a prevented match.

    Attributes:
        match_id: `v`.
        qty: Lots of this order that expired by it, `B` (`order.prevented` is `A`).
        counter_order_id: The other order, `U`.
        execution_qty: Lots that would have traded, `pl`.
        execution_price: Ticks at which, `pL`.
    """

    match_id: int
    qty: int
    counter_order_id: int
    execution_qty: int
    execution_price: int


@dataclass(frozen=True, slots=True)
class ExecutionReport:
    """Something happened to an order (`executionReport`).

    Attributes:
        uid: The account it is told to.
        ts: `T`.
        order: The order after it; status `X`, filled `z`, worth `Z` and the rest are in it.
        execution: `x`.
        execution_id: `I`, ascending in a symbol.
        working: `w`, whether the order is in the book.
        client_order_id: `c`; of a cancel, the cancel's own.
        orig_client_order_id: `C`; of a cancel, the order's.
        last_qty: Lots of this fill, `l`.
        last_price: Ticks of this fill, `L`.
        commission: Units, `n`.
        commission_asset: `N`.
        trade_id: `t`; -1 for none.
        maker: `m`.
        reject_reason: `r`.
        prevention: Where `execution` is TRADE_PREVENTION.
    """

    uid: int
    ts: int
    order: Order
    execution: ExecutionType
    execution_id: int
    working: bool
    client_order_id: str
    orig_client_order_id: str = ""
    last_qty: int = 0
    last_price: int = 0
    commission: int = 0
    commission_asset: str | None = None
    trade_id: int = -1
    maker: bool = False
    reject_reason: RejectReason = "NONE"
    prevention: Prevention | None = None


@dataclass(frozen=True, slots=True)
class ListStatus:
    """The status of an order list changed (`listStatus`); `orders` are ids and client ids."""

    uid: int
    ts: int
    list: OrderList
    orders: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class AccountPosition:
    """Balances that a transaction may have changed (`outboundAccountPosition`).

    Attributes:
        balances: Asset, free units, locked units.
    """

    uid: int
    ts: int
    balances: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class BalanceChange:
    """Units of an asset came to an account, or left it, without a trade (`balanceUpdate`)."""

    uid: int
    ts: int
    asset: str
    amount: int


Event = (
    Trade
    | AggTrade
    | DepthChange
    | BookTop
    | ExecutionReport
    | ListStatus
    | AccountPosition
    | BalanceChange
)
