"""The seam between the daemon and an exchange: what it is told, what it is asked, what it answers.

Prices, quantities and amounts are exact decimals, as the exchange prints them; times of orders and
trades are microseconds of market time. The exchange's clock (`ServerTime`) and the times of
requests are the wall's, in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Literal, NamedTuple, Protocol, TypeAlias

from vostok_core.errors import VostokError
from vostok_core.trading.commands import Cancel, Place, PlaceList, Replace, Side

Sendable: TypeAlias = Place | PlaceList | Cancel | Replace
"""The commands that change something at the exchange."""

TRADES_PAGE = 1_000
"""Trades that one answer holds at most; fewer are the last ones."""


class GatewayError(VostokError):
    """The exchange can't be asked, or is not the one that was expected."""


# What the exchange says


@dataclass(frozen=True, slots=True)
class OrderReport:
    """What the exchange says of an order.

    Attributes:
        ts: When it was so.
        order_id: The exchange's name of it; -1 where it says none.
        client_order_id: Ours, or whoever's order it is.
        status: The exchange's word.
        filled: Base executed so far.
        reason: Why it was refused or has ended, where the exchange says.
    """

    ts: int
    order_id: int
    client_order_id: str
    status: str
    filled: Decimal
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TradeReport:
    """What the exchange says of a trade of the account.

    Attributes:
        ts: When it happened.
        trade_id: Unique in its symbol, ascending.
        order_id: The exchange's name of the order.
        client_order_id: Its client order id; None where the exchange doesn't say (`my_trades`).
        side: What the account did.
        price: In quote per base.
        qty: Base, the commission included.
        commission: In `commission_asset`.
        commission_asset: What it was charged in.
        maker: Whether the order rested.
        source: Where it was heard: in the answer to a request, on the stream, or when asked for.
    """

    ts: int
    trade_id: int
    order_id: int
    client_order_id: str | None
    side: Side
    price: Decimal
    qty: Decimal
    commission: Decimal
    commission_asset: str
    maker: bool
    source: Literal["answer", "stream", "asked"]


@dataclass(frozen=True, slots=True)
class ListReport:
    """An order list that the exchange accepted; `client_order_ids` are those of its orders."""

    list_client_order_id: str
    client_order_ids: tuple[str, ...]
    done: bool


class Balance(NamedTuple):
    """What an account has of an asset; what is locked pays for open orders."""

    free: Decimal
    locked: Decimal

    @property
    def total(self) -> Decimal:
        """All of it."""
        return self.free + self.locked


# What became of a request

Meaning = Literal["refused", "gone", "clock", "key", "closed"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The exchange did what was asked; `reports` and `trades` say what came of it at once."""

    name: ClassVar[str] = "accepted"
    reports: tuple[OrderReport, ...] = ()
    trades: tuple[TradeReport, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """The exchange did not do it, and never will.

    Attributes:
        code: Its code; None where it gave none.
        text: Its words.
        http_status: Of the answer; None where there was none.
        meaning: `gone`: there is no such order, or no longer. `clock`: the request's time was off.
            `key`: the key is not good for it. `closed`: the symbol does not trade. `refused`:
            anything else.
        reports: Of a replace that canceled but could not place: the canceled orders.
    """

    name: ClassVar[str] = "rejected"
    code: int | None
    text: str
    http_status: int | None = None
    meaning: Meaning = "refused"
    reports: tuple[OrderReport, ...] = ()


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows whether it was done. It must be asked for, and never sent again.

    Attributes:
        text: Why.
        signed_ms: Time that the request was signed with.
        code: The exchange's code, where it gave one.
        http_status: Of the answer, where there was one.
        reports: What is known all the same.
    """

    name: ClassVar[str] = "unknown"
    text: str
    signed_ms: int
    code: int | None = None
    http_status: int | None = None
    reports: tuple[OrderReport, ...] = ()


@dataclass(frozen=True, slots=True)
class Throttled:
    """It was not done, since too much was asked; the like is not sent for `retry_after` seconds."""

    name: ClassVar[str] = "throttled"
    text: str
    retry_after: float
    code: int | None = None
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class NeverSent:
    """It did not leave this machine: no connection could be made."""

    name: ClassVar[str] = "never_sent"
    text: str


Outcome: TypeAlias = Accepted | Rejected | Unknown | Throttled | NeverSent


# What the exchange can be asked


@dataclass(frozen=True, slots=True)
class ServerTime:
    """What the exchange's clock shows; answered with milliseconds."""


@dataclass(frozen=True, slots=True)
class QueryOrder:
    """What became of the order with a client order id; None where the exchange knows none."""

    client_order_id: str


@dataclass(frozen=True, slots=True)
class QueryOrderId:
    """What became of the order with an id of the exchange's; None where it knows none."""

    order_id: int


@dataclass(frozen=True, slots=True)
class QueryList:
    """The order list with a client order id; None where the exchange knows none."""

    list_client_order_id: str


@dataclass(frozen=True, slots=True)
class OpenOrders:
    """The open orders of the symbol, whoever's they are."""


@dataclass(frozen=True, slots=True)
class MyTrades:
    """Trades of the account in the symbol, in order of ids; see `VenuePort.my_trades`."""

    from_id: int | None = None
    order_id: int | None = None


@dataclass(frozen=True, slots=True)
class Balances:
    """What the account has, by asset."""


Question: TypeAlias = (
    ServerTime | QueryOrder | QueryOrderId | QueryList | OpenOrders | MyTrades | Balances
)
Answer: TypeAlias = (
    int
    | OrderReport
    | ListReport
    | Sequence[OrderReport]
    | Sequence[TradeReport]
    | Mapping[str, Balance]
    | None
)


class VenuePort(Protocol):
    """An account at an exchange, and one symbol that it trades.

    Questions raise `GatewayError` when they get no answer; `send` never does, since nobody may act
    on a request as if it had not been sent.
    """

    async def send(self, command: Sendable) -> Outcome:
        """Carry out a command, in one request that is never repeated."""
        ...

    async def query_order(
        self, client_order_id: str | None = None, order_id: int | None = None
    ) -> OrderReport | None:
        """An order, by one of its names."""
        ...

    async def query_list(self, list_client_order_id: str) -> ListReport | None:
        """An order list."""
        ...

    async def open_orders(self) -> list[OrderReport]:
        """The symbol's open orders."""
        ...

    async def my_trades(
        self, from_id: int | None = None, order_id: int | None = None
    ) -> list[TradeReport]:
        """A page of the account's trades.

        Args:
            from_id: The least id; None for the newest page.
            order_id: Of one order only.
        """
        ...

    async def balances(self) -> dict[str, Balance]:
        """What the account has."""
        ...

    async def server_time(self) -> int:
        """The exchange's clock, milliseconds; requests are signed by it from then on."""
        ...


async def put(port: VenuePort, question: Question) -> Answer:
    """Put a question to an exchange.

    Raises:
        GatewayError: There is no answer.
    """
    match question:
        case ServerTime():
            return await port.server_time()
        case QueryOrder(client_order_id):
            return await port.query_order(client_order_id)
        case QueryOrderId(order_id):
            return await port.query_order(order_id=order_id)
        case QueryList(list_client_order_id):
            return await port.query_list(list_client_order_id)
        case OpenOrders():
            return await port.open_orders()
        case MyTrades(from_id, order_id):
            return await port.my_trades(from_id, order_id)
        case Balances():
            return await port.balances()


def list_name(client_order_id: str) -> str:
    """The client order id of the list that an order of ours was sent in."""
    return f"{client_order_id.rpartition('-')[0]}-l"
