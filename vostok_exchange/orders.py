"""Orders, order lists, and what is asked for and answered, in the words of Binance's spot API.

Requests carry decimals, as they came over the wire. Orders carry integers: ticks, lots, atoms and
units (see `symbols`). Times are microseconds of market time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal, NamedTuple

from vostok_core.errors import UsageError
from vostok_exchange.matching import Prevention, Side

OrderType = Literal[
    "LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT",
    "TAKE_PROFIT_LIMIT",
]  # fmt: skip
TimeInForce = Literal["GTC", "IOC", "FOK"]
Status = Literal[
    "NEW", "PENDING_NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "REJECTED", "EXPIRED",
    "EXPIRED_IN_MATCH",
]  # fmt: skip
ExpiryReason = Literal[
    "NONE", "REJECTED", "OCO_TRIGGER", "OTO_PHASE_ONE_EXPIRED", "UNFILLED_IOC_QUANTITY_EXPIRED",
    "UNFILLED_FOK_ORDER_EXPIRED", "INSUFFICIENT_LIQUIDITY",
]  # fmt: skip
RejectReason = Literal[
    "NONE", "INSUFFICIENT_BALANCES", "STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY",
    "WOULD_MATCH_IMMEDIATELY", "OCO_BAD_PRICES",
]  # fmt: skip

STOP_LOSSES = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT"})
TAKE_PROFITS = frozenset({"TAKE_PROFIT", "TAKE_PROFIT_LIMIT"})
ALGO = STOP_LOSSES | TAKE_PROFITS
PRICED = frozenset({"LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"})
LIVE = frozenset({"NEW", "PENDING_NEW", "PARTIALLY_FILLED"})


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why the exchange won't: its code and its text; `reason` as an execution report says it."""

    code: int
    msg: str
    reason: RejectReason = "NONE"


DUPLICATE = Rejection(-2010, "Duplicate order sent.")
NO_FUNDS = Rejection(
    -2010, "Account has insufficient balance for requested action.", "INSUFFICIENT_BALANCES"
)
WOULD_TRIGGER = Rejection(
    -2010, "Stop price would trigger immediately.", "STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY"
)
WOULD_TAKE = Rejection(-2010, "Order would immediately match and take.", "WOULD_MATCH_IMMEDIATELY")
BAD_PRICES = Rejection(
    -2010, "The relationship of the prices for the orders is not correct.", "OCO_BAD_PRICES"
)
NO_LIQUIDITY = Rejection(-2010, "Order book liquidity is less than symbol minimum quantity.")
UNKNOWN_ORDER = Rejection(-2011, "Unknown order sent.")
UNKNOWN_LIST = Rejection(-2011, "Unknown order list sent.")
RESTRICTED = Rejection(-2011, "Order was not canceled due to cancel restrictions.")
NO_SUCH_ORDER = Rejection(-2013, "Order does not exist.")
NO_SUCH_LIST = Rejection(-2018, "Order list does not exist.")
OTHER_CLIENT_ID = Rejection(-2039, "Client order ID is not correct for this order ID.")
BAD_PREVENTION = Rejection(
    -1013, "This symbol does not allow the specified self-trade prevention mode."
)
OCO_TYPE = Rejection(-1158, "Order type not supported in OCO.")
BUY_LIMIT_BELOW = Rejection(-1165, "A limit order in a buy OCO must be below.")
SELL_LIMIT_ABOVE = Rejection(-1166, "A limit order in a sell OCO must be above.")
BOTH_LIMIT = Rejection(-1168, "At least one OCO order must be contingent.")
BUY_STOP_ABOVE = Rejection(-1196, "A stop loss order in a buy OCO must be above.")
SELL_STOP_BELOW = Rejection(-1197, "A stop loss order in a sell OCO must be below.")
BUY_PROFIT_BELOW = Rejection(-1198, "A take profit order in a buy OCO must be below.")
SELL_PROFIT_ABOVE = Rejection(-1199, "A take profit order in a sell OCO must be above.")


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """A new order, well formed: what its type needs is there (the protocol layer sees to that).

    Attributes:
        symbol: The exchange's name.
        side: Buy or sell.
        type: Order type.
        quantity: In base; None for a MARKET order by `quote_order_qty`.
        quote_order_qty: What to spend or receive, in quote.
        price: Limit, for the types that have one.
        stop_price: Trigger, for STOP_LOSS… and TAKE_PROFIT….
        time_in_force: For LIMIT, STOP_LOSS_LIMIT and TAKE_PROFIT_LIMIT.
        client_order_id: Made up by the exchange where None.
        self_trade_prevention: Mode; None for the symbol's default, EXPIRE_MAKER.
        strategy_id: Echoed.
        strategy_type: Echoed.
    """

    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal | None = None
    quote_order_qty: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce | None = None
    client_order_id: str | None = None
    self_trade_prevention: str | None = None
    strategy_id: int | None = None
    strategy_type: int | None = None

    def __post_init__(self) -> None:
        by_quote = self.quote_order_qty is not None
        needs = {
            "quantity": (self.quantity, not by_quote),
            "quote_order_qty": (self.quote_order_qty, by_quote and self.type == "MARKET"),
            "price": (self.price, self.type in PRICED),
            "stop_price": (self.stop_price, self.type in ALGO),
            "time_in_force": (self.time_in_force, self.type in PRICED - {"LIMIT_MAKER"}),
        }
        for name, (value, needed) in needs.items():
            if (value is not None) != needed:
                raise UsageError(
                    f"{self.type} order {'without' if needed else 'with'} {name}",
                    where=self.symbol,
                    hint="answer with -1102 or -1106 before the request reaches the venue",
                )


@dataclass(frozen=True, slots=True)
class OcoRequest:
    """Two orders of one side and quantity; the first that works ends the other."""

    above: OrderRequest
    below: OrderRequest
    list_client_order_id: str | None = None


@dataclass(frozen=True, slots=True)
class OtoRequest:
    """An order that, once filled in full, is followed by one more (OTO) or by an OCO (OTOCO).

    Attributes:
        working: LIMIT or LIMIT_MAKER.
        pending: One order of any type (a MARKET order by quantity), or two: above and below.
        list_client_order_id: Made up by the exchange where None.
    """

    working: OrderRequest
    pending: tuple[OrderRequest] | tuple[OrderRequest, OrderRequest]
    list_client_order_id: str | None = None


@dataclass(slots=True)
class Order:
    """An order that the exchange accepted.

    Attributes:
        order_id: Unique in its symbol, ascending.
        uid: The account.
        qty: Lots; of a MARKET order by quote, as many as the book gave for it.
        price: Ticks; 0 where there is none.
        stop_price: Ticks; 0 where there is none.
        quote_qty: Units of quote asked for (`quoteOrderQty`); 0 where there is none.
        list_id: Its order list; -1 for none.
        filled: Lots.
        quote_filled: Atoms.
        created: Time of acceptance.
        updated: Time of the last change.
        working_time: Time since which it works; -1 while it waits for a trigger or a working order.
        reserve: Units locked for it alone (an OCO pair shares the reserve of its list).
        prevented: Lots that expired so as not to trade with oneself.
        prevented_match_id: The last such match; -1 for none.
    """

    order_id: int
    uid: int
    symbol: str
    client_order_id: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    qty: int
    price: int
    stop_price: int
    quote_qty: int
    self_trade_prevention: Prevention
    strategy_id: int | None
    strategy_type: int | None
    created: int
    updated: int
    list_id: int = -1
    status: Status = "NEW"
    filled: int = 0
    quote_filled: int = 0
    working_time: int = -1
    reserve: int = 0
    prevented: int = 0
    prevented_match_id: int = -1
    expiry_reason: ExpiryReason = "NONE"

    @property
    def remaining(self) -> int:
        """Lots that may still trade."""
        return self.qty - self.filled - self.prevented

    @property
    def live(self) -> bool:
        """Whether it is not over yet."""
        return self.status in LIVE

    @property
    def waits(self) -> bool:
        """Whether it waits for its stop price."""
        return self.status == "NEW" and self.working_time < 0

    @property
    def rests(self) -> bool:
        """Whether what is left of it stays in the book."""
        return self.price > 0 and self.time_in_force == "GTC"

    @property
    def triggers_above(self) -> bool:
        """Whether its stop price is reached from below."""
        return (self.type in STOP_LOSSES) == (self.side == "BUY")

    def copy(self) -> Order:
        """The order as it stands now."""
        return replace(self)


@dataclass(slots=True)
class OrderList:
    """An order list that the exchange accepted.

    Attributes:
        list_id: Unique on the venue, ascending.
        contingency: OCO, or OTO (which an OTOCO is called too).
        order_ids: The working order first, where there is one; then the stop-loss leg.
        working_id: The order that the others wait for; -1 in an OCO.
        ts: Time of the last change of its status.
        reserve: Units locked for its legs while either may still work.
        done: Whether all its orders are over.
    """

    list_id: int
    uid: int
    symbol: str
    contingency: Literal["OCO", "OTO"]
    client_order_id: str
    order_ids: tuple[int, ...]
    working_id: int
    ts: int
    reserve: int = 0
    done: bool = False

    @property
    def leg_ids(self) -> tuple[int, ...]:
        """Its orders but the working one."""
        return tuple(order_id for order_id in self.order_ids if order_id != self.working_id)

    @property
    def status_type(self) -> Literal["EXEC_STARTED", "ALL_DONE"]:
        """`listStatusType`."""
        return "ALL_DONE" if self.done else "EXEC_STARTED"

    @property
    def order_status(self) -> Literal["EXECUTING", "ALL_DONE"]:
        """`listOrderStatus`."""
        return "ALL_DONE" if self.done else "EXECUTING"

    def copy(self) -> OrderList:
        """The list as it stands now."""
        return replace(self)


class Fill(NamedTuple):
    """An account's side of a trade.

    Attributes:
        trade_id: The public trade.
        price: Ticks.
        qty: Lots.
        commission: Units of `commission_asset`.
        ts: Time.
    """

    trade_id: int
    order_id: int
    list_id: int
    price: int
    qty: int
    commission: int
    commission_asset: str
    ts: int
    buyer: bool
    maker: bool


class PreventedMatch(NamedTuple):
    """Two orders of one account that met; lots that expired of either, None where it stays."""

    match_id: int
    maker_order_id: int
    price: int
    taker_qty: int | None
    maker_qty: int | None


@dataclass(frozen=True, slots=True)
class Placed:
    """An order that was accepted, as it stood before anything that it set off."""

    order: Order
    fills: tuple[Fill, ...] = ()
    prevented: tuple[PreventedMatch, ...] = ()


@dataclass(frozen=True, slots=True)
class Canceled:
    """An order that was canceled; `client_order_id` is the cancel's own."""

    order: Order
    client_order_id: str


@dataclass(frozen=True, slots=True)
class ListPlaced:
    """An order list that was accepted."""

    list: OrderList
    orders: tuple[Placed, ...]


@dataclass(frozen=True, slots=True)
class ListCanceled:
    """An order list that was canceled; `canceled` are the orders that still were open.

    Attributes:
        orders: All its orders.
    """

    list: OrderList
    orders: tuple[Order, ...]
    canceled: tuple[Canceled, ...]


@dataclass(frozen=True, slots=True)
class Replaced:
    """What came of a cancel-replace; `placed` is None where it wasn't attempted."""

    canceled: Canceled | ListCanceled | Rejection
    placed: Placed | Rejection | None
