"""What a market stream says, as values.

Times are microseconds of exchange time; `seen` is wall time. Prices and quantities are the doubles
nearest to the exchange's decimals, as in the lake.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Tick(Struct, frozen=True, gc=False):
    """A trade print, or an aggregate of the fills of one taker order at one price.

    Attributes:
        symbol: The exchange's symbol, in capitals.
        trade_id: Id of the trade or of the aggregate.
        ts: Time of the trade.
        price: In quote per base.
        qty: In base.
        buyer_maker: Whether a seller took.
        first_id: Id of the first trade merged into an aggregate; -1 for a single trade.
        last_id: Id of the last one.
        sent: When the exchange sent it; -1 for one that was fetched.
        seen: When it arrived here, wall time in microseconds.
    """

    symbol: str
    trade_id: int
    ts: int
    price: float
    qty: float
    buyer_maker: bool
    first_id: int
    last_id: int
    sent: int
    seen: int


class BookTop(Struct, frozen=True, gc=False):
    """The best bid and ask. The exchange does not say when they were so."""

    symbol: str
    update_id: int
    bid: float
    bid_qty: float
    ask: float
    ask_qty: float
    seen: int


Level = tuple[float, float]
"""A price and what rests there; 0 where nobody is left."""


class DepthDiff(Struct, frozen=True, gc=False):
    """Levels of the book that changed.

    Attributes:
        symbol: The exchange's symbol.
        first_id: Id of the first change that it holds.
        last_id: Id of the last one. The next diff begins with the id after it.
        ts: When it was so.
        bids: What buyers now offer at each price that changed.
        asks: What sellers do.
        seen: When it arrived here, wall time in microseconds.
    """

    symbol: str
    first_id: int
    last_id: int
    ts: int
    bids: list[Level]
    asks: list[Level]
    seen: int


class DepthSnapshot(Struct, frozen=True, gc=False):
    """The best levels of the book. The exchange does not say when they were so.

    Attributes:
        last_id: Id of the last change that is in it.
        bids: Levels of buyers, the best first.
        asks: Levels of sellers.
        seen: When it arrived here, wall time in microseconds.
    """

    last_id: int
    bids: list[Level]
    asks: list[Level]
    seen: int


class Kline(Struct, frozen=True, gc=False):
    """A bar as the exchange publishes it.

    Attributes:
        symbol: The exchange's symbol.
        interval: Its length, as the exchange writes it.
        ts: Its end.
        open: First price.
        high: Highest price.
        low: Lowest price.
        close: Last price.
        volume: Quantity traded, in base.
        quote_volume: Quantity traded, in quote.
        trades: Number of trades.
        buy_volume: What takers bought, in base.
        closed: Whether it has ended.
    """

    symbol: str
    interval: str
    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trades: int
    buy_volume: float
    closed: bool


class Shutdown(Struct, frozen=True, gc=False):
    """The server is about to go; a new connection should be made at once."""

    ts: int


class Answer(Struct, frozen=True, gc=False):
    """What the server says to a request such as SUBSCRIBE; `error` is empty when it was granted."""

    id: int | str | None
    error: str


Flaw = Literal["empty", "huge", "not_json", "wrong_shape", "impossible", "unexpected", "broken"]


class Malformed(Struct, frozen=True, gc=False):
    """A frame that says nothing that can be used.

    Attributes:
        flaw: `empty`; `huge`; `not_json`; `wrong_shape`: a field is missing or of another kind;
            `impossible`: a price, quantity or time that can't be; `unexpected`: some event that
            nobody asked for; `broken`: not even a message.
        detail: What was wrong and how the frame begins, for a person.
    """

    flaw: Flaw
    detail: str


class Resumed(Struct, frozen=True, gc=False):
    """A new connection carries the streams; trades may be missing between it and the one before."""


Event = Tick | BookTop | DepthDiff | DepthSnapshot | Kline | Shutdown | Answer | Malformed
"""What a frame says."""
