"""What the venue remembers of one symbol: its book, the ids of its tape, everybody's orders."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator

from vostok_core.times import MINUTE
from vostok_exchange.filters import Average, Filters
from vostok_exchange.matching import Book, Resting, Top
from vostok_exchange.orders import ALGO, Fill, Order


class Stops:
    """Orders that wait for a price, by stop price and age."""

    def __init__(self) -> None:
        self._above: list[tuple[int, int]] = []
        self._below: list[tuple[int, int]] = []

    def add(self, order: Order) -> None:
        """Wait for an order's stop price."""
        insort(*self._place(order))

    def remove(self, order: Order) -> None:
        """Wait no longer; an order that isn't waited for is left alone."""
        waiting, key = self._place(order)
        index = bisect_left(waiting, key)
        if index < len(waiting) and waiting[index] == key:
            del waiting[index]

    def reached(self, price: int) -> list[int]:
        """Ids of the orders that a trade at `price` triggers, which no longer wait after this."""
        due: list[int] = []
        while self._above and self._above[0][0] <= price:
            due.append(self._above.pop(0)[1])
        while self._below and -self._below[0][0] >= price:
            due.append(self._below.pop(0)[1])
        return due

    def _place(self, order: Order) -> tuple[list[tuple[int, int]], tuple[int, int]]:
        if order.triggers_above:
            return self._above, (order.stop_price, order.order_id)
        return self._below, (-order.stop_price, order.order_id)


class Recent:
    """Trades of the last minutes, for the average price.

    Args:
        minutes: How many; 0 for the last price alone.
    """

    def __init__(self, minutes: int) -> None:
        self._span = minutes * MINUTE
        self.trades: deque[tuple[int, int, int]] = deque()
        self._atoms = 0
        self._lots = 0

    def add(self, ts: int, atoms: int, lots: int) -> None:
        """A trade of `lots` for `atoms`."""
        self.trades.append((ts, atoms, lots))
        self._atoms += atoms
        self._lots += lots
        self._forget(ts)

    def average(self, now: int, last_price: int) -> Average:
        """The volume-weighted average price."""
        self._forget(now)
        return Average(self._atoms, self._lots) if self._lots else Average(last_price, 1)

    def _forget(self, now: int) -> None:
        trades = self.trades
        while trades and trades[0][0] <= now - self._span:
            _, atoms, lots = trades.popleft()
            self._atoms -= atoms
            self._lots -= lots


class Listing:
    """A symbol that is traded.

    Args:
        filters: Its rules.
        last_price: Last price before trading begins here, ticks.
        next_trade_id: Id of the next public trade.
        next_agg_id: Id of the next aggregate trade.

    Attributes:
        now: Time of the last transaction.
        told: Best prices as last told.
        orders: All orders ever accepted, by id.
        open: Ids of the live orders of each account, oldest first.
        history: Ids of all orders of each account.
        clients: The latest order of each account under each client order id.
        fills: Each account's trades.
        resting: Where in the book an order rests.
    """

    def __init__(
        self, filters: Filters, last_price: int, next_trade_id: int, next_agg_id: int
    ) -> None:
        self.filters = filters
        self.symbol = filters.symbol
        self.book = Book()
        self.stops = Stops()
        self.recent = Recent(filters.avg_price_mins)
        self.last_price = last_price
        self.now = 0
        self.next_trade_id = next_trade_id
        self.next_agg_id = next_agg_id
        self.next_order_id = 1
        self.next_execution_id = 1
        self.next_prevented_id = 0
        self.told = Top(None, 0, None, 0)
        self.orders: dict[int, Order] = {}
        self.open: dict[int, dict[int, None]] = {}
        self.history: dict[int, list[int]] = {}
        self.clients: dict[tuple[int, str], int] = {}
        self.fills: dict[int, list[Fill]] = {}
        self.resting: dict[int, Resting] = {}

    def enter(self, order: Order) -> None:
        """File an order, which has its id."""
        self.orders[order.order_id] = order
        self.history.setdefault(order.uid, []).append(order.order_id)
        self.clients[order.uid, order.client_order_id] = order.order_id
        if order.live:
            self.open.setdefault(order.uid, {})[order.order_id] = None

    def opened(self, uid: int) -> Iterator[Order]:
        """An account's live orders, oldest first."""
        return (self.orders[order_id] for order_id in self.open.get(uid, ()))

    def counts(self, uid: int) -> tuple[int, int, int]:
        """How many open orders, algo orders and order lists an account has."""
        live = list(self.opened(uid))
        algo = sum(order.type in ALGO for order in live)
        return len(live), algo, len({order.list_id for order in live} - {-1})

    def taken(self, uid: int, client_order_id: str) -> bool:
        """Whether one of an account's live orders goes by a client order id."""
        order_id = self.clients.get((uid, client_order_id))
        return order_id is not None and self.orders[order_id].live
